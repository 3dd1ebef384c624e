"""How records are written: named serializers, each a plugin's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from attrs import frozen

from modelshelf.model.config import ModelConfig

Dump: TypeAlias = Callable[[Iterable[ModelConfig]], Iterator[bytes]]
"""Writes records as chunks of bytes, without holding all of them; joined they are one whole document."""


@frozen(kw_only=True)
class SerializerType:
    """A way to write records, as a plugin's `modelshelf_serializers` hook gives it.

    Attributes:
        name: The name for ``--format``: ``json``.
        media_type: The MIME type of the bytes.
        dump: Writes the records. No records give a valid empty document.
        summary: One line for `modelshelf plugins`.
    """

    name: str
    media_type: str
    dump: Dump
    summary: str = ""
