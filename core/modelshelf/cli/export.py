"""``modelshelf export``."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelshelf.cli.options import complete_format, json_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.cli.app import App

_SETTINGS = "settings"


@click.command()
@click.option(
    "--format",
    "output",
    default="json",
    metavar="NAME",
    show_default=True,
    shell_complete=complete_format,
    help="json, jsonl, csv, yaml, openai, one that a plugin adds, or settings.",
)
@click.option(
    "-o", "--output", "path", metavar="FILE", type=click.Path(), help="Write to FILE, whole or not at all."
)
@json_option
@click.pass_obj
def command(app: App, *, output: str, path: str | None, as_json: bool) -> None:
    """Write all records, every version of every model, to standard output or to FILE.

    With --format settings what was set by hand is written instead, with pins, the default and the counts of
    use, for `modelshelf import` to take over after a move, a loss, or on another machine.
    """
    with app.registry(readonly=True) as registry:
        if output == _SETTINGS and not as_json:
            chunks = registry.export_settings()
        else:
            serializer = registry.serializer("json" if as_json else output)
            chunks = serializer.dump(registry.every_version())
        if path is None or path == "-":
            app.write(chunks)
        else:
            write_whole(Path(path), chunks)


def write_whole(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file so that it is either the old one or the whole new one, with the old one's permissions.

    What is no regular file (a device, a pipe) is written to as it is.

    Raises:
        OSError: It cannot be written.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            stream.writelines(chunks)
        return
    target = path.resolve()
    descriptor, unfinished = tempfile.mkstemp(
        prefix=f".{target.name[:100]}-", suffix=".tmp", dir=target.parent
    )
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.writelines(chunks)
            stream.flush()
            os.fsync(stream.fileno())
        if target.exists():
            Path(unfinished).chmod(target.stat().st_mode & 0o7777)
        Path(unfinished).replace(target)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
