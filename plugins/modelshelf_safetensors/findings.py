"""Findings of a hostile file, bounded: a header can hold a million faults of one kind."""

from __future__ import annotations

from attrs import define, field

from modelshelf.model import Finding, Severity

MOST_NAMED = 20
"""Findings of one code that are kept; one more counts the rest."""

_LONGEST_NAME = 100  # characters


def shown(text: str) -> str:
    """A name from a file as messages quote it: escaped, and cut where it is long."""
    return ascii(text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME] + "...")


@define
class BoundedFindings:
    """Findings in the order they were made, the first `MOST_NAMED` of each code.

    Attributes:
        file: The file that they are about, unless told otherwise, and that messages begin with.
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

    def count(self, code: str, severity: Severity, more: int) -> None:
        """Count so many that need no message, since `MOST_NAMED` of them were added."""
        if more:
            key = (code, severity, self.file)
            self._left_out[key] = self._left_out.get(key, 0) + more

    def count_warnings(self, code: str, more: int) -> None:
        """Count so many warnings that need no message."""
        self.count(code, Severity.WARNING, more)

    def left(self, code: str) -> int:
        """How many more of a code would be kept."""
        return max(MOST_NAMED - self._counts.get(code, 0), 0)

    def warn(self, code: str, message: str) -> None:
        """Keep one more warning, or count it."""
        self.add(code, Severity.WARNING, message)

    def all(self) -> tuple[Finding, ...]:
        """What was kept, with one finding for each group that was only counted."""
        rest = (
            Finding(
                code=code, severity=severity, message=f"{file}: {count} more of the kind {code}", file=file
            )
            for (code, severity, file), count in self._left_out.items()
        )
        return (*self._kept, *rest)
