"""A volume that went is not mistaken for files that were deleted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelshelf.discovery.volumes import is_offline, mount_point
from tests.vendor_models import VENDORED

MOUNTING = ["unshare", "--user", "--map-root-user", "--mount"]

PLUG_IN_AND_OUT = """
import shutil, subprocess, sys
from modelshelf import ModelRegistry

volume, models, store = sys.argv[1:]

def plug_in():
    subprocess.run(["mount", "-t", "tmpfs", "none", volume], check=True)
    shutil.copytree(models, volume, dirs_exist_ok=True, copy_function=shutil.copy2)

def told():
    registry.discover_models(volume, workers=1)
    return sorted({"offline" if one.offline else "missing" if one.missing else "there"
                   for one in registry.summaries()})

with ModelRegistry(volume, store) as registry:
    plug_in()
    print(told())
    subprocess.run(["umount", volume], check=True)
    print(told())
    plug_in()
    print(told())
    shutil.rmtree(volume, ignore_errors=True)
    print(told())
"""


def may_mount() -> bool:
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    line = [*MOUNTING, "mount", "-t", "tmpfs", "none", os.path.expanduser("~")]
    return subprocess.run(line, capture_output=True, check=False).returncode == 0


def test_the_mount_point_is_the_nearest_one_above(tmp_path: Path) -> None:
    deep = tmp_path / "disk" / "models" / "llama"
    deep.mkdir(parents=True)
    mounts = {str(tmp_path / "disk"), "/"}
    assert mount_point(str(deep), mounts.__contains__) == str(tmp_path / "disk")
    assert mount_point(str(tmp_path), mounts.__contains__) == "/"


def test_a_link_lies_on_the_volume_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    assert mount_point(str(tmp_path / "link"), {str(tmp_path / "disk"), "/"}.__contains__).endswith("disk")


def test_a_place_is_offline_when_nothing_is_mounted_there_any_more(tmp_path: Path) -> None:
    assert is_offline(str(tmp_path))
    assert not is_offline(mount_point(str(tmp_path)))
    assert not is_offline(None)


def test_a_folder_of_the_system_volume_that_is_gone_is_not_offline(tmp_path: Path) -> None:
    assert not is_offline(mount_point(str(tmp_path / "never" / "there")))


@pytest.mark.skipif(not may_mount(), reason="this account may not mount a volume in a namespace of its own")
def test_an_unplugged_volume_is_offline_and_a_deleted_folder_is_missing(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    line = [
        *MOUNTING,
        sys.executable,
        "-c",
        PLUG_IN_AND_OUT,
        tmp_path / "volume",
        VENDORED,
        tmp_path / "store",
    ]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n") == ["['there']", "['offline']", "['there']", "['missing']", ""], (
        done.stderr
    )
