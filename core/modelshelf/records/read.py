"""What a listing reads of the records: summaries of many at once, pins, and the default.

Each record's seal is checked by itself, and their summaries are decoded in one go. Nothing here needs attrs,
which takes longer to load than a thousand summaries to read.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, cast

from modelshelf.errors import DamagedStoreError
from modelshelf.records.frame import (
    Summary,
    decode_summary,
    decode_value,
    fits,
    misplaced_error,
    packed_summaries,
    unpack,
)
from modelshelf.records.tables import DEFAULT, PATH_PREFIX, id_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from modelshelf.store import Snapshot

    OnDamage = Callable[[DamagedStoreError], object]
    Record = tuple[bytes, bytes]

_BATCH = 256  # records; more are hardly quicker, and are held at once
_PARTS = 3
_LONGEST_NUMBER = 20  # digits; more are left to the class that refuses too many
_ARRAY = b"\xdd"  # msgpack's array with a length of 32 bits, big-endian


def current_version(summaries: list[Summary], pinned: str | None) -> Summary:
    """Of all versions of one model the one that its id stands for."""
    for one in summaries:
        if one.version == pinned:
            return one
    numbers = [one.version.split(".") for one in summaries]
    # Three plain numbers, as nearly all have, are ordered without the class that knows all the rest.
    if all(len(parts) == _PARTS and all(map(_is_number, parts)) for parts in numbers):
        order: list[Any] = [tuple(map(int, parts)) for parts in numbers]
    else:
        from modelshelf.model.version import ModelVersion

        order = [ModelVersion.parse(one.version) for one in summaries]
    return max(zip(summaries, order, strict=True), key=lambda one: (not one[0].missing, one[1]))[0]


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdecimal() and len(part) < _LONGEST_NUMBER and str(int(part)) == part


class ListingReader:
    """Reading of one state of a store, as far as a listing goes.

    Args:
        state: The state.
        on_damage: Told of each record that `summaries` leaves out because it is damaged; without it the
            first one ends the listing.
    """

    def __init__(self, state: Snapshot, on_damage: OnDamage | None = None) -> None:
        self._state = state
        self._on_damage = on_damage

    def _value(self, key: bytes) -> Any:
        value = self._state.get(key)
        if value is None:
            self._ensure_absent(key)
            return None
        return decode_value(key, value)

    def _near(self, start: bytes, stop: bytes) -> list[Record]:
        """The records at the edges of a range, where a store tells them; see `store.Surrounded`."""
        around: Callable[[bytes, bytes], list[Record]] | None = getattr(self._state, "around", None)
        return [] if around is None else around(start, stop)

    def _ensure_absent(self, key: bytes) -> None:
        """Make sure that a record which was not found does not stand beside its place, under a damaged key.

        Raises:
            DamagedStoreError: It does.
        """
        for near, value in self._near(key, key + b"\0"):
            if fits(key, value):
                raise misplaced_error(near, key)

    def ids(self, beginning: str) -> list[str]:
        """The ids that begin so, sorted; only the pages that can hold them are read."""
        prefix = id_key(b"m", beginning)[: len(b"m\0") + PATH_PREFIX]
        found = summaries(self._state.scan(prefix), self._on_damage)
        return sorted({one.id for one in found if one.id.startswith(beginning)})

    def summaries(self, needle: bytes = b"") -> Iterator[Summary]:
        """Of every record, all versions, a model's together; for `needle` see `summaries` of this module."""
        return summaries(self._state.scan(b"m\0"), self._on_damage, needle)

    def pins(self) -> dict[bytes, str]:
        """Every pin: the id's key part, see `pin_part`, to the version."""
        return {key[2:]: decode_value(key, value) for key, value in self._state.scan(b"p\0")}

    def default(self) -> str | None:
        """The default model's id."""
        return cast("str | None", self._value(DEFAULT))


def summaries(
    records: Iterable[Record], on_damage: OnDamage | None = None, needle: bytes = b""
) -> Iterator[Summary]:
    """The summary of each record, in their order.

    Args:
        records: Keys, of which those of one model stand together, and their sealed values.
        on_damage: Told of each record that is left out because it is damaged.
        needle: Only models are wanted of which a version's packed summary holds these bytes, its ASCII
            letters made small; others may be given too. The seals of all records are checked.

    Raises:
        DamagedStoreError: A record is damaged, and there is no `on_damage`.
        StoreError: A newer release wrote one of them.
    """
    for batch in _batches(records):
        found = _together(batch, needle)
        yield from _one_by_one(batch, on_damage) if found is None else found


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Records a few at a time, all of a model in one batch."""
    source = iter(records)
    held: list[Record] = []
    while more := list(islice(source, _BATCH)):
        held += more
        first = _first_of_model(held, len(held) - 1)
        if first:
            yield held[:first]
            held = held[first:]
    if held:
        yield held


def _first_of_model(batch: list[Record], index: int) -> int:
    """The index of the first record of the model that one is a version of."""
    key = batch[index][0]
    model = key[: key.rindex(b"\0") + 1]
    while index and batch[index - 1][0].startswith(model):
        index -= 1
    return index


def _together(batch: list[Record], needle: bytes) -> list[Summary] | None:
    """The summaries of a batch; None where a record of it is damaged or of another release."""
    packed = packed_summaries(batch)
    if packed is None:
        return None
    if needle:
        packed = _holding(batch, packed, needle)
    try:
        rows = unpack(b"".join([_ARRAY, len(packed).to_bytes(4, "big"), *packed]))
        alike = {len(Summary._fields)}.issuperset(map(len, rows))
    except (ValueError, TypeError):
        return None
    return [tuple.__new__(Summary, row) for row in rows] if alike else None


def _holding(batch: list[Record], packed: list[bytes], needle: bytes) -> list[bytes]:
    """Of packed summaries those of the models of which one holds the needle."""
    whole = b"".join(packed).lower()
    ends = list(accumulate(map(len, packed)))
    found: list[bytes] = []
    place, taken = whole.find(needle), 0
    while place >= 0:
        index = bisect_right(ends, place)
        last = index
        key = batch[index][0]
        model = key[: key.rindex(b"\0") + 1]
        while last + 1 < len(batch) and batch[last + 1][0].startswith(model):
            last += 1
        found += packed[max(taken, _first_of_model(batch, index)) : last + 1]
        taken = last + 1
        place = whole.find(needle, ends[last])
    return found


def _one_by_one(batch: list[Record], on_damage: OnDamage | None) -> Iterator[Summary]:
    for key, value in batch:
        try:
            summary = decode_summary(key, value)
        except DamagedStoreError as error:
            if on_damage is None:
                raise
            on_damage(error)
        else:
            yield summary
