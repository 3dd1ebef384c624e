from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from modelshelf.errors import DamagedStoreError, StoreError, StoreUnavailableError
from modelshelf_lmdb.pages import read_metas
from modelshelf_lmdb.store import LmdbStore

ROOT = Path(__file__).resolve().parents[3]
CASES = int(os.environ.get("MODELSHELF_DAMAGES", "16"))


def damage_program(*arguments: object) -> str:
    command = [sys.executable, "-m", "tests.plugins.modelshelf_lmdb.damage", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "data"
    damage_program(folder, "make")
    return folder


@pytest.fixture
def copy(sound, tmp_path) -> Path:
    """The data file of a copy of the sound store."""
    path = tmp_path / "copy" / "data.mdb"
    path.parent.mkdir()
    path.write_bytes((sound / "data.mdb").read_bytes())
    return path


def scanned(folder: Path) -> int:
    store = LmdbStore.open(str(folder), readonly=True)
    try:
        return store.view(lambda s: sum(1 for _ in s.scan()))
    finally:
        store.close()


@pytest.mark.parametrize(
    "kind",
    [
        "flip",
        "flip-in-a-key",
        "flip-in-a-header",
        "flip-in-meta",
        "zeroed-page",
        "random-page",
        "torn-page",
        "swapped-page",
        "truncated",
    ],
)
def test_damage_is_named_or_harmless_never_a_wrong_answer_or_a_dead_process(sound, kind):
    outcomes = json.loads(damage_program(sound, kind, CASES, 11))
    assert outcomes["named"] > 0
    assert outcomes.keys() <= {"same", "named", "refused"}


@pytest.mark.parametrize("length", [1, 100, 4096, 8191, 8192, 12288, -4096, -1])
def test_a_truncated_file_is_damage_before_anything_reads_it(copy, length):
    os.truncate(copy, length % copy.stat().st_size)
    for readonly in (True, False):
        with pytest.raises(DamagedStoreError, match="doctor --repair"):
            LmdbStore.open(str(copy.parent), readonly=readonly)


def test_a_sound_file_that_ends_before_its_last_page_is_no_damage(tmp_path):
    store = LmdbStore.open(str(tmp_path))
    chance = random.Random(3)  # noqa: S311 - data, no secrets

    def churn(txn):
        for _ in range(chance.choice((3, 40, 400))):
            key = b"%05d" % chance.randrange(800)
            if chance.random() < 0.5:
                txn.put(key, chance.randbytes(chance.choice((10, 800, 5000, 40_000))))
            else:
                txn.delete(key)
        if chance.random() < 0.4:
            for key, _ in list(txn.scan()):
                txn.delete(key)

    short = 0
    for _ in range(20):
        store.update(churn)
        expected = store.view(lambda s: dict(s.scan()))
        store.close()
        meta = read_metas(fetch_of(tmp_path / "data.mdb"))
        short += (tmp_path / "data.mdb").stat().st_size < meta.frontier
        store = LmdbStore.open(str(tmp_path))
        assert store.view(lambda s: dict(s.scan())) == expected
        assert list(store.check()) == []
    store.close()
    assert short, "LMDB wrote every page: the case was not met"


def fetch_of(path: Path):
    data = path.read_bytes()
    return lambda offset, length: data[offset : offset + length]


@pytest.mark.parametrize("pages", [1 << 18, 1 << 40])
def test_a_last_page_far_beyond_the_file_is_damage(copy, pages):
    for start in (0, 4096):
        with copy.open("r+b") as file:
            file.seek(start + 136)  # mm_last_pg
            file.write(struct.pack("=Q", pages))
    with pytest.raises(DamagedStoreError, match="last page"):
        LmdbStore.open(str(copy.parent))


@pytest.mark.parametrize("content", [b"x", b"not a store" * 5000, bytes(20_000), b"SQLite format 3\0" * 900])
def test_a_file_that_is_no_lmdb_file_is_damage(tmp_path, content):
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(DamagedStoreError):
        LmdbStore.open(str(tmp_path))
    assert (tmp_path / "data.mdb").read_bytes() == content


def test_an_empty_file_is_a_store_that_was_not_begun(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"")
    with pytest.raises(StoreUnavailableError):
        LmdbStore.open(str(tmp_path), readonly=True)
    store = LmdbStore.open(str(tmp_path))
    store.update(lambda txn: txn.put(b"a", b"1"))
    store.close()
    assert scanned(tmp_path) == 1


def test_a_pipe_in_the_files_place_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "data.mdb")
    with pytest.raises(StoreError):
        LmdbStore.open(str(tmp_path), readonly=True)


def test_a_folder_in_the_files_place_is_refused(tmp_path):
    (tmp_path / "data.mdb").mkdir()
    with pytest.raises(StoreUnavailableError):
        LmdbStore.open(str(tmp_path), readonly=True)


def test_a_file_in_lmdbs_next_format_is_refused_by_name(tmp_path):
    lmdb.open(str(tmp_path), lib_version=1).close()
    with pytest.raises(StoreUnavailableError, match=r"LMDB 1\.0"):
        LmdbStore.open(str(tmp_path))


def test_a_store_is_made_in_the_old_format_whatever_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("LMDB_DEFAULT_LIB_VERSION", "1")
    LmdbStore.open(str(tmp_path)).close()
    assert struct.unpack_from("=II", (tmp_path / "data.mdb").read_bytes(), 16) == (0xBEEFC0DE, 1)


def test_a_file_truncated_while_it_is_open_is_named_by_the_next_view_and_update(copy):
    store = LmdbStore.open(str(copy.parent))
    store.view(lambda s: sum(1 for _ in s.scan()))
    os.truncate(copy, 4096 * 20)
    for call in (store.view, store.update):
        with pytest.raises(DamagedStoreError):
            call(lambda s: s.get(b"m\0model-000001"))
    store.close()


def test_a_zeroed_leaf_is_named_with_its_page_and_the_rest_still_answers(copy):
    page = leaf_of(copy, b"m\0model-000500")
    with copy.open("r+b") as file:
        file.seek(page * 4096)
        file.write(bytes(4096))
    store = LmdbStore.open(str(copy.parent), readonly=True)
    with pytest.raises(DamagedStoreError, match=f"page {page} is all zeros"):
        store.view(lambda s: list(s.scan(b"m\0")))
    with pytest.raises(DamagedStoreError):
        store.view(lambda s: s.get(b"m\0model-000500"))
    assert store.view(lambda s: s.get(b"m\0model-000001")) is not None
    assert store.view(lambda s: len(list(s.scan(b"l\0")))) == 900
    codes = {finding.code for finding in store.check()}
    assert codes == {"store-damaged", "store-open-to-others"}
    store.close()


def leaf_of(copy: Path, key: bytes) -> int:
    """The number of the page that holds a key, in the newest state."""
    pages = [
        number
        for number, start in enumerate(range(0, copy.stat().st_size, 4096))
        if is_leaf_with(copy.read_bytes()[start : start + 4096], key) and reads_from(copy, number, key)
    ]
    return pages[0]


def is_leaf_with(page: bytes, key: bytes) -> bool:
    return struct.unpack_from("=H", page, 10) == (2,) and key in page


def reads_from(copy: Path, page: int, key: bytes) -> bool:
    """Whether the store can no longer give a key once that page is zeroed."""
    data = copy.read_bytes()
    try:
        copy.write_bytes(data[: page * 4096] + bytes(4096) + data[(page + 1) * 4096 :])
        store = LmdbStore.open(str(copy.parent), readonly=True)
        try:
            return store.view(lambda s: s.get(key)) is None
        except DamagedStoreError:
            return True
        finally:
            store.close()
    finally:
        copy.write_bytes(data)


def test_a_damaged_store_is_not_written_to(copy):
    page = leaf_of(copy, b"m\0model-000500")
    with copy.open("r+b") as file:
        file.seek(page * 4096)
        file.write(bytes(4096))
    before = copy.read_bytes()
    store = LmdbStore.open(str(copy.parent))
    with pytest.raises(DamagedStoreError):
        store.update(lambda txn: txn.put(b"m\0model-000001", b"new"))
    store.close()
    assert copy.read_bytes() == before


def test_a_change_that_comes_by_a_damaged_leaf_is_refused_and_one_elsewhere_is_not(copy):
    page = leaf_of(copy, b"m\0model-000500")
    with copy.open("r+b") as file:
        file.seek(page * 4096 + 16)  # the offset of the first node; the header stays sound
        file.write(b"\xf0\x0f")
    store = LmdbStore.open(str(copy.parent))
    key = b"m\0model-000500"
    for change in (lambda txn: txn.put(key, b"new"), lambda txn: txn.delete(key), lambda txn: txn.get(key)):
        with pytest.raises(DamagedStoreError, match=f"page {page}"):
            store.update(change)
    with pytest.raises(DamagedStoreError, match=f"page {page}"):
        store.update(lambda txn: list(txn.scan(b"m\0model-0005")))
    store.update(lambda txn: txn.put(b"l\0/srv/000010", b"new"))
    assert store.view(lambda s: s.get(b"l\0/srv/000010")) == b"new"
    store.close()


def test_check_finds_what_a_sound_store_has_not(copy):
    copy.chmod(0o600)
    copy.parent.chmod(0o700)
    store = LmdbStore.open(str(copy.parent))
    assert list(store.check()) == []
    store.close()
    with copy.open("r+b") as file:
        file.seek(4096 * leaf_of(copy, b"l\0/srv/000010") + 12)
        file.write(b"\x12\x00")
    store = LmdbStore.open(str(copy.parent))
    findings = list(store.check())
    store.close()
    assert findings
    assert all(
        finding.code == "store-damaged" and "doctor --repair" in finding.message for finding in findings
    )


CUT = """
import os, sys
from modelshelf.errors import DamagedStoreError
from modelshelf_lmdb.store import LmdbStore

folder, length, readonly = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True"
store = LmdbStore.open(folder, readonly=readonly)
revision = store.revision()
store.view(lambda s: s.get(b"m\\0model-000001"))
os.truncate(folder + "/data.mdb", length)
for _ in range(1000):
    try:
        assert store.revision() == revision
    except DamagedStoreError:
        pass
calls = [store.view] if readonly else [store.view, store.update]
for call in calls:
    try:
        call(lambda s: s.get(b"m\\0model-000001"))
    except DamagedStoreError as error:
        assert "truncated" in str(error), error
    else:
        raise AssertionError("not noticed")
assert [one.code for one in store.check()][-1] == "store-damaged"
store.close()
"""


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("length", [0, 1, 4096, 5000])
def test_a_file_cut_to_nothing_while_it_is_open_ends_no_process(copy, length, readonly):
    if readonly:
        LmdbStore.open(str(copy.parent)).close()  # makes the lock file
    line = [sys.executable, "-c", CUT, str(copy.parent), str(length), str(readonly)]
    ran = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, (ran.returncode, ran.stderr)
