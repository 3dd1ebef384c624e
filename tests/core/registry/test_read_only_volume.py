"""A registry on a volume that is mounted read-only is read as any other, and says why it does not change."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelshelf import ModelConfig, ModelRegistry

MOUNTED = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 77; exec "$2" -c "$3" "$1"'

LOOK = """
import contextlib, io, sys
from modelshelf import ModelRegistry, StoreUnavailableError
from modelshelf.cli import main
place = sys.argv[1]
with ModelRegistry(metadata_path=place) as registry:
    print(registry.list_models(), registry.get("lab/model").display_name, registry.default_id())
    for change in (
        lambda: registry.update("lab/model", display_name="other"),
        lambda: registry.mark_used("lab/model"),
        lambda: registry.remove("lab/model"),
    ):
        try:
            change()
        except StoreUnavailableError as error:
            print("mounted read-only" in str(error))
    print(registry.get("lab/model").display_name)
for arguments in (["ls"], ["show", "lab/model"], ["doctor"], ["set", "lab/model", "enabled=false"]):
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())):
        code = main(["--store", place, *arguments])
    print(arguments[0], code)
"""

SHOWN = """['lab/model'] name lab/model
True
True
True
name
ls 0
show 0
doctor 0
set 1
"""


@pytest.mark.parametrize("locked", [True, False], ids=["with its lock file", "without"])
def test_a_registry_on_a_volume_mounted_read_only_is_read_and_refuses_changes(
    tmp_path: Path, locked: bool
) -> None:
    if not shutil.which("unshare"):
        pytest.skip("nothing here mounts for one process alone")
    place = tmp_path / "place"
    with ModelRegistry(tmp_path, place) as registry:
        registry.register(ModelConfig(id="lab/model", path="/models/model.gguf", display_name="name"))
    if not locked:
        (place / "lock.mdb").unlink()
    before = {one.name: one.read_bytes() for one in place.iterdir()}
    command = ["unshare", "--mount", "sh", "-c", MOUNTED, "sh", str(place), sys.executable, LOOK]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode in {1, 77} and "Traceback" not in ran.stderr:
        pytest.skip(f"no read-only mount can be made here: {ran.stderr.strip()}")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == SHOWN, ran.stderr
    assert "mounted read-only" in ran.stderr
    assert {one.name: one.read_bytes() for one in place.iterdir()} == before
