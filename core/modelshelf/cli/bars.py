"""A share of a whole as a bar in a table.

rich draws bars too, but takes longer to load than the command to run.
"""

from __future__ import annotations

import sys

from modelshelf.display import Cell, Column

BAR = Column("SHARE", expendable=True)
_CELLS = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(value: int, largest: int, total: int) -> Cell:
    """A bar whose length shows `value` beside the `largest` one, and its percentage of the `total`.

    Where the output's encoding has no blocks, the bar is drawn with ``#``.
    """
    percent = f"{100 * value / total:5.1f} %" if total else f"{0:5.1f} %"
    filled = round(8 * _CELLS * value / largest) if largest else 0
    whole, eighths = divmod(filled, 8)
    drawn = "█" * whole + (_EIGHTHS[eighths] if eighths else "")
    try:
        drawn.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        drawn = "#" * (whole or int(value > 0))
    return Cell(f"{percent}  {drawn}", "cyan")
