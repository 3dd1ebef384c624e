"""A volume that went is not mistaken for files that were deleted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelshelf.scan.volumes import Volumes, is_on
from tests.vendor_models import VENDORED

MOUNTING = ["unshare", "--user", "--map-root-user", "--mount"]

PLUG_IN_AND_OUT = """
import shutil, subprocess, sys
from modelshelf import ModelRegistry

volume, models, store = sys.argv[1:]

def plug_in():
    subprocess.run(["mount", "-t", "tmpfs", "none", volume], check=True)
    shutil.copytree(models, volume, dirs_exist_ok=True, copy_function=shutil.copy2)

def answer():
    registry.discover_models(volume, workers=1)
    return sorted({"offline" if one.offline else "missing" if one.missing else "there"
                   for one in registry.summaries()})

with ModelRegistry(volume, store) as registry:
    plug_in()
    print(answer())
    subprocess.run(["umount", volume], check=True)
    print(answer())
    plug_in()
    print(answer())
    shutil.rmtree(volume, ignore_errors=True)
    print(answer())
"""


def may_mount() -> bool:
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    line = [*MOUNTING, "mount", "-t", "tmpfs", "none", os.path.expanduser("~")]
    return subprocess.run(line, capture_output=True, check=False).returncode == 0


def test_the_mount_point_is_the_nearest_one_above(tmp_path: Path) -> None:
    deep = tmp_path / "disk" / "models" / "llama"
    deep.mkdir(parents=True)
    volumes = Volumes(is_mount={str(tmp_path / "disk"), "/"}.__contains__)
    assert volumes.mount_of(str(deep)) == str(tmp_path / "disk")
    assert volumes.mount_of(str(deep.parent)) == str(tmp_path / "disk")
    assert volumes.mount_of(str(tmp_path)) is None


def test_a_link_lies_on_the_volume_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    volumes = Volumes(is_mount={str(tmp_path / "disk"), "/"}.__contains__)
    assert volumes.mount_of(str(tmp_path / "link")) == str(tmp_path / "disk")


def test_a_volume_is_lost_when_nothing_is_mounted_there_any_more(tmp_path: Path) -> None:
    assert Volumes([str(tmp_path), "/"]).lost() == {str(tmp_path)}


def test_only_what_lies_on_a_lost_volume_went_with_it(tmp_path: Path) -> None:
    lost = [str(tmp_path / "disk")]
    assert is_on(str(tmp_path / "disk" / "models" / "a.gguf"), lost)
    assert is_on(str(tmp_path / "disk"), lost)
    assert not is_on(str(tmp_path / "disk2" / "a.gguf"), lost)
    (tmp_path / "link").symlink_to("disk")
    assert is_on(str(tmp_path / "link" / "a.gguf"), lost)


def test_mount_points_that_are_kept_already_are_not_new(tmp_path: Path) -> None:
    volumes = Volumes(is_mount={str(tmp_path), "/"}.__contains__)
    assert volumes.add([str(tmp_path / "a"), str(tmp_path / "b")])
    assert volumes.mounts == {str(tmp_path)}
    assert not volumes.add([str(tmp_path / "a"), "/"])


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
