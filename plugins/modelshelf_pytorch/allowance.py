"""What reading one file may cost, counted from its bytes, so that no verdict depends on the machine."""

from __future__ import annotations

from modelshelf.errors import FormatError
from modelshelf.model.status import NOT_JUDGED

_MOST_INFLATED = 256 * 1024 * 1024
_MOST_CHECKED = 64 * 1024 * 1024
_MOST_HEADERS = 1024 * 1024
_LEAST_STEPS = 600_000  # about a second


class Allowance:
    """How much more may be spent on a file, archives within it included.

    Args:
        size: The file's bytes.

    Attributes:
        inflated: Bytes that its members may still be inflated to.
        checked: Bytes that arrays may still be inflated to for their checksums alone, where no byte of them
            decides anything else.
        headers: Bytes of array headers that no writer of plain arrays makes and that may still be parsed.
        steps: Opcodes that may still be interpreted one by one; a file that inflates to nothing has no more
            of them than bytes.
    """

    __slots__ = ("checked", "headers", "inflated", "steps")

    def __init__(self, size: int = 0) -> None:
        self.inflated = _MOST_INFLATED
        self.checked = _MOST_CHECKED
        self.headers = _MOST_HEADERS
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
