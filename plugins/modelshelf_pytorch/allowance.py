"""What reading one file may cost, counted from its bytes, so that no verdict depends on the machine."""

from __future__ import annotations

from modelshelf.errors import FormatError
from modelshelf.model.status import NOT_JUDGED

_MOST_INFLATED = 256 * 1024 * 1024
_MOST_CHECKED = 64 * 1024 * 1024
_MOST_HEADERS = 1024 * 1024
_LEAST_STEPS = 1_000_000  # about a second
_LEAST_SOURCE = 4 * 1024 * 1024  # bytes; torch itself compresses none of it
_LEAST_OPCODES, _OPCODES_PER_BYTE = 4 * 1024 * 1024, 6


def most_opcodes(size: int) -> int:
    """Return the bytes of opcodes that are interpreted of what a file of so many bytes inflates to."""
    return max(_LEAST_OPCODES, _OPCODES_PER_BYTE * size)


class Allowance:
    """How much more may be spent on a file, archives within it included.

    Args:
        size: The file's bytes.

    Attributes:
        inflated: Bytes that its members may still be inflated to.
        checked: Bytes that arrays may still be inflated to for their checksums alone, where no byte of them
            decides anything else.
        headers: Bytes of array headers that no writer of plain arrays makes and that may still be parsed.
        source: Bytes of code and JSON that may still be looked through, which are many only in a large file.
        steps: Bytes of opcodes that may still be interpreted one by one, as rare ones are; a file that
            inflates to nothing has no more of them than bytes.
    """

    __slots__ = ("checked", "headers", "inflated", "source", "steps")

    def __init__(self, size: int = 0) -> None:
        self.inflated = _MOST_INFLATED
        self.checked = _MOST_CHECKED
        self.headers = _MOST_HEADERS
        self.source = max(_LEAST_SOURCE, size)
        self.steps = max(_LEAST_STEPS, size)

    def inflate(self, length: int, name: str) -> None:
        """Count bytes that a member was inflated to.

        Raises:
            FormatError: They are more than are judged of one file.
        """
        self.inflated -= length
        if self.inflated < 0:
            message = f"{name}: inflates to more than {_MOST_INFLATED} bytes; unpack it to have it judged"
            raise FormatError(message, code=NOT_JUDGED, file=name)

    def may_check(self, length: int) -> bool:
        """Return whether an array of so many bytes may be inflated for its checksum alone, and count it."""
        if length > self.checked:
            return False
        self.checked -= length
        return True

    def parse_header(self, length: int, name: str) -> None:
        """Count bytes of an array's header that has to be parsed.

        Raises:
            FormatError: They are more than are judged of one file.
        """
        self.headers -= length
        if self.headers < 0:
            message = f"{name}: more than {_MOST_HEADERS} bytes of its arrays' headers were not judged"
            raise FormatError(message, code=NOT_JUDGED, file=name)

    def look_through(self, length: int, name: str) -> None:
        """Count bytes of code or JSON.

        Raises:
            FormatError: They are more than are judged of one file.
        """
        if length > self.source:
            message = f"{name}: inflates to more code or JSON than is judged of a file of its size"
            raise FormatError(message, code=NOT_JUDGED, file=name)
        self.source -= length
