"""Changing the configuration file by program; what a person wrote in it stays as it is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelshelf.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tomlkit import TOMLDocument

_NEW_FILE_MODE = 0o600  # settings may hold the address of a store
_NO_TABLES = "sources: must be tables, each begun with [[sources]]"


def add_source(file: Path, table: Mapping[str, Any]) -> None:
    """Append a ``[[sources]]`` table; the file and its folder are made where they are not there.

    Raises:
        ConfigurationError: The file cannot be read or written, is no TOML, or has that table already.
    """

    def change(document: TOMLDocument) -> None:
        import tomlkit

        tables = document.setdefault("sources", tomlkit.aot())
        if not isinstance(tables, list):
            raise ConfigurationError(f"{file}: {_NO_TABLES}")
        if any(one == table for one in tables):
            raise ConfigurationError(f"{file}: has that source already")
        added = tomlkit.table()
        added.update(table)
        tables.append(added)

    _change(file, change)


def remove_sources(file: Path, matches: Callable[[Mapping[str, Any]], bool]) -> int:
    """Remove the ``[[sources]]`` tables that match, and return their number.

    Raises:
        ConfigurationError: The file cannot be read or written, or is no TOML.
    """
    removed = 0

    def change(document: TOMLDocument) -> None:
        nonlocal removed
        tables = document.get("sources", [])
        for number in reversed(range(len(tables))):
            if matches(tables[number]):
                del tables[number]
                removed += 1
        if not tables:
            document.pop("sources", None)

    if file.exists():
        _change(file, change)
    return removed


def _change(file: Path, change: Callable[[TOMLDocument], None]) -> None:
    import tomlkit
    from tomlkit.exceptions import ParseError, TOMLKitError

    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        document = tomlkit.parse(text)
        change(document)
        text = tomlkit.dumps(document)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ConfigurationError(f"{file}: a path that is not UTF-8 cannot stand in it") from None
        _replace(file, text)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: is not valid TOML: it is not UTF-8") from None
    except TOMLKitError as error:  # whose text shows what it found: the file may be anything
        place = f", at line {error.line}, column {error.col}" if isinstance(error, ParseError) else ""
        raise ConfigurationError(f"{file}: is not valid TOML{place}") from None
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be changed: {error.strerror}") from error


def _replace(file: Path, text: str) -> None:
    """Write the file beside itself and put it in its place: a crash leaves the old one or the new one."""
    file = file.resolve()  # a link into a folder of settings stays a link
    file.parent.mkdir(parents=True, exist_ok=True)
    mode = file.stat().st_mode & 0o777 if file.exists() else _NEW_FILE_MODE
    descriptor, beside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        os.chmod(beside, mode)
        os.replace(beside, file)
    except BaseException:
        os.unlink(beside)
        raise
