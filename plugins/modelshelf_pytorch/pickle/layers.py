"""What the records after some others probably are: a model's layers are alike but for their number.

A guess saves looking for what differs, and is worth nothing until the stream was compared with it:
`modelshelf_pytorch.pickle.tensor_records` writes the records that are guessed, and takes those that are
there.
"""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST_NUMBER = 8  # digits


class Layer:
    """The records of the last whole layer among some.

    Attributes:
        start: The place of its first record.
        stop: The place after its last.
    """

    __slots__ = ("_key", "_number", "_prefix", "_suffixes", "start", "stop")

    def __init__(self, prefix: bytes, number: int, suffixes: list[bytes], start: int, key: int) -> None:
        self._prefix = prefix
        self._number = number
        self._suffixes = suffixes
        self._key = key
        self.start = start
        self.stop = start + len(suffixes)

    def following(self, data: bytes, index: int, end: int, length: int) -> int:
        """How many layers may follow: as often as the first name's ending occurs, as far as they have room.

        Args:
            data: The stream.
            index: Where they would begin.
            end: Where it ends.
            length: The bytes of a layer, at least.
        """
        return min((end - index) // length, data.count(self._suffixes[0], index, end))

    def names(self, count: int) -> list[bytes]:
        """The names of so many layers after it."""
        first = self._number + 1
        lead = [b"%b%d" % (self._prefix, number) for number in range(first, first + count)]
        return [layer + suffix for layer in lead for suffix in self._suffixes]

    def keys(self, count: int) -> list[bytes]:
        """The keys of their storages."""
        first = self._key + len(self._suffixes)
        return [b"%d" % key for key in range(first, first + count * len(self._suffixes))]


def last_of(names: Sequence[bytes], keys: Sequence[bytes]) -> Layer | None:
    """The last layer that is whole: the one before the layer of the last name; None where there is none."""
    found = _number_in(names[-1])
    if found is None or not found[1]:
        return None
    prefix, number = found
    stop = _first_of(names, b"%b%d." % (prefix, number), len(names))
    lead = b"%b%d" % (prefix, number - 1)
    start = _first_of(names, lead + b".", stop)
    if not 0 < start < stop:
        return None
    first = int(keys[start])
    if any(key != b"%d" % number for number, key in enumerate(keys[start:stop], first)):
        return None
    return Layer(prefix, number - 1, [name[len(lead) :] for name in names[start:stop]], start, first)


def _number_in(name: bytes) -> tuple[bytes, int] | None:
    """The first number that is a part of a dotted name, and what stands before it."""
    place = 0
    for part in name.split(b".")[:-1]:
        if part.isdigit() and len(part) <= _LONGEST_NUMBER and b"%d" % int(part) == part:
            return name[:place], int(part)
        place += len(part) + 1
    return None


def _first_of(names: Sequence[bytes], lead: bytes, stop: int) -> int:
    """The first of the names before `stop` that all begin so."""
    start = stop
    while start and names[start - 1].startswith(lead):
        start -= 1
    return start
