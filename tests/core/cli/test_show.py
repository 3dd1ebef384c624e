"""`show` says how sure it is of copies."""

from __future__ import annotations

import shutil

from tests.core.cli.conftest import Project


def test_copies_are_probable_until_all_bytes_were_hashed(project: Project) -> None:
    path = project.gguf("tiny", folder="one")
    twin = project.models / "twin"
    twin.mkdir()
    shutil.copy2(path, twin / path.name)
    (model_id,) = project.scanned()
    assert any("probable copies" in one for one in project.run("show", model_id).done().lines)
    project.run("check", "--depth", "full").done()
    assert not any("probable copies" in one for one in project.run("show", model_id).done().lines)
