from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelshelf_lmdb.store import LmdbStore

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

# Commits batches until one fails, tells how; then removes the cause where it can, and goes on.
PROGRAM = """
import json, os, sys
from modelshelf_lmdb.store import LmdbStore

def write(folder, batches):
    store = LmdbStore.open(folder)
    done, failures = 0, []
    for number in range(batches):
        def work(txn):
            for part in range(20):
                txn.put(b"%03d/%03d" % (number, part), bytes([number]) * 3000)
        try:
            store.update(work)
        except Exception as error:
            failures.append([type(error).__name__, str(error)])
            if len(failures) == 3:
                break
        else:
            done = number + 1
            if failures:
                failures.append("wrote after a failure")
    found = store.view(lambda s: sum(1 for _ in s.scan()))
    store.close()
    return [done, found, failures]
"""
ONCE = PROGRAM + "print(json.dumps(write(sys.argv[1], int(sys.argv[2]))))\n"

# The same in a process of its own for each n: the n-th write fails, and every one after it.
EACH = (
    PROGRAM
    + """
for number in range(1, 1000):
    folder = os.path.join(sys.argv[1], str(number))
    LmdbStore.open(folder).close()
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.environ["FAIL_AT"] = str(number)
        with os.fdopen(writing, "w") as stream:
            json.dump(write(folder, int(sys.argv[2])), stream)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        outcome = stream.read()
    os.wait()
    print(outcome)
    if not json.loads(outcome)[2]:
        break
"""
)


def run(folder: Path, batches: int = 200, **options: object) -> tuple[int, int, list[list[str]]]:
    """Batches acknowledged, records found after the failure, and the failures of a process that wrote."""
    [outcome] = outcomes(ONCE, folder, batches, **options)
    return outcome


def outcomes(
    program: str, folder: Path, batches: int, **options: object
) -> list[tuple[int, int, list[list[str]]]]:
    ran = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(batches)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        **options,  # type: ignore[call-overload]
    )
    return [tuple(json.loads(line)) for line in ran.stdout.splitlines()]


def contents(folder: Path) -> dict[bytes, bytes]:
    store = LmdbStore.open(str(folder))
    assert list(store.check()) == []
    found = store.view(lambda s: dict(s.scan()))
    store.update(lambda txn: txn.put(b"after", b"1"))
    store.close()
    return found


def expected(batches: int) -> dict[bytes, bytes]:
    return {
        b"%03d/%03d" % (number, part): bytes([number]) * 3000
        for number in range(batches)
        for part in range(20)
    }


def test_a_file_that_may_not_grow_further_is_a_plain_message_and_nothing_is_lost(tmp_path):
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

    folder = tmp_path / "data"
    done, found, failures = run(folder, preexec_fn=limit)
    assert done > 3
    assert found == done * 20
    for kind, message in failures:
        assert kind == "StoreFullError"
        assert "free some space" in message
    assert contents(folder) == expected(done)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_full_disk_is_a_plain_message_and_nothing_is_lost(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a disk be mounted")
    try:
        done, found, failures = run(disk / "data")
        assert done > 3
        assert found == done * 20
        assert {kind for kind, _ in failures} == {"StoreFullError"}
        shutil.copytree(disk / "data", tmp_path / "copy")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert contents(tmp_path / "copy") == expected(done)


@pytest.fixture(scope="module")
def shim(tmp_path_factory) -> Path:
    """A library that lets one write of a process fail."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler on Linux")
    library = tmp_path_factory.mktemp("shim") / "failing_writes.so"
    source = HERE / "failing_writes.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_whichever_write_fails_what_was_acknowledged_stands_and_nothing_else_does(shim, tmp_path, code):
    wanted = {errno.ENOSPC: "StoreFullError", errno.EIO: "StoreUnavailableError"}[code]
    environment = {**os.environ, "LD_PRELOAD": str(shim), "FAIL_WITH": str(code)}
    results = outcomes(EACH, tmp_path, 6, env=environment)
    for number, (done, found, failures) in enumerate(results, start=1):
        for kind, message in failures:
            assert kind == wanted, message
            assert "what was saved before stands" in message
        assert found == done * 20
        assert contents(tmp_path / str(number)) == expected(done)
    assert [done for done, _, _ in results] == sorted(done for done, _, _ in results)
    assert (results[0][0], results[-1][0]) == (0, 6), "the writes of LMDB were not reached"
