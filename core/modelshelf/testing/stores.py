"""The conformance suite of a store: the promises of `modelshelf.store`, one by one."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import frozen

from modelshelf.errors import StoreAbsentError, StoreError
from modelshelf.model import ModelConfig, Severity
from modelshelf.store import LONGEST_KEY
from modelshelf.testing.examination import plugin_set
from modelshelf.testing.store_program import add_one, count, counted, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from modelshelf.store import Snapshot, Store, StoreType, Transaction

_THREADS, _PROCESSES, _TIMES = 4, 2, 8
_RECORDS = 1024  # bytes: a smaller file is no place of records
_PATIENCE = 60  # seconds that another thread or process has


@frozen(kw_only=True)
class StoreCase:
    """A store that is not there yet.

    Attributes:
        plugin: The plugin: its module, or an object whose methods are hooks.
        scheme: The URL scheme that it offers.
        location: A path or URL of its own for each test, where nothing is yet.
        shared: Whether handles and processes share the store. A store in memory says False, and is spared
            the tests of several handles, several processes and reopening.
    """

    plugin: object
    scheme: str
    location: str
    shared: bool = True

    def need_sharing(self) -> None:
        """Skip the test where the store lives in one handle alone."""
        if not self.shared:
            pytest.skip("the store is not shared between handles")

    def open(self, *, readonly: bool = False) -> Store:
        """Open the store there."""
        return open_store(self.plugin, self.scheme, self.location, readonly=readonly)

    def elsewhere(self, task: str, times: int = 1) -> subprocess.Popen[str]:
        """A process that waits for a line before it does a task of `store_program`.

        Skips the test where another process cannot import the plugin.
        """
        module = getattr(self.plugin, "__name__", None)
        if module not in sys.modules:
            pytest.skip("the plugin is no module that another process could import")
        program = [sys.executable, "-m", "modelshelf.testing.store_program", str(module)]
        return subprocess.Popen(  # noqa: S603 - this very interpreter
            [*program, self.scheme, self.location, task, str(times)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


class StoreSuite:
    """Inherit this in an empty class and give a fixture ``store_case`` that returns a `StoreCase`."""

    @pytest.fixture
    def opened(self, store_case: StoreCase) -> Iterator[Callable[[], Store]]:
        """Opens the store, any number of times; each is closed when the test is over."""
        stores: list[Store] = []

        def open_it() -> Store:
            stores.append(store_case.open())
            return stores[-1]

        yield open_it
        for one in stores:
            one.close()

    @pytest.fixture
    def store(self, opened: Callable[[], Store]) -> Store:
        """The store, open and empty."""
        return opened()

    def test_the_store_is_offered(self, store_case: StoreCase) -> None:
        """The plugin loads, and its descriptor has a URL scheme."""
        plugins = plugin_set(store_case.plugin)
        kinds: list[StoreType] = plugins.collect("modelshelf_stores")
        assert not plugins.failures, [str(one) for one in plugins.failures]
        assert store_case.scheme in {one.scheme for one in kinds}
        assert all(re.fullmatch(r"[a-z][a-z0-9+.-]*", one.scheme) for one in kinds)  # RFC 3986, section 3.1

    def test_what_was_put_is_there_after_reopening(self, store_case: StoreCase, store: Store) -> None:
        """Every byte of keys and values, the longest and the empty ones included."""
        store_case.need_sharing()
        values = {b"\0": b"", b"\xff" * LONGEST_KEY: b"\0\xff", b"large": os.urandom(1 << 20)}
        assert store.update(lambda state: _put(state, values)) == len(values)
        store.close()
        reopened = store_case.open()
        assert not _differences(reopened, values)
        reopened.close()

    def test_keys_keep_case_and_every_byte(self, store: Store) -> None:
        """Keys that differ in case or in trailing zeros, or that are no text, are keys of their own."""
        keys = [
            b"key",
            b"KEY",
            b"Key",
            b"key ",
            b" key",
            b"key\0",
            b"key\n",
            b"k/../key",
            b"\xc3\xa9",
            b"e\xcc\x81",
        ]
        keys += [bytes([byte]) for byte in range(256) if byte]
        keys += [b"\xff" * LONGEST_KEY, b"\xff" * (LONGEST_KEY - 1)]
        values = {key: b"%d" % number for number, key in enumerate(keys)}
        store.update(lambda state: _put(state, values))
        assert not _differences(store, values)
        for key, value in values.items():
            assert store.view(lambda state, key=key: state.get(key)) == value, key  # type: ignore[misc]
        store.update(lambda state: state.delete(b"key"))
        assert _everything(store) == {key: value for key, value in values.items() if key != b"key"}

    def test_values_are_kept_whole_whatever_their_length(self, store: Store) -> None:
        """Beyond 64 KiB and 1 MiB too, with every byte; a value that is shorter than the last one is so."""
        lengths = (0, 1, 255, 256, 65_535, 65_536, (1 << 20) + 1, 5 << 20)
        values = {b"%d" % length: os.urandom(length) for length in lengths}
        values[b"blanks"] = b" \t\n blanks \n\t "
        values[b"bytes"] = bytes(range(256)) + b" \t\r\n\0"
        store.update(lambda state: _put(state, values))
        assert not _differences(store, values)
        got = store.view(lambda state: {key: state.get(key) for key in values})
        kinds = {key: type(value).__name__ for key, value in got.items() if type(value) is not bytes}
        assert not kinds, f"what is got by a key is no bytes: {kinds}"
        different = [key for key, value in values.items() if got[key] != value]
        assert not different, f"got by its key each of these is another value than was put: {different}"
        store.update(lambda state: state.put(b"%d" % lengths[-1], b"short"))
        assert not _differences(store, {**values, b"%d" % lengths[-1]: b"short"})

    def test_a_view_changes_nothing(self, store: Store) -> None:
        """What `view` gives to its work has no `put` that is kept."""
        store.update(add_one)

        def work(state: Snapshot) -> None:
            with contextlib.suppress(Exception):
                state.put(b"b", b"2")  # type: ignore[attr-defined]

        store.view(work)
        assert _everything(store) == {b"counter": b"1"}

    def test_an_update_and_a_view_give_their_works_result(self, store: Store) -> None:
        """The very value, None and false ones too; an exception of a view comes through as it is."""
        for result in (None, 0, b"", object()):
            assert store.update(lambda _state, result=result: result) is result  # type: ignore[misc]
            assert store.view(lambda _state, result=result: result) is result  # type: ignore[misc]

        def fail(_state: Snapshot) -> None:
            raise LookupError("stop")

        with pytest.raises(LookupError):
            store.view(fail)
        store.update(add_one)
        assert store.view(counted) == 1

    def test_the_revision_changes_with_a_commit_that_only_deletes(self, store: Store) -> None:
        """And with one that only writes another value: caches go by it."""
        store.update(lambda state: _put(state, {b"a": b"1", b"b": b"2"}))
        revisions = [store.revision()]
        changes: list[Callable[[Transaction], object]] = [
            lambda state: state.delete(b"a"),
            lambda state: state.put(b"b", b"3"),
            lambda state: state.delete(b"b"),
            lambda state: _put(state, {b"a": b"1", b"b": b"2"}),  # what there was in the beginning
        ]
        for change in changes:
            store.update(change)
            revisions.append(store.revision())
            assert store.view(lambda state: state.revision) == revisions[-1]
        assert len(set(revisions)) == len(revisions), f"revisions repeat: {revisions}"

    def test_damage_is_found(self, store_case: StoreCase, store: Store) -> None:
        """Files cut short or overwritten: what is read is right, or a `StoreError` or a finding says so.

        Skipped for a store that has no files at its location.
        """
        store_case.need_sharing()
        values = {b"key %d" % number: os.urandom(3000) for number in range(40)}
        store.update(lambda state: _put(state, values))
        store.close()
        files = _files_of(store_case)
        if not files:
            pytest.skip("the store has no files at its location")
        contents = {path: path.read_bytes() for path in files}
        for how, damage in _DAMAGES.items():
            for path, content in contents.items():
                path.write_bytes(damage(content))
            assert _is_noticed(store_case, values), f"{how}: other records are given, and nothing is found"

    def test_an_update_sees_its_own_changes(self, store: Store) -> None:
        """Put and deleted keys show in the transaction's own reading, its scan included."""

        def work(state: Transaction) -> tuple[object, ...]:
            state.put(b"a", b"1")
            state.put(b"b", b"2")
            given = (state.delete(b"a"), state.delete(b"a"), state.get(b"a"), state.get(b"b"))
            return (*given, dict(state.scan()))

        assert store.update(work) == (True, False, None, b"2", {b"b": b"2"})

    def test_a_scan_goes_by_prefix_in_bytewise_order(self, store: Store) -> None:
        """Neither in the order of insertion nor in that of any language."""
        keys = [b"b", b"a\xff", b"ab", b"\xff\xff", b"a", b"aa", b"a\x00"]
        store.update(lambda state: _put(state, dict.fromkeys(keys, b"")))
        assert [key for key, _ in store.view(lambda state: list(state.scan()))] == sorted(keys)
        for prefix in (b"a", b"a\xff", b"\xff", b"c"):
            found = store.view(lambda state, prefix=prefix: [key for key, _ in state.scan(prefix)])  # type: ignore[misc]
            assert found == sorted(key for key in keys if key.startswith(prefix)), prefix

    def test_it_does_what_a_dictionary_does(self, store_case: StoreCase, opened: Callable[[], Store]) -> None:
        """Over many small updates by turns through two handles."""
        store_case.need_sharing()
        chosen, wanted = random.Random(0), {}  # noqa: S311 - the same each time
        handles = [opened(), opened()]
        for number in range(30):
            changes = {b"k%d" % chosen.randrange(20): b"%d" % number for _ in range(3)}
            gone = b"k%d" % chosen.randrange(20)

            def work(state: Transaction, changes: dict[bytes, bytes] = changes, gone: bytes = gone) -> None:
                _put(state, changes)
                state.delete(gone)

            handles[number % 2].update(work)
            wanted.update(changes)
            wanted.pop(gone, None)
            assert _everything(handles[1 - number % 2]) == wanted

    def test_an_exception_undoes_the_whole_update(self, store: Store) -> None:
        """It comes through as it is, and neither data nor revision changed."""
        store.update(add_one)
        before = store.revision()

        def work(state: Transaction) -> None:
            add_one(state)
            state.put(b"b", b"2")
            raise LookupError("stop")

        with pytest.raises(LookupError):
            store.update(work)
        assert (_everything(store), store.revision()) == ({b"counter": b"1"}, before)

    def test_the_revision_changes_with_every_commit_of_any_handle(
        self, store_case: StoreCase, opened: Callable[[], Store]
    ) -> None:
        """And with nothing else; a snapshot gives the same."""
        store_case.need_sharing()
        one, other = opened(), opened()
        revisions = [one.revision()]
        for handle in (one, other, one):
            handle.update(add_one)
            revisions.append(one.revision())
            assert other.revision() == revisions[-1], "two handles tell different revisions"
            assert other.view(lambda state: state.revision) == revisions[-1]
            _everything(one)
            assert one.revision() == revisions[-1], "reading changes the revision"
        assert len(set(revisions)) == len(revisions), f"revisions repeat: {revisions}"

    def test_a_view_sees_one_state_whatever_is_committed_meanwhile(
        self, store_case: StoreCase, opened: Callable[[], Store]
    ) -> None:
        """A second handle commits in the middle of it, and is not held up by it."""
        store_case.need_sharing()
        store, other = opened(), opened()
        store.update(lambda state: _put(state, {b"a": b"old", b"b": b"old"}))

        def work(state: Snapshot) -> tuple[object, ...]:
            first = state.get(b"a")
            _in_thread(
                lambda: other.update(lambda change: _put(change, dict.fromkeys((b"a", b"b", b"c"), b"new")))
            )
            return first, state.get(b"b"), state.get(b"c"), [value for _, value in state.scan()]

        assert store.view(work) == (b"old", b"old", None, [b"old", b"old"])
        assert set(_everything(store).values()) == {b"new"}

    def test_an_open_update_shows_to_nobody_else(
        self, store_case: StoreCase, opened: Callable[[], Store]
    ) -> None:
        """Until it is committed."""
        store_case.need_sharing()
        store, other = opened(), opened()
        states: list[dict[bytes, bytes]] = []

        def work(state: Transaction) -> None:
            add_one(state)
            _in_thread(lambda: states.append(_everything(other)))

        store.update(work)
        assert states[-1] == {}, "what is not committed is visible"
        assert _everything(other) == {b"counter": b"1"}

    def test_no_update_of_several_threads_is_lost(
        self, store_case: StoreCase, opened: Callable[[], Store]
    ) -> None:
        """Each thread with a handle of its own, and all with one."""
        store_case.need_sharing()
        shared = opened()
        handles = [shared, shared, *(opened() for _ in range(_THREADS - 2))]
        threads = [threading.Thread(target=count, args=(one, _TIMES), daemon=True) for one in handles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_PATIENCE)
        assert shared.view(counted) == _THREADS * _TIMES

    def test_no_update_of_several_processes_is_lost(self, store_case: StoreCase, store: Store) -> None:
        """And the handle that was open before sees all of them."""
        store_case.need_sharing()
        running = [store_case.elsewhere("count", _TIMES) for _ in range(_PROCESSES)]
        for one in running:  # so that all of them write at once
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n", one.communicate()
        for one in running:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        count(store, _TIMES)
        for one in running:
            out, _ = one.communicate(timeout=_PATIENCE)
            assert one.returncode == 0, out
        assert store.view(counted) == (_PROCESSES + 1) * _TIMES

    def test_a_killed_writer_leaves_nothing_half_done(self, store_case: StoreCase, store: Store) -> None:
        """What was committed before stands, and the next writer is not locked out."""
        store_case.need_sharing()
        store.update(add_one)
        died = store_case.elsewhere("die")
        out, _ = died.communicate("\n", timeout=_PATIENCE)
        assert died.returncode == -signal.SIGKILL, out
        assert _everything(store) == {b"counter": b"1"}
        store.update(add_one)
        assert store.view(counted) == 2  # noqa: PLR2004 - two updates

    def test_a_forked_child_works_on_its_own(self, store_case: StoreCase, store: Store) -> None:
        """Parent and child go on with the store that was open before the fork."""
        store_case.need_sharing()
        forked = store_case.elsewhere("fork")
        out, _ = forked.communicate("\n", timeout=_PATIENCE)
        assert forked.returncode == 0, out
        assert store.view(counted) == 3  # noqa: PLR2004 - before, in the child, after

    def test_an_update_within_a_view_or_update_is_refused(self, store: Store) -> None:
        """With a `StoreError` instead of a wait for itself; the store is usable afterwards."""
        for outer in (store.view, store.update):

            def nested(_state: Snapshot) -> None:
                with pytest.raises(StoreError):
                    store.update(add_one)

            outer(nested)
        store.update(add_one)
        assert store.view(counted) == 1

    @pytest.mark.parametrize("key", [b"", b"k" * (LONGEST_KEY + 1)], ids=["empty", "too long"])
    def test_a_key_beyond_the_limits_is_a_store_error(self, store: Store, key: bytes) -> None:
        """Keys have 1 to 511 bytes."""
        for work in (lambda state: state.put(key, b""), lambda state: state.get(key)):
            with pytest.raises(StoreError):
                store.update(work)
        assert _everything(store) == {}

    def test_a_closed_store_says_so(self, store: Store) -> None:
        """With a `StoreError`; closing twice is fine."""
        store.close()
        store.close()
        for call in (lambda: store.view(counted), lambda: store.update(add_one)):
            with pytest.raises(StoreError):
                call()

    def test_reading_only_writes_nothing(self, store_case: StoreCase) -> None:
        """Not even the place; an update is refused with a `StoreError`.

        That there is no store is a `StoreAbsentError`, by which a command that only looks shows an empty one.
        """
        store_case.need_sharing()
        with pytest.raises(StoreAbsentError):
            store_case.open(readonly=True)
        place = Path(store_case.location.split("://", 1)[-1])
        assert not os.path.lexists(place), "opening for reading only made the store"
        if place.parent.is_dir() and "://" not in store_case.location:  # a folder that nobody used yet
            place.mkdir(mode=0o755)
            with contextlib.suppress(StoreAbsentError):
                store_case.open(readonly=True).close()
            assert place.stat().st_mode & 0o777 == 0o755, "opening for reading only changed the folder's mode"  # noqa: PLR2004 - the mode it was made with
            assert not list(place.iterdir()), "opening for reading only made files"
            place.rmdir()
        written = store_case.open()
        written.update(add_one)
        written.close()
        store = store_case.open(readonly=True)
        assert store.view(counted) == 1
        with pytest.raises(StoreError):
            store.update(add_one)
        store.close()

    def test_a_sound_store_is_found_sound(self, store: Store) -> None:
        """The check changes nothing; the location is named."""
        store.update(add_one)
        before = (store.revision(), _everything(store))
        found = [one for one in store.check() if one.severity is Severity.ERROR]
        assert not found, found
        assert (store.revision(), _everything(store)) == before
        assert store.location

    def test_a_registry_keeps_its_records_there(
        self, store_case: StoreCase, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Asked for by its URL, as a person does."""
        store_case.need_sharing()
        from modelshelf.registry.registry import ModelRegistry

        prefix = f"{store_case.scheme}://"
        url = store_case.location if store_case.location.startswith(prefix) else prefix + store_case.location
        model = ModelConfig(id="lab/model", path="/models/model.gguf", added_at=1, updated_at=1)
        folder = tmp_path_factory.mktemp("models")
        with ModelRegistry(folder, url, plugins=[store_case.plugin]) as registry:
            registry.register(model)
        with ModelRegistry(folder, url, plugins=[store_case.plugin], readonly=True) as registry:
            assert registry.get("lab/model") == model


_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut to a third": lambda content: content[: len(content) // 3],
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"no store of records\n" * (len(content) // 20 + 1),
}


def _files_of(case: StoreCase) -> list[Path]:
    """The store's files of some length; locks and the like are no records."""
    place = Path(case.location.split("://", 1)[-1])
    found = [place] if place.is_file() else sorted(place.rglob("*")) if place.is_dir() else []
    return [path for path in found if path.is_file() and path.stat().st_size >= _RECORDS]


def _is_noticed(case: StoreCase, values: dict[bytes, bytes]) -> bool:
    """Whether the damaged store gives the values that were put, or says that it is damaged."""
    try:
        store = case.open()
    except StoreError:
        return True
    try:
        if any(one.severity is Severity.ERROR for one in store.check()):
            return True
        return _everything(store) == values
    except StoreError:
        return True
    finally:
        store.close()


def _put(state: Transaction, values: dict[bytes, bytes]) -> int:
    for key, value in values.items():
        state.put(key, value)
    return len(values)


def _differences(store: Store, values: dict[bytes, bytes]) -> list[str]:
    """Where the store has something else, a line a key.

    Not left to an assertion on the values: pytest's own comparison of such long ones takes minutes.
    """
    found = _everything(store)
    return [
        f"{key[:40]!r}: {_size_of(found.get(key))} in place of {_size_of(values.get(key))}"
        for key in sorted(found.keys() | values.keys())
        if found.get(key) != values.get(key)
    ]


def _size_of(value: bytes | None) -> str:
    return "nothing" if value is None else f"{len(value)} bytes"


def _everything(store: Store) -> dict[bytes, bytes]:
    return store.view(lambda state: dict(state.scan()))


def _in_thread(work: Callable[[], object]) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    assert not thread.is_alive(), "another handle has to wait until this one is done"
    assert not failed, failed[0]
