"""What is read of a damaged file without LMDB, and the new store that takes its place."""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.errors import DamagedStoreError, StoreError, StoreUnavailableError
from modelshelf.model import Severity
from modelshelf.records.frame import encode_value
from modelshelf.store import RemnantState
from modelshelf_lmdb.pages import read_metas
from modelshelf_lmdb.repair import replace, salvage
from modelshelf_lmdb.store import LmdbStore
from modelshelf_lmdb.tree import TreeReader

ROOT = Path(__file__).resolve().parents[3]

PAGE = 4096

MODELS = 600


def value_of(number: int, edition: int) -> bytes:
    """As the registry writes them, by which a store is recognised where its mark is damaged."""
    content = b"%d-%d-" % (number, edition) + b"v" * (9000 if number % 97 == 0 else 150 + number % 90)
    return encode_value(b"m/%05d" % number, content)


@pytest.fixture(scope="module")
def grown(tmp_path_factory) -> Path:
    """A store whose records were written twice, so that older copies lie about; every seventh was deleted."""
    folder = tmp_path_factory.mktemp("grown") / "data"
    store = LmdbStore.open(str(folder))
    for edition in (1, 2):
        for begin in range(0, MODELS, 200):
            store.update(
                lambda txn, begin=begin, edition=edition: [
                    txn.put(b"m/%05d" % number, value_of(number, edition))
                    for number in range(begin, begin + 200)
                ]
            )
    store.update(lambda txn: [txn.delete(b"m/%05d" % number) for number in range(0, MODELS, 7)])
    store.close()
    return folder


@pytest.fixture
def copy(grown, tmp_path) -> Path:
    path = tmp_path / "copy" / "data.mdb"
    path.parent.mkdir()
    path.write_bytes((grown / "data.mdb").read_bytes())
    return path


def expected() -> dict[bytes, bytes]:
    return {b"m/%05d" % number: value_of(number, 2) for number in range(MODELS) if number % 7}


def found(folder: Path, state: RemnantState) -> dict[bytes, bytes | None]:
    return {one.key: one.value for one in salvage(str(folder)) if one.state is state}


def zero(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(bytes(PAGE))


def tree_of(path: Path) -> tuple[list[int], list[int]]:
    """The branch pages and the leaf pages of the newest state."""
    data = path.read_bytes()
    fetch = lambda offset, length: data[offset : offset + length]  # noqa: E731 - short for what it stands for
    meta = read_metas(fetch)
    reader = TreeReader(fetch, meta, meta.main, len(data))
    levels = [[(meta.main.root, b"", None)]]
    while len(levels) < meta.main.depth:
        levels.append([below for page in levels[-1] for below in reader.read_branch(*page).children()])
    return [page[0] for level in levels[:-1] for page in level], [page[0] for page in levels[-1]]


def test_all_of_a_sound_store_is_current_and_what_was_deleted_is_former(copy):
    assert found(copy.parent, RemnantState.CURRENT) == expected()
    assert found(copy.parent, RemnantState.POSSIBLE) == {}
    assert found(copy.parent, RemnantState.FORMER)


def test_what_a_damaged_leaf_held_is_found_in_its_older_copies_and_the_rest_is_current(copy):
    leaf = tree_of(copy)[1][5]
    zero(copy, leaf)
    current = found(copy.parent, RemnantState.CURRENT)
    lost = expected().keys() - current.keys()
    assert lost
    assert {key: value for key, value in current.items() if value is not None}.items() <= expected().items()
    assert [key for key, value in current.items() if value is None], "the lost keys are not reported"
    assert lost <= found(copy.parent, RemnantState.FORMER).keys()


def test_the_leaves_below_a_damaged_branch_are_found_in_full(copy):
    zero(copy, tree_of(copy)[0][0])
    alive = found(copy.parent, RemnantState.CURRENT)
    current = {key: value for key, value in alive.items() if value is not None}
    assert current == expected()


@pytest.mark.parametrize("slots", [(0,), (1,), (0, 1)])
def test_without_a_meta_page_every_record_is_a_possible_one(copy, slots):
    for slot in slots:
        zero(copy, slot)
    remnants = [one for one in salvage(str(copy.parent)) if one.value is not None]
    assert {one.state for one in remnants} == {RemnantState.POSSIBLE}
    pairs = {(one.key, one.value) for one in remnants}
    assert expected().items() <= pairs


@pytest.mark.parametrize("slot", [0, 1])
def test_another_format_in_one_meta_page_alone_is_damage(copy, slot):
    data = bytearray(copy.read_bytes())
    data[slot * PAGE + 23] ^= 8  # the highest byte of mm_version
    copy.write_bytes(data)
    with pytest.raises(DamagedStoreError, match="different formats"):
        LmdbStore.open(str(copy.parent))
    pairs = {(one.key, one.value) for one in salvage(str(copy.parent))}
    assert expected().items() <= pairs


def test_another_format_in_both_is_another_format_and_is_left_alone(copy):
    data = bytearray(copy.read_bytes())
    for slot in (0, 1):
        data[slot * PAGE + 20] = 2
    copy.write_bytes(data)
    with pytest.raises(StoreUnavailableError, match="data version 2"):
        list(salvage(str(copy.parent)))
    with pytest.raises(StoreUnavailableError, match="data version 2"):
        LmdbStore.open(str(copy.parent))


def test_a_file_cut_short_gives_what_stands_before_the_cut(copy):
    os.truncate(copy, copy.stat().st_size // 2 + 100)
    remnants = {one.key: one.value for one in salvage(str(copy.parent)) if one.value is not None}
    assert len(remnants) > MODELS // 4


@settings(deadline=None, max_examples=120)
@given(
    changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=12),
    cut=st.none() | st.integers(0, 1 << 20),
)
def test_whatever_the_bytes_salvage_ends_and_gives_keys(grown, tmp_path_factory, changes, cut):
    data = bytearray((grown / "data.mdb").read_bytes())
    for offset, byte in changes:
        data[offset % len(data)] = byte
    folder = tmp_path_factory.mktemp("changed")
    (folder / "data.mdb").write_bytes(data[: None if cut is None else cut % len(data)])
    try:
        for one in salvage(str(folder)):
            assert isinstance(one.key, bytes)
    except StoreUnavailableError as error:
        assert re.search("version|format|another program", str(error))  # noqa: PT017 - one of two outcomes


def refill(folder: Path) -> str:
    return replace(
        str(folder),
        lambda store: store.update(
            lambda txn: [
                txn.put(one.key, one.value)
                for one in salvage(str(folder))
                if one.value is not None and one.state is RemnantState.CURRENT
            ]
        ),
    )


def test_the_new_store_takes_the_old_ones_place_and_the_old_one_is_kept_unchanged(copy):
    zero(copy, tree_of(copy)[1][3])
    before = copy.read_bytes()
    kept = Path(refill(copy.parent))
    assert kept.read_bytes() == before
    assert kept.name.startswith("data.mdb.damaged-2")
    store = LmdbStore.open(str(copy.parent))
    records = store.view(lambda s: dict(s.scan()))
    store.update(lambda txn: txn.put(b"after", b"1"))
    assert not [finding for finding in store.check() if finding.severity is Severity.ERROR]
    store.close()
    assert records.items() <= expected().items()
    assert records
    assert sorted(path.name for path in copy.parent.iterdir()) == ["data.mdb", kept.name, "lock.mdb"]


def test_a_store_that_is_open_is_not_replaced(copy):
    store = LmdbStore.open(str(copy.parent))
    with pytest.raises(StoreUnavailableError, match="has the store open"):
        refill(copy.parent)
    store.close()
    hold = (
        "import sys\nfrom modelshelf_lmdb.store import LmdbStore\n"
        "store = LmdbStore.open(sys.argv[1]); store.view(lambda s: s.get(b'a'))\n"
        "print('in', flush=True); sys.stdin.read()\n"
    )
    line = [sys.executable, "-c", hold, str(copy.parent)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "in\n"
        before = copy.read_bytes()
        with pytest.raises(StoreUnavailableError, match="has the store open"):
            refill(copy.parent)
        assert copy.read_bytes() == before
        other.stdin.close()
    refill(copy.parent)


def test_a_filling_that_fails_leaves_the_store_and_nothing_beside_it(copy):
    before = copy.read_bytes()

    def fail(_store):
        raise DamagedStoreError("no")

    with pytest.raises(DamagedStoreError, match="no"):
        replace(str(copy.parent), fail)
    assert copy.read_bytes() == before
    assert sorted(path.name for path in copy.parent.iterdir()) == ["data.mdb", "lock.mdb"]


def test_where_there_is_no_store_there_is_nothing_to_replace(tmp_path):
    with pytest.raises(StoreError, match="no store to repair"):
        refill(tmp_path)
    assert list(tmp_path.iterdir()) == []


STEPS = {"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "open", "tempfile.mkdtemp"}


def refill_until(folder: Path, step: int) -> bool:
    """Refill in a process that is killed at its n-th call that changes a file; whether it came to that."""
    pid = os.fork()
    if pid == 0:
        left = step

        def count(event, _arguments):
            nonlocal left
            if event in STEPS:
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            refill(folder)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_killed_at_any_step_there_is_the_old_store_or_the_new_one(grown, tmp_path):
    data = (grown / "data.mdb").read_bytes()
    for step in range(1, 100):
        folder = tmp_path / str(step)
        folder.mkdir()
        (folder / "data.mdb").write_bytes(data)
        killed = refill_until(folder, step)
        store = LmdbStore.open(str(folder))
        assert store.view(lambda s: dict(s.scan())) == expected(), step
        store.close()
        refill(folder)
        assert not list(folder.glob("repair-*"))
        if not killed:
            break
    assert step > 10


def test_a_writer_that_waited_while_the_store_was_replaced_does_not_write_into_the_kept_file(copy):
    # Without the lock file's help (as on a system without such locks) the two meet: the update must notice.
    store = LmdbStore.open(str(copy.parent))
    other = copy.with_name("new")
    other.write_bytes(copy.read_bytes())
    other.replace(copy)
    with pytest.raises(StoreUnavailableError, match="replaced while it was open"):
        store.update(lambda txn: txn.put(b"a", b"1"))
    store.close()


def test_a_record_whose_key_is_damaged_is_next_to_where_it_is_missed(copy):
    raw = bytearray(copy.read_bytes())
    leaf = next(page for page in tree_of(copy)[1] if b"m/00141" in raw[page * PAGE : (page + 1) * PAGE])
    place = raw.index(b"m/00141", leaf * PAGE)
    raw[place + 6] ^= 1  # 00140 was deleted, so the keys are still in order
    copy.write_bytes(raw)
    store = LmdbStore.open(str(copy.parent), readonly=True)

    def look(state):
        return state.get(b"m/00141"), dict(state.around(b"m/00141", b"m/00141\0"))

    missed, near = store.view(look)
    store.close()
    assert missed is None
    assert near.keys() == {b"m/00140", b"m/00142"}


def test_a_miss_on_a_page_that_hides_records_is_damage(copy):
    data = bytearray(copy.read_bytes())
    for leaf in tree_of(copy)[1]:
        lower = leaf * PAGE + 12
        count = struct.unpack_from("=H", data, lower)[0]
        struct.pack_into("=H", data, lower, count - 2)
    copy.write_bytes(data)
    store = LmdbStore.open(str(copy.parent), readonly=True)
    with pytest.raises(DamagedStoreError, match="doctor --repair"):
        store.view(lambda s: [s.get(b"m/%05d" % number) for number in range(MODELS)])
    store.close()
