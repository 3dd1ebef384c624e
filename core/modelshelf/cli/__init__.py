"""The command line: one small module per command, each imported when it is run.

Exit codes: 0 done, 1 a problem was found, 2 wrong use, 70 a defect of Modelshelf or of a plugin's command,
130 interrupted, 141 the reader of the output went away.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_SELDOM = 10_000  # objects more than before; by default the search begins after 700


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows the program's name; those of the process by default.

    Returns:
        The exit code. Every failure is one line on standard error, never a traceback.
    """
    if arguments is not None:
        from modelshelf.cli.program import run

        return run(arguments)
    # A process of its own: what is loaded stays to its end. Looking through all of that for garbage, while it
    # is loaded and at the end, takes a good part of a short command.
    gc.set_threshold(_SELDOM, *gc.get_threshold()[1:])
    from modelshelf.cli.program import run

    gc.freeze()
    try:
        return run(sys.argv[1:])
    finally:
        gc.freeze()
