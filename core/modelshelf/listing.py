"""Summaries of many records at once: each one's seal is checked by itself, and they are decoded in one go."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, islice
from typing import TYPE_CHECKING

from modelshelf.errors import DamagedStoreError
from modelshelf.sealed import Summary, packed_summaries, unpack, unseal_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    OnDamage = Callable[[DamagedStoreError], object]
    Record = tuple[bytes, bytes]

_BATCH = 256  # records; more are hardly quicker, and are held at once
_ARRAY = b"\xdd"  # msgpack's array with a length of 32 bits, big-endian


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
            summary = unseal_summary(key, value)
        except DamagedStoreError as error:
            if on_damage is None:
                raise
            on_damage(error)
        else:
            yield summary
