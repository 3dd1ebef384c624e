"""What a check tells of the folder around the file."""

from __future__ import annotations

import subprocess
import sys
import threading

from modelshelf.model import Severity
from modelshelf_lmdb import check
from modelshelf_lmdb.store import LmdbStore


def found(store) -> dict[str, tuple[Severity, str]]:
    return {one.code: (one.severity, one.message) for one in store.check()}


def test_a_new_store_has_nothing_around_it_that_is_worth_telling(opened):
    assert found(opened()) == {}


def test_an_empty_folder_that_was_there_is_closed_to_others_and_one_in_use_is_left_alone(tmp_path):
    for name, beside, mode in (("empty", ".gitkeep", 0o700), ("shared", "notes.txt", 0o755)):
        (tmp_path / name).mkdir(mode=0o755)
        (tmp_path / name).chmod(0o755)
        (tmp_path / name / beside).touch()
        LmdbStore.open(str(tmp_path / name)).close()
        assert (tmp_path / name).stat().st_mode & 0o777 == mode


def test_modes_that_let_others_in_are_reported_with_the_command_that_sets_them(opened, folder):
    store = opened()
    for path, mode, right in ((folder, 0o750, "700"), (folder / "data.mdb", 0o644, "600")):
        path.chmod(mode)
        severity, message = found(store)["store-open-to-others"]
        assert severity is Severity.WARNING
        assert f"{path}: " in message
        assert f"`chmod {right}`" in message
        path.chmod(int(right, 8))
    assert found(store) == {}


def test_what_repairs_left_is_reported_and_is_no_problem(opened, folder):
    store = opened()
    (folder / "data.mdb.damaged-2026-01-01T000000Z").write_bytes(b"x")
    severity, message = found(store)["store-leftover"]
    assert severity is Severity.INFO
    assert "data.mdb.damaged-2026-01-01T000000Z" in message


def test_a_disk_without_room_for_a_repair_is_reported(opened, monkeypatch):
    monkeypatch.setattr(check, "_MIN_ROOM", 1 << 60)
    assert found(opened())["little-room"][0] is Severity.WARNING


def test_a_program_that_holds_an_old_state_is_named_by_its_process(opened, monkeypatch):
    monkeypatch.setattr(check, "_MANY_COMMITS", 3)
    store = opened()
    inside, leave = threading.Event(), threading.Event()
    reader = threading.Thread(target=lambda: store.view(lambda _: (inside.set(), leave.wait(30))))
    reader.start()
    assert inside.wait(30)
    for number in range(6):
        store.update(lambda txn, number=number: txn.put(b"a", b"%d" % number))
    [(_, state)] = store._environment.readers()
    findings = list(check._check_folder(store._environment))
    leave.set()
    reader.join()
    assert store.revision() - state == 6
    [one] = [one for one in findings if one.code == "long-reader"]
    assert "6 commits old" in one.message


def test_readers_that_were_killed_are_reported_once(opened, folder):
    opened().close()
    hold = (
        "import os, signal, sys; from modelshelf_lmdb.store import LmdbStore\n"
        "LmdbStore.open(sys.argv[1]).view(lambda s: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    opened()  # stays open, so that the lock file is not begun anew
    subprocess.run([sys.executable, "-c", hold, str(folder)], check=False)
    reader = (
        "import sys; from modelshelf_lmdb.store import LmdbStore\n"
        "print([one.code for one in LmdbStore.open(sys.argv[1]).check()])\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", reader, str(folder)], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert outputs == ["['stale-readers']\n", "[]\n"]
