"""A store for each way to be wrong, with the tests of the kit that have to catch it."""

# ruff: noqa: ARG002, ARG005 - hooks and protocols name their arguments

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import pytest

import modelshelf_lmdb
from modelshelf.model import Finding, Severity
from modelshelf.store import StoreType
from modelshelf.testing import StoreCase, StoreSuite

STORES = {}


def modelshelf_stores():
    for scheme, kind in STORES.items():
        yield StoreType(scheme=scheme, open=kind)


class Sound:
    """The default store, for others to spoil."""

    def __init__(self, location, readonly):
        (kind,) = modelshelf_lmdb.modelshelf_stores()
        self.inner = kind.open(location.removeprefix(f"{type(self).__name__.lower()}://"), readonly)

    def __getattr__(self, name):
        return getattr(self.inner, name)


class Live:
    """A file that is read and written at every step: whatever is done shows at once, and stays."""

    def __init__(self, location, readonly):
        self.location = location
        self.file = Path(location.removeprefix(f"{type(self).__name__.lower()}://"))
        if not self.file.exists():
            self.save({})

    def load(self):
        return {
            bytes.fromhex(key): bytes.fromhex(value)
            for key, value in json.loads(self.file.read_text()).items()
        }

    def save(self, records):
        new = self.file.with_suffix(f".{time.monotonic_ns()}")
        new.write_text(json.dumps({key.hex(): value.hex() for key, value in records.items()}))
        new.replace(self.file)

    def get(self, key):
        return self.load().get(key)

    def scan(self, prefix=b""):
        return iter(sorted((key, value) for key, value in self.load().items() if key.startswith(prefix)))

    def put(self, key, value):
        time.sleep(0.002)  # lets others in between reading and writing
        self.save({**self.load(), key: value})

    def delete(self, key):
        records = self.load()
        there = records.pop(key, None) is not None
        self.save(records)
        return there

    def view(self, work):
        return work(self)

    def update(self, work):
        return work(self)

    revision = 0

    def check(self):
        return iter(())

    def close(self):
        pass


class Forgetful(Live):
    """Keeps its records in the handle."""

    def __init__(self, location, readonly):
        self.records = {}
        self.location = location

    def load(self):
        return dict(self.records)

    def save(self, records):
        self.records = records


class Mute(Sound):
    """Its scheme cannot be written in a URL."""


class Blind(Sound):
    """An update that does not see its own changes."""

    def update(self, work):
        def inner(state):
            before = dict(state.scan())

            class Old:
                put, delete = state.put, state.delete
                get = staticmethod(before.get)
                scan = staticmethod(lambda prefix=b"": iter(sorted(before.items())))

            return work(Old)

        return self.inner.update(inner)


class Unsorted(Sound):
    """A scan in no order."""

    def view(self, work):
        def inner(state):
            class Turned:
                get, revision = state.get, state.revision
                scan = staticmethod(lambda prefix=b"": iter(list(state.scan(prefix))[::-1]))

            return work(Turned)

        return self.inner.view(inner)


class Stuck(Sound):
    """A revision that never changes."""

    def revision(self):
        return 7


class Pessimist(Sound):
    """Finds damage where there is none."""

    def check(self):
        yield Finding(code="damaged", severity=Severity.ERROR, message="surely")


class Changed(Sound):
    """Its transactions and snapshots change what goes through them."""

    put_twice = False

    def key(self, key):
        return key

    def value(self, value):
        return value

    def given(self, value):
        return value

    def _wrapped(self, state):
        outer = self

        class State:
            revision = state.revision

            def get(self, key):
                return outer.given(state.get(outer.key(key)))

            def scan(self, prefix=b""):
                return state.scan(prefix)

            def put(self, key, value):
                state.put(outer.key(key), outer.value(value))

            def delete(self, key):
                return state.delete(outer.key(key))

        return State()

    def view(self, work):
        return self.inner.view(lambda state: work(self._wrapped(state)))

    def update(self, work):
        return self.inner.update(lambda state: work(self._wrapped(state)))


class Lower(Changed):
    """Keys without case."""

    def key(self, key):
        return key.lower()


class Stripping(Changed):
    """Keys without the zeros at their end, as strings of C."""

    def key(self, key):
        return key.rstrip(b"\0") or key


class Textual(Changed):
    """Keys that are taken for text."""

    def key(self, key):
        return key.decode("utf-8", "replace").encode()[:511] or key


class Short(Changed):
    """Values of 1 MiB at most."""

    def value(self, value):
        return value[: 1 << 20]


class Lines(Changed):
    """Values written as lines of text."""

    def value(self, value):
        return value.replace(b"\r\n", b"\n")


class Trimming(Changed):
    """Values that are stripped."""

    def value(self, value):
        return value.strip()


class Falsy(Changed):
    """An empty value that is got as none."""

    def given(self, value):
        return value or None


class Mutable(Changed):
    """Values that whoever gets them may change."""

    def given(self, value):
        return value if value is None else bytearray(value)


class PutsOnly(Sound):
    """A revision that does not know of a commit that only deletes."""

    ADDED = b"\xff" * 511

    def __init__(self, location, readonly):
        super().__init__(location, readonly)
        self.missed = 0

    def revision(self):
        return self.inner.revision() - self.missed

    def update(self, work):
        put = []

        def inner(state):
            class State:
                get, scan, delete = state.get, state.scan, state.delete

                def put(self, key, value):
                    put.append(key)
                    state.put(key, value)

            return work(State())

        before = self.inner.revision()
        result = self.inner.update(inner)
        if not put:
            self.missed += self.inner.revision() - before
        return result


class Fingerprint(Sound):
    """A revision that is the digest of the data: the same data, the same revision."""

    def revision(self):
        return hash(tuple(self.inner.view(lambda state: list(state.scan()))))

    def view(self, work):
        def inner(state):
            class State:
                get, scan = state.get, state.scan
                revision = hash(tuple(state.scan()))

            return work(State())

        return self.inner.view(inner)


class Resultless(Sound):
    """Drops what the work of an update gives."""

    def update(self, work):
        self.inner.update(work)


class Swallowing(Sound):
    """Keeps an exception of a view to itself."""

    def view(self, work):
        try:
            return self.inner.view(work)
        except LookupError:
            return None


class Writable(Sound):
    """A view that writes."""

    def view(self, work):
        return self.inner.update(work)


class Starting(Live):
    """Starts anew where the file cannot be read."""

    def load(self):
        try:
            return super().load()
        except ValueError:
            return {}


class Salvaging(Live):
    """Gives what lines it can read."""

    def load(self):
        text = self.file.read_text("utf-8", "replace")
        found = re.findall(r'"([0-9a-f]*)": "([0-9a-f]*)"', text)
        return {bytes.fromhex(key): bytes.fromhex(value) for key, value in found}


SPOILED = (
    Falsy,
    Mutable,
    Lower,
    Stripping,
    Textual,
    Short,
    Lines,
    Trimming,
    PutsOnly,
    Fingerprint,
    Resultless,
    Swallowing,
)
STORES |= {one.__name__.lower(): one for one in (*SPOILED, Writable, Starting, Salvaging)}
STORES |= {one.__name__.lower(): one for one in (Live, Forgetful, Blind, Unsorted, Stuck, Pessimist)}
STORES["Mute scheme"] = Mute


@pytest.fixture
def store_case(request, tmp_path):
    return StoreCase(
        plugin=sys.modules[__name__], scheme=request.cls.scheme, location=str(tmp_path / "store")
    )


class TestHasNoScheme(StoreSuite):
    scheme = "mute"
    caught_by = "test_the_store_is_offered"


class TestLosesIsolation(StoreSuite):
    scheme = "live"
    caught_by = (
        "test_an_exception_undoes_the_whole_update",
        "test_a_view_sees_one_state_whatever_is_committed_meanwhile",
        "test_an_open_update_shows_to_nobody_else",
        "test_no_update_of_several_threads_is_lost",
        "test_no_update_of_several_processes_is_lost",
        "test_a_killed_writer_leaves_nothing_half_done",
        "test_an_update_within_a_view_or_update_is_refused",
        "test_a_key_beyond_the_limits_is_a_store_error",
        "test_a_closed_store_says_so",
        "test_reading_only_writes_nothing",
    )


class TestForgets(StoreSuite):
    scheme = "forgetful"
    caught_by = (
        "test_what_was_put_is_there_after_reopening",
        "test_it_does_what_a_dictionary_does",
        "test_a_forked_child_works_on_its_own",
        "test_a_registry_keeps_its_records_there",
    )


class TestDoesNotSeeItsOwnChanges(StoreSuite):
    scheme = "blind"
    caught_by = "test_an_update_sees_its_own_changes"


class TestScansInNoOrder(StoreSuite):
    scheme = "unsorted"
    caught_by = "test_a_scan_goes_by_prefix_in_bytewise_order"


class TestRevisionIsStuck(StoreSuite):
    scheme = "stuck"
    caught_by = "test_the_revision_changes_with_every_commit_of_any_handle"


class TestFindsDamageInTheSound(StoreSuite):
    scheme = "pessimist"
    caught_by = "test_a_sound_store_is_found_sound"


class TestKeysHaveNoCase(StoreSuite):
    scheme = "lower"
    caught_by = "test_keys_keep_case_and_every_byte"


class TestKeysLoseTheirZeros(StoreSuite):
    scheme = "stripping"
    caught_by = "test_keys_keep_case_and_every_byte"


class TestKeysAreText(StoreSuite):
    scheme = "textual"
    caught_by = "test_keys_keep_case_and_every_byte"


class TestValuesAreShort(StoreSuite):
    scheme = "short"
    caught_by = "test_values_are_kept_whole_whatever_their_length"


class TestValuesAreLines(StoreSuite):
    scheme = "lines"
    caught_by = "test_values_are_kept_whole_whatever_their_length"


class TestEmptyValuesAreNone(StoreSuite):
    scheme = "falsy"
    caught_by = "test_values_are_kept_whole_whatever_their_length"


class TestValuesCanBeChanged(StoreSuite):
    scheme = "mutable"
    caught_by = "test_values_are_kept_whole_whatever_their_length"


class TestValuesAreStripped(StoreSuite):
    scheme = "trimming"
    caught_by = "test_values_are_kept_whole_whatever_their_length"


class TestDeletingIsNoCommit(StoreSuite):
    scheme = "putsonly"
    caught_by = "test_the_revision_changes_with_a_commit_that_only_deletes"


class TestRevisionIsADigest(StoreSuite):
    scheme = "fingerprint"
    caught_by = "test_the_revision_changes_with_a_commit_that_only_deletes"


class TestDropsResults(StoreSuite):
    scheme = "resultless"
    caught_by = "test_an_update_and_a_view_give_their_works_result"


class TestSwallowsExceptions(StoreSuite):
    scheme = "swallowing"
    caught_by = "test_an_update_and_a_view_give_their_works_result"


class TestViewsWrite(StoreSuite):
    scheme = "writable"
    caught_by = "test_a_view_changes_nothing"


class TestStartsAnewOnDamage(StoreSuite):
    scheme = "starting"
    caught_by = "test_damage_is_found"


class TestSalvagesWithoutAWord(StoreSuite):
    scheme = "salvaging"
    caught_by = "test_damage_is_found"
