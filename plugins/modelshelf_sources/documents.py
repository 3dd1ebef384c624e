"""Small files of other tools (settings, manifests, references), read with limits: any may be hostile."""

from __future__ import annotations

import os
import stat
from typing import Any

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of one document that are read; a manifest of thousands of tensors has about 1 MB."""

_LONGEST_TEXT = 16 * 1024  # characters of one text that goes into a record
_DEEPEST_YAML = 16
# A FIFO must not hang the open.
_OPEN_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)


class UnusableDocumentError(ValueError):
    """A document that is absent, no regular file, too large, or not what its name says."""


def read_bytes(path: str, most: int = MOST_BYTES) -> bytes:
    """The whole content of a regular file.

    Raises:
        UnusableDocumentError: It cannot be read, is no regular file, or holds more than `most` bytes.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        raise UnusableDocumentError(f"{path}: cannot be opened: {_why(error)}") from None
    try:
        told = os.fstat(descriptor)
        if not stat.S_ISREG(told.st_mode):
            raise UnusableDocumentError(f"{path}: is not a regular file")
        if told.st_size > most:
            raise UnusableDocumentError(
                f"{path}: has {told.st_size} bytes, more than the {most} that are read"
            )
        return _read_all(descriptor, most)
    except OSError as error:
        raise UnusableDocumentError(f"{path}: cannot be read: {_why(error)}") from None
    finally:
        os.close(descriptor)


def _read_all(descriptor: int, most: int) -> bytes:
    parts = []
    while most > 0 and (part := os.read(descriptor, min(most, 1 << 20))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def read_head(path: str, length: int) -> bytes:
    """The first bytes of a regular file, however long it is.

    Raises:
        UnusableDocumentError: It cannot be read, or is no regular file.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        raise UnusableDocumentError(f"{path}: cannot be opened: {_why(error)}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnusableDocumentError(f"{path}: is not a regular file")
        return _read_all(descriptor, length)
    except OSError as error:
        raise UnusableDocumentError(f"{path}: cannot be read: {_why(error)}") from None
    finally:
        os.close(descriptor)


def read_object(path: str, most: int = MOST_BYTES) -> dict[str, Any]:
    """A JSON object, with or without a byte order mark.

    Raises:
        UnusableDocumentError: See `read_bytes`; or it is no JSON object.
    """
    return parse_object(read_bytes(path, most), path)


def parse_object(data: bytes, path: str) -> dict[str, Any]:
    """The JSON object that these bytes are.

    Raises:
        UnusableDocumentError: They are none: no UTF-8, no JSON, nested too deep, another type.
    """
    value = parse_json(data, path)
    if not isinstance(value, dict):
        raise UnusableDocumentError(f"{path}: is no JSON object")
    return value


def parse_json(data: bytes, path: str) -> Any:
    """The JSON value that these bytes are.

    Raises:
        UnusableDocumentError: They are none.
    """
    import json  # every scan loads this module, and few read JSON

    try:
        return json.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise UnusableDocumentError(f"{path}: nests arrays or objects too deep") from None
    except ValueError as error:  # also text that is not UTF-8, and a number of thousands of digits
        raise UnusableDocumentError(f"{path}: is not JSON: {error}") from None


def read_mapping(path: str, most: int = 1024 * 1024) -> dict[str, Any]:
    """A YAML mapping; every scalar comes as text.

    Raises:
        UnusableDocumentError: See `read_bytes`; or it is no YAML mapping, uses aliases (a few bytes of which
            can stand for gigabytes), or nests too deep.
    """
    import yaml

    data = read_bytes(path, most)
    # Builds text, lists and mappings only, so that no constructor can fail on a hostile scalar.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        text = data.decode("utf-8-sig")
        _refuse_aliases_and_depth(text, loader, path)
        value = yaml.load(text, Loader=loader)  # noqa: S506 - the base loader, see above
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError) as error:
        raise UnusableDocumentError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise UnusableDocumentError(f"{path}: is no YAML mapping")
    return value


def _refuse_aliases_and_depth(text: str, loader: Any, path: str) -> None:
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            raise UnusableDocumentError(f"{path}: uses YAML aliases, which are not read")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST_YAML:
            raise UnusableDocumentError(f"{path}: nests too deep")


def text_of(value: object, longest: int = _LONGEST_TEXT) -> str | None:
    """The value where it is text, as a record can keep it: shortened, and without halves of surrogates."""
    if not isinstance(value, str) or not value.strip():
        return None
    kept = value.strip().encode("utf-8", "replace").decode()
    return kept if len(kept) <= longest else f"{kept[:longest]}…"


def texts_of(value: object, most: int = 64) -> tuple[str, ...]:
    """The texts of a list, as a record can keep them."""
    held = value[:most] if isinstance(value, list) else ()
    return tuple(text for one in held if (text := text_of(one, 256)) is not None)


def count_of(value: object) -> int | None:
    """The value where it is a whole number of 1 or more that a record can keep."""
    return value if type(value) is int and 0 < value < 1 << 63 else None


def _why(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
