"""Commands that only look make no store and change no mode; where nothing was scanned they find nothing."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

LOOKS = (
    ("ls",),
    ("ls", "--json"),
    ("ls", "--format", "openai"),
    ("ls", "text", "--health", "healthy"),
    ("show", "absent"),
    ("show", "--json", "absent"),
    ("why", "models"),
    ("default",),
    ("default", "--json"),
    ("export",),
    ("export", "--format", "settings"),
    ("export", "-o", "out.json"),
    ("du",),
    ("dupes",),
    ("fit",),
    ("fit", "absent"),
    ("sources",),
    ("sources", "ls", "--json"),
    ("plugins",),
    ("plugins", "--json"),
    ("doctor",),
    ("doctor", "--repair"),
    ("completion", "bash"),
    # These change what is recorded, and there is nothing recorded.
    ("check",),
    ("check", "absent"),
    ("set", "absent", "enabled=false"),
    ("rm", "absent"),
    ("pin", "absent", "1.0.0"),
    ("default", "absent"),
)


@pytest.mark.parametrize("prepared", [False, True], ids=["no folder", "an empty folder"])
@pytest.mark.parametrize("arguments", LOOKS, ids=" ".join)
def test_a_look_where_nothing_was_scanned_makes_no_store(project, arguments, prepared) -> None:
    store = project.root.parent / "records"
    if prepared:
        store.mkdir(mode=0o755)
        (store / ".gitkeep").touch()
    outcome = project.run("--store", store, *arguments)
    assert outcome.code in {0, 1}
    assert "Traceback" not in outcome.err
    if prepared:
        assert [one.name for one in store.iterdir()] == [".gitkeep"]
        assert stat.S_IMODE(store.stat().st_mode) == 0o755
    else:
        assert not os.path.lexists(store)


def test_completing_an_id_makes_no_store(project) -> None:
    store = project.root.parent / "records"
    words = f"modelshelf --store {store} show "
    environment = {
        **os.environ,
        "_MODELSHELF_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": "4",
    }
    subprocess.run([sys.executable, "-m", "modelshelf"], env=environment, check=True, capture_output=True)
    assert not store.exists()


def test_a_look_at_nothing_says_what_finds_models(project) -> None:
    store = project.root.parent / "records"
    assert "`modelshelf scan PATH`" in project.run("--store", store, "ls").err
    assert project.run("--store", store, "ls", "--json").done().json == []
    assert "there is no store yet" in project.run("--store", store, "rm", "absent").err
    assert "there is no store yet" in project.run("--store", store, "doctor").done().out


def test_a_look_at_a_store_changes_no_mode_and_adds_no_file(project) -> None:
    store = project.root.parent / "records"
    project.gguf()
    project.run("--store", store, "scan", project.models)
    (store / "lock.mdb").unlink()
    store.chmod(0o755)
    (store / "data.mdb").chmod(0o644)
    before = (store / "data.mdb").read_bytes()
    for arguments in (("ls",), ("show", "tiny"), ("why", project.models), ("export",), ("doctor",), ("du",)):
        project.run("--store", store, *arguments)
    assert [one.name for one in store.iterdir()] == ["data.mdb"]
    assert (store / "data.mdb").read_bytes() == before
    modes = [stat.S_IMODE(Path(one).stat().st_mode) for one in (store, store / "data.mdb")]
    assert modes == [0o755, 0o644]


CHANGES = (
    ("scan", "models"),
    ("watch", "models"),
    ("import", "settings.json"),
    ("doctor", "--json"),
)


@pytest.mark.parametrize("arguments", [*LOOKS, *CHANGES], ids=" ".join)
def test_no_command_changes_an_lmdb_file_of_another_program(project, arguments) -> None:
    project.gguf()
    (project.root / "settings.json").write_text('{"modelshelf_settings": 1, "models": []}')
    theirs = project.root.parent / "theirs"
    with lmdb.open(str(theirs)) as opened, opened.begin(write=True) as txn:
        txn.put(b"name", b"somebody else's")
    (theirs / "lock.mdb").unlink()
    before, mode = (theirs / "data.mdb").read_bytes(), theirs.stat().st_mode
    outcome = project.run("--store", theirs, *arguments)
    assert outcome.code in {0, 1}
    if arguments[0] not in {"completion", "plugins", "sources", "why"}:
        assert "of another program" in outcome.out + outcome.err
    assert [one.name for one in theirs.iterdir()] == ["data.mdb"]
    assert ((theirs / "data.mdb").read_bytes(), theirs.stat().st_mode) == (before, mode)
