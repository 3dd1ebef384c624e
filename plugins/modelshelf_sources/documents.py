"""Small files of other tools (settings, manifests, references), read with limits: any may be hostile.

JSON and YAML are parsed by `json` and PyYAML; what they would do with too deep, too long or aliased documents
is caught or refused here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MAX_BYTES = 16 * 1024 * 1024
"""Bytes of one document that are read; a manifest of thousands of tensors has about 1 MB."""

_MAX_TEXT = 16 * 1024  # characters of one text that goes into a record
_MAX_ITEM = 256  # characters of one text of a list
_MAX_YAML_DEPTH = 16
# A FIFO must not hang the open.
_OPEN_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)


class UnusableDocumentError(ValueError):
    """A document that is absent, no regular file, too large, or not what its name says."""


def read_bytes(path: str, most: int = MAX_BYTES) -> bytes:
    """Read the whole content of a regular file.

    Raises:
        UnusableDocumentError: It cannot be read, is no regular file, or has more than `most` bytes.
    """
    with _open(path) as (descriptor, size):
        if size > most:
            raise UnusableDocumentError(f"{path}: has {size} bytes, more than the {most} that are read")
        return _read(descriptor, most)


def read_head(path: str, length: int) -> bytes:
    """Read the first bytes of a regular file, however long it is.

    Raises:
        UnusableDocumentError: It cannot be read, or is no regular file.
    """
    with _open(path) as (descriptor, _):
        return _read(descriptor, length)


@contextmanager
def _open(path: str) -> Iterator[tuple[int, int]]:
    """Open a regular file: its descriptor and size.

    Raises:
        UnusableDocumentError: It cannot be opened or read, or is no regular file.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        raise UnusableDocumentError(f"{path}: cannot be opened: {_reason(error)}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnusableDocumentError(f"{path}: is not a regular file")
        yield descriptor, status.st_size
    except OSError as error:
        raise UnusableDocumentError(f"{path}: cannot be read: {_reason(error)}") from None
    finally:
        os.close(descriptor)


def _read(descriptor: int, most: int) -> bytes:
    parts = []
    while most > 0 and (part := os.read(descriptor, min(most, 1 << 20))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def read_object(path: str, most: int = MAX_BYTES) -> dict[str, Any]:
    """Read a JSON object, with or without a byte order mark.

    Raises:
        UnusableDocumentError: See `read_bytes`; or it is no JSON object.
    """
    return parse_object(read_bytes(path, most), path)


def parse_object(data: bytes, path: str) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        UnusableDocumentError: It is none: no UTF-8, no JSON, nested too deep, another type.
    """
    value = parse_json(data, path)
    if not isinstance(value, dict):
        raise UnusableDocumentError(f"{path}: is no JSON object")
    return value


def parse_json(data: bytes, path: str) -> Any:
    """Parse a JSON value.

    Raises:
        UnusableDocumentError: It is none.
    """
    import json  # every scan loads this module, and few read JSON

    try:
        return json.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise UnusableDocumentError(f"{path}: nests arrays or objects too deep") from None
    except UnicodeDecodeError as error:
        raise UnusableDocumentError(f"{path}: is not JSON: it is not UTF-8 at byte {error.start}") from None
    except ValueError as error:  # also a number of thousands of digits
        raise UnusableDocumentError(f"{path}: is not JSON: {error}") from None


def read_mapping(path: str, most: int = 1024 * 1024) -> dict[str, Any]:
    """Read a YAML mapping; every scalar comes as text.

    Raises:
        UnusableDocumentError: See `read_bytes`; or it is no YAML mapping, uses aliases (a few bytes of which
            can stand for gigabytes), or nests too deep.
    """
    import yaml  # as above

    data = read_bytes(path, most)
    # Builds text, lists and mappings only, so that no constructor can fail on a hostile scalar.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        text = data.decode("utf-8-sig")
        _refuse_aliases_and_depth(text, loader, path)
        value = yaml.load(text, Loader=loader)  # noqa: S506 - the base loader, see above
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError) as error:
        raise UnusableDocumentError(f"{path}: is not YAML{_place_of(error)}") from None
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise UnusableDocumentError(f"{path}: is no YAML mapping")
    return value


def _place_of(error: Exception) -> str:
    """Say what is wrong and where. What the parser found there is not shown: the file may be anything."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or ""
    what = "" if "'" in problem or '"' in problem else f": {problem}".rstrip(": ")
    return what if mark is None else f"{what}, at line {mark.line + 1}, column {mark.column + 1}"


def _refuse_aliases_and_depth(text: str, loader: Any, path: str) -> None:
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            raise UnusableDocumentError(f"{path}: uses YAML aliases, which are not read")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_YAML_DEPTH:
            raise UnusableDocumentError(f"{path}: nests too deep")


def text_of(value: object, longest: int = _MAX_TEXT) -> str | None:
    """Return a text as a record can keep it: shortened, without halves of surrogates; None for all else."""
    if not isinstance(value, str) or not value.strip():
        return None
    text = value.strip().encode("utf-8", "replace").decode()
    return text if len(text) <= longest else f"{text[:longest]}…"


def texts_of(value: object, most: int = 64) -> tuple[str, ...]:
    """Return the texts of a list, as a record can keep them."""
    items = value[:most] if isinstance(value, list) else ()
    return tuple(text for item in items if (text := text_of(item, _MAX_ITEM)) is not None)


def count_of(value: object) -> int | None:
    """Return a whole number of 1 or more that a record can keep; None for all else."""
    return value if type(value) is int and 0 < value < 1 << 63 else None
