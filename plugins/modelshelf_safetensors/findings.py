"""Findings and faults of a hostile file, bounded: a header can hold a million of one kind."""

from __future__ import annotations

from attrs import define, field

from modelshelf.errors import FormatError
from modelshelf.model import Finding, Severity
from modelshelf_safetensors.layout import LENGTH_BYTES

MOST_NAMED = 20
"""Findings of one code that are kept; one more counts the rest."""

_LONGEST_NAME = 100  # characters


def shown(text: str) -> str:
    """Quote a name from a file for a message: escaped, and cut where it is long."""
    return ascii(text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME] + "...")


def header_fault(
    file: str, what: str, code: str = "malformed-header", offset: int = LENGTH_BYTES
) -> FormatError:
    """The error of a header that breaks the format's rules: it `what`."""
    return FormatError(
        f"{file}: the header {what}; fetch the file again or write it anew",
        code=code,
        file=file,
        offset=offset,
    )


@define
class BoundedFindings:
    """Findings in the order they were made, the first `MOST_NAMED` of each code.

    Attributes:
        file: The file that they are about, unless another is given, and with which messages begin.
    """

    file: str
    _kept: list[Finding] = field(factory=list, init=False)
    _left_out: dict[tuple[str, Severity, str], int] = field(factory=dict, init=False)
    _counts: dict[str, int] = field(factory=dict, init=False)

    def add(
        self,
        code: str,
        severity: Severity,
        message: str,
        *,
        file: str | None = None,
        offset: int | None = None,
    ) -> None:
        """Keep one more, or count it."""
        file = file or self.file
        count = self._counts[code] = self._counts.get(code, 0) + 1
        if count > MOST_NAMED:
            self._left_out[code, severity, file] = self._left_out.get((code, severity, file), 0) + 1
            return
        self._kept.append(
            Finding(code=code, severity=severity, message=f"{file}: {message}", file=file, offset=offset)
        )

    def warn(self, code: str, message: str) -> None:
        """Keep one more warning, or count it."""
        self.add(code, Severity.WARNING, message)

    def count(self, code: str, severity: Severity, more: int, *, file: str | None = None) -> None:
        """Count so many more that have no message, as none would be kept."""
        if more:
            key = (code, severity, file or self.file)
            self._left_out[key] = self._left_out.get(key, 0) + more

    def room(self, code: str) -> int:
        """How many more of a code would be kept."""
        return max(MOST_NAMED - self._counts.get(code, 0), 0)

    def all(self) -> tuple[Finding, ...]:
        """What was kept, with one finding for each group that was only counted."""
        rest = (
            Finding(
                code=code, severity=severity, message=f"{file}: {count} more of the kind {code}", file=file
            )
            for (code, severity, file), count in self._left_out.items()
        )
        return (*self._kept, *rest)
