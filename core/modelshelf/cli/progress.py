"""A scan's progress bar, on a terminal only."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from modelshelf.display import neutral, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from modelshelf.scan.counters import ScanProgress

_BETWEEN = 0.1  # seconds between two looks at the bar
_PATH_CELLS = 48


@contextmanager
def progress() -> Iterator[Callable[[ScanProgress], None] | None]:
    """A callback that draws a bar on standard error, gone when the scan ends; None without a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    bar = Progress(
        SpinnerColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[counts]}", markup=False),
        TextColumn("{task.fields[path]}", style="dim", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None, counts="listing folders", path="")
        last = 0.0

        def show(state: ScanProgress) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _BETWEEN:
                last = now
                bar.update(
                    task,
                    completed=state.done,
                    total=state.found if state.finished_listing else None,
                    counts=f"{state.done} of {state.found}" + ("" if state.finished_listing else " so far"),
                    path=shorten(neutral(state.path), _PATH_CELLS),
                )

        yield show
