"""The fields of a record that listing and finding need, and reading those of many records at once.

Each record's checksum is checked by itself, and their summaries are decoded in one go. Nothing here needs
attrs, which takes longer to load than a thousand summaries to read.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from modelshelf.errors import DamagedStoreError
from modelshelf.records.frame import damaged, packed_summaries, unpack, unpack_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    OnDamage = Callable[[DamagedStoreError], object]
    Record = tuple[bytes, bytes]

_BATCH = 256  # records; more are hardly quicker, and are in memory at once
_PARTS = 3
_LONGEST_NUMBER = 20  # digits; more are left to the class that refuses too many
_ARRAY = b"\xdd"  # msgpack's array with a length of 32 bits, big-endian


class Summary(NamedTuple):
    """The fields of a record that listing and finding need; see `ModelConfig` and `ModelMetadata`.

    An empty kind is that of a record of an earlier release, which did not look for one.
    """

    id: str
    version: str
    display_name: str
    path: str
    format: str | None
    architecture: str | None
    quantization: str | None
    parameters: int | None
    parameter_count: str | None
    context_length: int | None
    size_bytes: int | None
    tags: list[str] | None
    source: str | None
    license: str | None
    health_status: str
    enabled: bool
    missing: bool
    last_used: int | None
    use_count: int
    added_at: int
    offline: bool = False
    verdict: str = ""
    kind: str | None = ""
    input_modalities: list[str] | None = None
    output_modalities: list[str] | None = None
    capabilities: list[str] | None = None


_ADDED = tuple(Summary._field_defaults.values())


def decode_summary(key: bytes, value: bytes) -> Summary:
    """The summary of a record; fields that a later minor release adds at the end are left out.

    Raises:
        DamagedStoreError: The checksum does not match, or there is no summary.
        StoreError: A newer release wrote it.
    """
    summary = unpack_summary(key, value)
    try:
        return Summary(*summary[: len(Summary._fields)])
    except TypeError:
        raise damaged(key, "holds no summary") from None


def summaries(
    records: Iterable[Record], on_damage: OnDamage | None = None, needle: bytes = b""
) -> Iterator[Summary]:
    """The summary of each record, in their order.

    Args:
        records: Keys, those of one model one after another, and their stored values.
        on_damage: Called with the error of each record that is left out because it is damaged.
        needle: Only models are wanted of which a version's packed summary contains these bytes, its ASCII
            letters made small; others may be given too. The checksums of all records are checked.

    Raises:
        DamagedStoreError: A record is damaged, and there is no `on_damage`.
        StoreError: A newer release wrote one of them.
    """
    for batch in _batches(records):
        found = _decode_together(batch, needle)
        yield from _decode_one_by_one(batch, on_damage) if found is None else found


def current_version(summaries: list[Summary], pinned: str | None) -> Summary:
    """Of all versions of one model the one that its id means."""
    for one in summaries:
        if one.version == pinned:
            return one
    numbers = [one.version.split(".") for one in summaries]
    # Three plain numbers, as nearly all are, are ordered without the class that knows all the rest.
    if all(len(parts) == _PARTS and all(map(_is_number, parts)) for parts in numbers):
        order: list[Any] = [tuple(map(int, parts)) for parts in numbers]
    else:
        from modelshelf.model.version import ModelVersion

        order = [ModelVersion.parse(one.version) for one in summaries]
    return max(zip(summaries, order, strict=True), key=lambda one: (not one[0].missing, one[1]))[0]


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdecimal() and len(part) < _LONGEST_NUMBER and str(int(part)) == part


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Records a few at a time, all of a model in one batch."""
    source = iter(records)
    batch: list[Record] = []
    while more := list(islice(source, _BATCH)):
        batch += more
        first = _first_of_model(batch, len(batch) - 1)
        if first:
            yield batch[:first]
            batch = batch[first:]
    if batch:
        yield batch


def _first_of_model(batch: list[Record], index: int) -> int:
    """The index of the first record of the model that one is a version of."""
    key = batch[index][0]
    model = key[: key.rindex(b"\0") + 1]
    while index and batch[index - 1][0].startswith(model):
        index -= 1
    return index


def _decode_together(batch: list[Record], needle: bytes) -> list[Summary] | None:
    """The summaries of a batch; None where a record of it is damaged or of another release."""
    packed = packed_summaries(batch)
    if packed is None:
        return None
    if needle:
        packed = _with_needle(batch, packed, needle)
    try:
        rows = unpack(b"".join([_ARRAY, len(packed).to_bytes(4, "big"), *packed]))
        alike = {len(Summary._fields)}.issuperset(map(len, rows))
    except (ValueError, TypeError):
        return None
    if not alike:
        rows = [_completed(row) for row in rows]
    return [tuple.__new__(Summary, row) for row in rows] if all(rows) else None


def _completed(row: Any) -> Any:
    """The summary of a record of an earlier release with what that lacks; None for one that is none."""
    lacking = len(Summary._fields) - len(row)
    if not isinstance(row, list) or not 0 <= lacking <= len(_ADDED):
        return None
    return [*row, *_ADDED[len(_ADDED) - lacking :]]


def _with_needle(batch: list[Record], packed: list[bytes], needle: bytes) -> list[bytes]:
    """Of packed summaries those of the models of which one contains the needle."""
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


def _decode_one_by_one(batch: list[Record], on_damage: OnDamage | None) -> Iterator[Summary]:
    for key, value in batch:
        try:
            summary = decode_summary(key, value)
        except DamagedStoreError as error:
            if on_damage is None:
                raise
            on_damage(error)
        else:
            yield summary
