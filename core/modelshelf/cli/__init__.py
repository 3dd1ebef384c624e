"""The command line: one small module per command, each imported when it is run.

Exit codes: 0 done, 1 a problem was found, 2 wrong use, 70 a defect of Modelshelf or of a plugin's command,
130 interrupted, 141 the reader of the output went away.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence

import click

from modelshelf.cli.group import PROGRAM, cli
from modelshelf.display import neutral
from modelshelf.errors import ConfigurationError, InvalidValueError, ModelshelfError, SerializerError

__all__ = ["main"]

COMPLETION_VARIABLE = "_MODELSHELF_COMPLETE"

DONE, PROBLEM, WRONG_USE, DEFECT, INTERRUPTED, READER_GONE = 0, 1, 2, 70, 130, 141
_WRONG_USE = (ConfigurationError, InvalidValueError, SerializerError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows the program's name; those of the process by default.

    Returns:
        The exit code. Every failure is one line on standard error, never a traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal's encoding lacks is written out
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run([*(sys.argv[1:] if arguments is None else arguments)])
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted; what was recorded before stands", INTERRUPTED)
    except BrokenPipeError:
        _let_go_of_output()
        return READER_GONE
    except click.ClickException as error:
        return _fail_usage(error)
    except ModelshelfError as error:
        return _fail(f"error: {error}", WRONG_USE if isinstance(error, _WRONG_USE) else PROBLEM)
    except OSError as error:
        _let_go_of_output()
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return _fail(f"error: {where}{error.strerror or error}", PROBLEM)
    except Exception as error:  # noqa: BLE001 - a defect, here or in a plugin's command; -vv shows where
        logging.getLogger(__name__).debug("this is a defect", exc_info=True)
        return _fail(f"error: unexpected {type(error).__name__}: {error} (-vv shows where)", DEFECT)
    return code


def _run(arguments: list[str]) -> int:
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, PROGRAM, COMPLETION_VARIABLE, instruction)
    # click's own main() turns an interrupt into an empty line and an Abort; these two lines are the rest of it.
    with cli.make_context(PROGRAM, arguments or ["--help"]) as context:
        result = cli.invoke(context)
    return result if type(result) is int else DONE


def _fail(message: str, code: int) -> int:
    print(f"{PROGRAM}: {neutral(message)}", file=sys.stderr)
    return code


def _fail_usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    if isinstance(context, click.Context):
        print(context.get_usage(), file=sys.stderr)
        print(f"`{neutral(context.command_path)} --help` tells more", file=sys.stderr)
    return _fail(f"error: {error.format_message()}", error.exit_code)


def _let_go_of_output() -> None:
    """Keep the interpreter from flushing, at its end, what can no longer be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
