"""What tells a store from an LMDB file of another program, which is never written into.

A store has a record of its own, `MARK`, from the moment it is made; no scan gives it. Stores of release 0.1
have none: they are recognised by any other record whose checksum is right for its key, and are marked by
their first update. Nothing else puts such a checksum there.

Every record begins with a frame (as `modelshelf.records.frame` writes it, the same in every release): u8
schema version, u32 CRC-32 over the key and everything but this field, u32 length of a summary.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum

from modelshelf_lmdb.pages import (
    BIGDATA,
    BRANCH,
    EMPTY,
    HEADER,
    LEAF,
    METAS,
    NODE,
    OVERFLOW,
    Fetch,
    Meta,
    Page,
)

KEY = b"s\0store"
"""In the table of the registry's settings, where release 0.1 takes it for one that it has no use for."""

_FRAME = struct.Struct("<BII")
_CHECKED_FROM = 5
_SCHEMA = b"\x01"
_TABLES = frozenset(bytes((one, 0)) for one in b"mlcxiuapwts")  # what keys of release 0.1 begin with
_CONTENT = (
    b"\xb2modelshelf store 1"  # msgpack: a text of 18 bytes; the last is the number of this file's layout
)
_REST = bytes(4) + _CONTENT  # no summary
MARK = _SCHEMA + struct.pack("<I", zlib.crc32(_REST, zlib.crc32(_SCHEMA, zlib.crc32(KEY)))) + _REST
"""The value at `KEY`: a record like every other."""

_WORD = 8
_MOST_PAGES = 4096
_MOST_VALUE = 1 << 20  # bytes; a longer value is not read to recognise a file


class Origin(Enum):
    """Whose an LMDB file is."""

    MARKED = "marked"
    """A store with its mark."""
    UNMARKED = "unmarked"
    """A store of release 0.1 that was not written since."""
    EMPTY = "empty"
    """It has no record."""
    FOREIGN = "foreign"
    """It has records, and none is of a store."""
    UNKNOWN = "unknown"
    """Too little of it can be read to say."""


class Evidence:
    """Records that were looked at to find out whose a file is.

    Attributes:
        proven: Whether one has the checksum of a registry's record under its key.
    """

    def __init__(self) -> None:
        self.proven = False
        self._alike = self._others = 0

    def take(self, key: bytes, value: bytes | None) -> None:
        """Take a record in; None for a value as no store has one."""
        if value is None or self.proven:
            self._others += 1
        elif _is_record(key, value):
            self.proven = True
        elif key[:2] in _TABLES and value[:1] == _SCHEMA:  # it may be a damaged one
            self._alike += 1
        elif not _is_list_of_free_pages(key, value):
            self._others += 1

    @property
    def is_foreign(self) -> bool:
        """Whether the records are another program's."""
        return not self.proven and self._others > self._alike


def _is_record(key: bytes, value: bytes) -> bool:
    if len(value) < _FRAME.size:
        return False
    checksum = _FRAME.unpack_from(value)[1]
    return bool(zlib.crc32(value[_CHECKED_FROM:], zlib.crc32(value[:1], zlib.crc32(key))) == checksum)


def _is_list_of_free_pages(key: bytes, value: bytes) -> bool:
    """Whether a record is one of LMDB's own, which lie on leaves like all others: free pages."""
    count = int.from_bytes(value[:_WORD], sys.byteorder)
    return len(key) == _WORD and len(value) == (count + 1) * _WORD


def is_mark(key: bytes, value: bytes | None) -> bool:
    """Whether a record is the store's own."""
    return key == KEY and value == MARK


def origin_of(fetch: Fetch, meta: Meta, file_size: int) -> Origin:
    """Find out whose a file is, by the records of one state.

    The tree is read without a check of its pages: what another program has there may be laid out otherwise
    (named databases, several values to a key), and the pages of a damaged store may be anything.
    """
    if meta.main.root == EMPTY:
        return Origin.EMPTY
    if _marked(fetch, meta, file_size):
        return Origin.MARKED
    evidence = Evidence()
    for key, value in _records(fetch, meta, file_size):
        evidence.take(key, value)
        if evidence.proven:
            return Origin.UNMARKED
    return Origin.FOREIGN if evidence.is_foreign else Origin.UNKNOWN


def _marked(fetch: Fetch, meta: Meta, file_size: int) -> bool:
    """Whether the mark lies where its key belongs."""
    number = meta.main.root
    for _ in range(meta.main.depth):
        page = _page(fetch, meta, number)
        if page is None or not page.offsets:
            return False
        try:
            if HEADER.unpack_from(page.raw)[2] & LEAF:
                return any(
                    page.key(at) == KEY and page.value(at, fetch, file_size) == MARK for at in page.offsets
                )
            below = [at for at in page.offsets[1:] if page.key(at) <= KEY]
            number = page.child(below[-1] if below else page.offsets[0])
        except struct.error:
            return False
    return False


def _records(fetch: Fetch, meta: Meta, file_size: int) -> Iterator[tuple[bytes, bytes | None]]:
    """Records of the tree, as far as its pages can be read; None for a value as no store has one."""
    waiting, visited = [(meta.main.root, 1)], 0
    while waiting and visited < _MOST_PAGES:
        number, level = waiting.pop()
        visited += 1
        page = _page(fetch, meta, number)
        if page is None:
            continue
        kind = HEADER.unpack_from(page.raw)[2]
        with suppress(struct.error):  # a node that lies outside of the page
            if kind == BRANCH and level < meta.main.depth:
                waiting.extend((page.child(at), level + 1) for at in reversed(page.offsets))
            elif kind == LEAF and level == meta.main.depth:
                for at in page.offsets:
                    yield from _record(page, at, fetch, file_size)
            elif kind & LEAF:
                yield b"", None


def _record(page: Page, at: int, fetch: Fetch, file_size: int) -> Iterator[tuple[bytes, bytes | None]]:
    low, high, flags, _ = NODE.unpack_from(page.raw, at)
    key = page.key(at)
    if flags & ~BIGDATA or (flags and (low | high << 16) > _MOST_VALUE):
        yield key, None
    elif (value := page.value(at, fetch, file_size)) is not None:
        yield key, value


def _page(fetch: Fetch, meta: Meta, number: int) -> Page | None:
    """A page that bears its own number, or None."""
    if not METAS <= number <= meta.last_page:
        return None
    raw = fetch(number * meta.page_size, meta.page_size)
    if len(raw) != meta.page_size or int.from_bytes(raw[:8], sys.byteorder) != number:
        return None
    return None if HEADER.unpack_from(raw)[2] & OVERFLOW else Page(raw)
