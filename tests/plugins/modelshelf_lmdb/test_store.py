from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import modelshelf_lmdb
from modelshelf.errors import StoreError, StoreUnavailableError
from modelshelf.store import LONGEST_KEY
from modelshelf_lmdb.identity import KEY
from modelshelf_lmdb.store import LmdbStore

NOBODY = 65534


def everything(store: LmdbStore) -> dict[bytes, bytes]:
    return store.view(lambda snapshot: dict(snapshot.scan()))


def put(store: LmdbStore, **values: bytes) -> None:
    store.update(lambda txn: [txn.put(key.encode(), value) for key, value in values.items()])


def test_the_hook_offers_a_store_behind_the_scheme(folder):
    (kind,) = modelshelf_lmdb.modelshelf_stores()
    store = kind.open(str(folder), False)  # noqa: FBT003 - as the registry calls it
    assert (kind.scheme, store.location) == ("lmdb", str(folder))
    store.close()


def test_what_an_update_put_every_store_on_the_folder_sees(opened):
    one, other = opened(), opened()
    assert one.update(lambda txn: txn.put(b"a", b"1") or "result") == "result"
    assert other.view(lambda snapshot: snapshot.get(b"a")) == b"1"
    assert other.view(lambda snapshot: snapshot.get(b"b")) is None


def test_records_outlive_the_store_object(opened):
    store = opened()
    put(store, a=b"1")
    store.close()
    assert everything(opened()) == {b"a": b"1"}


def test_delete_tells_whether_the_key_was_there(opened):
    store = opened()
    put(store, a=b"1")
    assert store.update(lambda txn: (txn.delete(b"a"), txn.delete(b"a"))) == (True, False)


def test_an_exception_undoes_the_whole_update(opened):
    store = opened()
    put(store, a=b"1")
    before = store.revision()

    def fail(txn):
        txn.put(b"a", b"2")
        txn.put(b"b", b"2")
        raise LookupError("stop")

    with pytest.raises(LookupError):
        store.update(fail)
    assert (everything(store), store.revision()) == ({b"a": b"1"}, before)


def test_the_revision_changes_with_every_commit_and_with_nothing_else(opened):
    store = opened()
    revisions = [store.revision()]
    for value in (b"1", b"2"):
        put(store, a=value)
        revisions.append(store.revision())
        everything(store)
        revisions.append(store.revision())
    assert revisions[1] == revisions[2] != revisions[3] == revisions[4] != revisions[0]


@pytest.mark.parametrize("key", [b"", b"k" * (LONGEST_KEY + 1)])
def test_a_key_beyond_the_limits_is_a_store_error(opened, key):
    store = opened()
    for work in (lambda txn: txn.put(key, b""), lambda txn: txn.delete(key), lambda txn: txn.get(key)):
        with pytest.raises(StoreError, match="1 to 511 bytes"):
            store.update(work)


def test_the_longest_key_and_an_empty_value_are_kept(opened):
    store = opened()
    key = b"\xff" * LONGEST_KEY
    store.update(lambda txn: txn.put(key, b""))
    assert everything(store) == {key: b""}
    assert store.view(lambda snapshot: list(snapshot.scan(key))) == [(key, b"")]


def test_scan_gives_the_keys_of_a_prefix_in_bytewise_order(opened):
    store = opened()
    put(store, b=b"", ab=b"", a=b"", aa=b"")
    store.update(lambda txn: [txn.put(b"a\xff", b""), txn.put(b"\xff\xff", b"")])
    assert store.view(lambda s: [key for key, _ in s.scan(b"a")]) == [b"a", b"aa", b"ab", b"a\xff"]
    assert store.view(lambda s: [key for key, _ in s.scan(b"\xff")]) == [b"\xff\xff"]
    assert store.view(lambda s: list(s.scan(b"c"))) == []


def test_a_scan_is_lazy_and_refuses_to_go_on_after_its_view(opened):
    store = opened()
    store.update(lambda txn: [txn.put(b"k%04d" % i, b"v") for i in range(500)])
    carried = store.view(lambda snapshot: (snapshot, snapshot.scan(), next(snapshot.scan())))
    assert carried[2] == (b"k0000", b"v")
    with pytest.raises(StoreError, match="inside"):
        next(carried[1])
    with pytest.raises(StoreError, match="inside"):
        carried[0].get(b"k0001")


def test_a_scan_that_began_in_its_view_refuses_to_go_on_after_it(opened):
    store = opened()
    store.update(lambda txn: [txn.put(b"k%04d" % i, b"v") for i in range(500)])

    def begin(snapshot):
        scan = snapshot.scan()
        next(scan)
        return scan

    with pytest.raises(StoreError, match="inside"):
        list(store.view(begin))


def test_an_update_sees_its_own_changes_while_it_scans(opened):
    store = opened()
    store.update(lambda txn: [txn.put(b"k%03d" % i, b"old") for i in range(300)])

    def every_other(txn):
        keys = []
        for number, (key, _) in enumerate(txn.scan(b"k")):
            keys.append(key)
            if number % 2:
                txn.delete(key)
            else:
                txn.put(key, b"new" * 200)
        return keys

    assert len(store.update(every_other)) == 300
    assert everything(store) == {b"k%03d" % i: b"new" * 200 for i in range(0, 300, 2)}


def test_a_view_keeps_its_state_while_others_commit(opened):
    store = opened()
    put(store, a=b"1")

    def look(snapshot):
        first = snapshot.get(b"a")
        writer = threading.Thread(target=put, args=(store,), kwargs={"a": b"2"})
        writer.start()
        writer.join()
        return first, snapshot.get(b"a"), dict(snapshot.scan())

    assert store.view(look) == (b"1", b"1", {b"a": b"1"})
    assert everything(store) == {b"a": b"2"}


def test_a_view_inside_an_update_sees_what_is_committed(opened):
    store = opened()
    put(store, a=b"1")

    def nested(txn):
        txn.put(b"a", b"2")
        return txn.get(b"a"), store.view(lambda snapshot: snapshot.get(b"a"))

    assert store.update(nested) == (b"2", b"1")


@pytest.mark.parametrize("outer", ["view", "update"])
def test_an_update_inside_a_view_or_update_of_its_thread_is_refused(opened, outer):
    store = opened()
    with pytest.raises(StoreError, match="inside a view or update"):
        getattr(store, outer)(lambda _: put(store, a=b"1"))
    put(store, a=b"2")
    assert everything(store) == {b"a": b"2"}


def test_many_threads_share_one_store(opened):
    store = opened()
    failures = []

    def work(number):
        try:
            for i in range(20):
                store.update(lambda txn, i=i: txn.put(b"%d/%d" % (number, i), b"x" * 2000))
                assert len(store.view(lambda s: list(s.scan(b"%d/" % number)))) == i + 1
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(everything(store)) == 120


def test_the_map_grows_and_the_work_is_run_again(opened):
    store = opened()
    runs = []

    def work(txn):
        runs.append(1)
        for i in range(90):
            txn.put(b"%03d" % i, bytes([i]) * 1_000_000)

    store.update(work)
    assert len(runs) > 1
    assert store.view(lambda s: [(key, value[:1]) for key, value in s.scan()]) == [
        (b"%03d" % i, bytes([i])) for i in range(90)
    ]


def test_growing_waits_for_a_view_of_another_thread_and_leaves_it_whole(opened):
    store = opened()
    put(store, a=b"1")
    inside, done = threading.Event(), threading.Event()
    values = []

    def look(snapshot):
        inside.set()
        done.wait(0.5)
        values.append(snapshot.get(b"a"))

    reader = threading.Thread(target=store.view, args=(look,))
    reader.start()
    inside.wait()
    store.update(lambda txn: [txn.put(b"%03d" % i, b"x" * 1_000_000) for i in range(90)])
    done.set()
    reader.join()
    assert values == [b"1"]


def test_work_that_swallows_the_failed_put_is_run_again_all_the_same(opened):
    store = opened()

    def careless(txn):
        for i in range(90):
            with contextlib.suppress(Exception):
                txn.put(b"%03d" % i, b"x" * 1_000_000)

    store.update(careless)
    assert len(everything(store)) == 90


def test_folder_and_files_are_for_their_owner_alone(opened, folder):
    opened(folder / "below")
    assert stat.S_IMODE((folder / "below").stat().st_mode) == 0o700
    for name in ("data.mdb", "lock.mdb"):
        assert stat.S_IMODE((folder / "below" / name).stat().st_mode) == 0o600


def test_files_that_other_accounts_can_read_are_named(opened, folder):
    store = opened()
    assert list(store.check()) == []
    (folder / "data.mdb").chmod(0o644)
    assert [finding.code for finding in store.check()] == ["store-open-to-others"]


@pytest.mark.parametrize("name", ["modèles 日本", "space and 100%", "odd\udcffbyte", "new\nline"])
def test_a_folder_of_any_name_holds_a_store(tmp_path, opened, name):
    store = opened(tmp_path / name)
    put(store, a=b"1")
    assert everything(opened(tmp_path / name)) == {b"a": b"1"}


def test_a_url_names_the_folder_with_percent_escapes(tmp_path, opened):
    put(opened(tmp_path / "my data"), a=b"1")
    assert everything(opened(f"lmdb://{tmp_path}/my%20data", readonly=True)) == {b"a": b"1"}


@pytest.mark.parametrize("path", ["", "a\0b", "lmdb://host/folder"])
def test_a_path_that_names_no_folder_is_refused(path):
    with pytest.raises(StoreUnavailableError):
        LmdbStore.open(path)


def test_opening_for_reading_creates_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "absent", tmp_path / "empty"):
        with pytest.raises(StoreUnavailableError, match="no store yet"):
            LmdbStore.open(str(folder), readonly=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_a_store_without_its_lock_file_is_read_without_making_one(opened, folder):
    store = opened()
    put(store, a=b"1")
    store.close()
    (folder / "lock.mdb").unlink()
    assert everything(opened(readonly=True)) == {b"a": b"1"}
    assert not (folder / "lock.mdb").exists()


def test_a_store_opened_for_reading_refuses_updates_and_makes_way_for_a_writer(opened):
    opened().close()
    reader = opened(readonly=True)
    with pytest.raises(StoreUnavailableError, match="reading only"):
        put(reader, a=b"1")
    writer = opened()
    put(writer, a=b"2")
    assert everything(reader) == {b"a": b"2"}
    with pytest.raises(StoreUnavailableError, match="reading only"):
        put(reader, a=b"1")


def test_a_closed_store_refuses_and_closes_twice(opened):
    store, other = opened(), opened()
    store.close()
    store.close()
    for call in (
        store.revision,
        lambda: everything(store),
        lambda: put(store, a=b"1"),
        lambda: list(store.check()),
    ):
        with pytest.raises(StoreUnavailableError, match="closed"):
            call()
    put(other, a=b"1")
    assert everything(other) == {b"a": b"1"}


def test_closing_inside_a_view_lets_the_view_end_first(opened):
    store = opened()
    put(store, a=b"1")
    assert store.view(lambda snapshot: store.close() or snapshot.get(b"a")) == b"1"
    assert everything(opened()) == {b"a": b"1"}


def test_a_removed_folder_is_noticed_before_a_write_vanishes(opened, folder):
    store = opened()
    put(store, a=b"1")
    for name in ("data.mdb", "lock.mdb"):
        (folder / name).unlink()
    folder.rmdir()
    with pytest.raises(StoreUnavailableError, match="removed or replaced"):
        put(store, b=b"2")
    assert [finding.code for finding in store.check()] == ["store-unavailable"]


def test_a_replaced_store_is_noticed_and_the_new_one_opens_beside_it(opened, folder):
    store = opened()
    put(store, a=b"1")
    folder.rename(folder.with_name("aside"))
    put(opened(), b=b"2")
    with pytest.raises(StoreUnavailableError, match="removed or replaced"):
        put(store, c=b"3")
    assert everything(opened()) == {b"b": b"2"}


def test_a_store_on_the_way_of_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("here")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreUnavailableError, match="failed"):
            LmdbStore.open(str(path))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, to become nobody")
def test_a_folder_that_cannot_be_written_is_read_and_refuses_updates():
    with tempfile.TemporaryDirectory() as made:  # pytest's own folders are closed to other accounts
        folder = Path(made)
        store = LmdbStore.open(made)
        put(store, a=b"1")
        store.close()
        folder.chmod(0o755)
        for name in ("data.mdb", "lock.mdb"):
            (folder / name).chmod(0o444)
        assert as_nobody(folder) == ["b'1'", "b'1'", "StoreUnavailableError True"]


def as_nobody(folder):
    program = (
        "import os, sys\n"
        "from modelshelf_lmdb.store import LmdbStore\n"
        f"os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "for readonly in (True, False):\n"
        "    store = LmdbStore.open(sys.argv[1], readonly=readonly)\n"
        "    print(store.view(lambda s: s.get(b'a')))\n"
        "try: store.update(lambda s: s.put(b'a', b'2'))\n"
        "except Exception as error: print(type(error).__name__, 'permissions' in str(error))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


KEYS = st.binary(min_size=1, max_size=12).filter(lambda key: key != KEY)
STEPS = st.lists(st.tuples(st.sampled_from("pd"), KEYS, st.binary(max_size=3000)), max_size=60)


@settings(deadline=None, max_examples=40)
@given(batches=st.lists(STEPS, max_size=4), prefix=st.binary(max_size=2))
def test_a_store_is_an_ordered_map(tmp_path_factory, batches, prefix):
    store = LmdbStore.open(str(tmp_path_factory.mktemp("map")))
    expected: dict[bytes, bytes] = {}
    for steps in batches:

        def work(txn, steps=steps, expected=expected):
            for kind, key, value in steps:
                if kind == "p":
                    txn.put(key, value)
                    expected[key] = value
                else:
                    assert txn.delete(key) is (expected.pop(key, None) is not None)
            assert list(txn.scan(prefix)) == sorted(i for i in expected.items() if i[0].startswith(prefix))

        store.update(work)
        assert store.view(lambda s: list(s.scan())) == sorted(expected.items())
        assert list(store.check()) == []
    store.close()


def test_importing_the_plugin_does_not_import_lmdb():
    program = "import sys, modelshelf_lmdb; print(sorted({'lmdb', 'cattrs'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
    assert Path(modelshelf_lmdb.__file__).name == "__init__.py"
