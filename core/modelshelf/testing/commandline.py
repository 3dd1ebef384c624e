"""The real command line, run in this process in a home, a working directory and a store of its own."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OWN_VARIABLES = ("MODELSHELF_", "XDG_", "HF_", "OLLAMA_")  # what says where models and settings lie
_CONSOLE = {"COLUMNS": "200", "NO_COLOR": "1"}


@frozen(kw_only=True)
class Outcome:
    """What one run gave.

    Attributes:
        code: The exit code.
        out: Standard output.
        err: Standard error.
    """

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.out.splitlines()


class CommandLine:
    """Runs ``modelshelf``; environment and working directory are back as they were after each run.

    Attributes:
        folder: The working directory of every run.
        store: The folder of the records.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self._home = folder / "home"
        self._home.mkdir(parents=True, exist_ok=True)

    def run(self, *arguments: str | os.PathLike[str], **environment: str) -> Outcome:
        """Run one command.

        Args:
            arguments: What follows the program's name.
            environment: Variables for this run.
        """
        from modelshelf.cli import main

        out, err = _Stream(), _Stream()
        with (
            _environment(
                {"HOME": str(self._home), "MODELSHELF_STORE": str(self.store), **_CONSOLE, **environment}
            ),
            contextlib.chdir(self.folder),
            _own_logging(),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main([os.fspath(one) for one in arguments])
        return Outcome(code=code, out=out.text(), err=err.text())


class _Stream(io.TextIOWrapper):
    """A stream with a buffer of bytes below, as a process has; no terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="", write_through=True)

    def text(self) -> str:
        """All that was written."""
        self.flush()
        written: Any = self.buffer
        return str(written.getvalue().decode("utf-8"))


@contextlib.contextmanager
def _environment(given: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(_OWN_VARIABLES)]:
        del os.environ[name]
    os.environ.update(given)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Give the library's logger back as it was: the command line sets it up for its process."""
    log = logging.getLogger("modelshelf")
    handlers, level, propagate = log.handlers[:], log.level, log.propagate
    try:
        yield
    finally:
        log.handlers[:] = handlers
        log.setLevel(level)
        log.propagate = propagate
