"""From the arguments to the exit code: runs a command and reports what it raises in one line."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

import click

from modelshelf.cli.app import COMPLETION_VARIABLE
from modelshelf.cli.group import PROGRAM, cli
from modelshelf.cli.screen import complain
from modelshelf.errors import ConfigurationError, InvalidValueError, ModelshelfError, SerializerError

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE, PROBLEM, WRONG_USE, DEFECT, INTERRUPTED, READER_GONE = 0, 1, 2, 70, 130, 141
_WRONG_USE = (ConfigurationError, InvalidValueError, SerializerError)


def run(arguments: Sequence[str]) -> int:
    """Run one command, report its failure in one line, and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal's encoding lacks is written out
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run([*arguments])
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - _report names each, defects included
        code = _report(error)
    return code


def _report(error: BaseException) -> int:
    """Tell a failure in one line on standard error, and give its exit code."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        _let_go_of_output()
        return READER_GONE
    code, message = PROBLEM, f"error: {error}"
    if isinstance(error, KeyboardInterrupt | click.Abort):
        code, message = INTERRUPTED, "interrupted; what was recorded before is kept"
    elif isinstance(error, click.ClickException):
        _report_usage(error)
        code, message = error.exit_code, f"error: {error.format_message()}"
    elif isinstance(error, _WRONG_USE):
        code = WRONG_USE
    elif isinstance(error, OSError):
        _let_go_of_output()
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        message = f"error: {where}{error.strerror or error}"
    elif not isinstance(error, ModelshelfError):  # a defect, here or in a plugin's command
        import logging

        logging.getLogger(__name__).debug("this is a defect", exc_info=error)
        code, message = DEFECT, f"error: unexpected {type(error).__name__}: {error} (-vv shows where)"
    complain(message)
    return code


def _report_usage(error: click.ClickException) -> None:
    context = getattr(error, "ctx", None)
    if isinstance(context, click.Context):
        usage = " ".join(context.get_usage().split())  # click breaks a long one into lines
        complain(usage.removeprefix("Usage: "), label="usage")
        complain(f"`{context.command_path} --help` says more")


def _run(arguments: list[str]) -> int:
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, PROGRAM, COMPLETION_VARIABLE, instruction)
    # What click's own main() does besides: it turns an interrupt into an empty line and an Abort.
    with cli.make_context(PROGRAM, arguments or ["--help"]) as context:
        result = cli.invoke(context)
    return result if type(result) is int else DONE


def _let_go_of_output() -> None:
    """Keep the interpreter from flushing, at its end, what can no longer be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
