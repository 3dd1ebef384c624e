"""Standard output for people. Whatever is shown goes through here and is made neutral."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from modelshelf.display import cells as width_of
from modelshelf.display import cut, lay_out, neutral, shorten, styled, wrap

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from modelshelf.display import Cell, Column

_INDENT = _GAP = "  "
_WIDEST_VALUE = 32  # cells up to which notes are aligned


class Screen:
    """Lines and tables on standard output.

    On a terminal lines are cut to its width and, unless ``NO_COLOR`` is set or the terminal is dumb,
    coloured; elsewhere everything is written in full and plain.

    Attributes:
        width: The terminal's width in cells, or None where output is no terminal.
        colour: Whether styles are applied.
    """

    def __init__(self) -> None:
        self._begun = False
        terminal = sys.stdout.isatty()
        self.width = _width() if terminal else None
        self.colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def line(self, text: str = "", style: str | None = None) -> None:
        """Write one line in full."""
        text = neutral(text)
        self._write(styled(text, style) if self.colour else text)

    def heading(self, text: str) -> None:
        """Write a heading, with an empty line between it and what is above."""
        if self._begun:
            self.line()
        self.line(text, "bold")

    def item(self, text: str) -> None:
        """Write one indented line in full; what does not fit a terminal's width goes on below, further in."""
        text = neutral(text)
        lines = [text] if self.width is None else wrap(text, max(self.width - 2 * len(_INDENT), 1))
        self._write(_INDENT + f"\n{_INDENT * 2}".join(lines))

    def items(self, items: Sequence[tuple[Cell, str]], *, right: bool = False) -> None:
        """Write one indented line each: a short text, aligned, and a long one, cut at the screen's width."""
        leads = [(neutral(lead.text), lead.style) for lead, _ in items]
        widest = max((width_of(lead) for lead, _ in leads), default=0)
        if self.width is not None:
            widest = min(widest, self.width // 3)
        for (lead, style), (_, text) in zip(leads, items, strict=True):
            short = shorten(lead, widest)
            padding = " " * (widest - width_of(short))
            shown = styled(short, style) if self.colour else short
            rest = neutral(text)
            if self.width is not None:
                rest = cut(rest, self.width - widest - len(_INDENT + _GAP))
            self._write(_INDENT + (padding + shown if right else shown + padding) + _GAP + rest)

    def facts(self, facts: Sequence[tuple[str, str, str]]) -> None:
        """Write names, values and notes below each other, in full however long a value is."""
        shown = [(neutral(name), neutral(value), neutral(note)) for name, value, note in facts]
        names = max((width_of(name) for name, _, _ in shown), default=0)
        values = max((min(width_of(value), _WIDEST_VALUE) for _, value, note in shown if note), default=0)
        for name, value, note in shown:
            line = _INDENT + name + " " * (names - width_of(name)) + _GAP + value
            if note:
                line += (
                    " " * (values - width_of(value)) + _GAP + (styled(note, "dim") if self.colour else note)
                )
            self._write(line)

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[str | Cell]]) -> None:
        """Write a table with its heading."""
        lines = lay_out(columns, rows, width=self.width, colour=self.colour)
        self._write("\n".join(lines))

    def _write(self, text: str) -> None:
        self._begun = True
        sys.stdout.write(text + "\n")


def _width() -> int:
    import shutil  # takes longer to load than all of this module, and most output goes to no terminal

    return shutil.get_terminal_size().columns


def complain(text: str, label: str = "modelshelf") -> None:
    """Write one line for people on standard error."""
    sys.stderr.write(f"{label}: {neutral(text)}\n")
