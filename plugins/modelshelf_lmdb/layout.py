"""LMDB's meta pages, read before LMDB maps the file: a file cut short would end the process with SIGBUS.

Source: ``mdb.c`` of LMDB 0.9, ``MDB_meta``: magic u32, version u32, address, map size, two ``MDB_db`` of 48
bytes (the first holds the page size), last page, transaction id; behind a page header of 16 bytes.
"""

from __future__ import annotations

import os
import struct

from modelshelf.errors import DamagedStoreError, StoreUnavailableError

_MAGIC = 0xBEEFC0DE
_PAGE_HEADER = 16
_HEAD = struct.Struct("=II")
_PAGE_SIZE = struct.Struct("=I")
_TAIL = struct.Struct("=QQ")
_PAGE_SIZE_AT = 24
_TAIL_AT = 24 + 2 * 48
_SMALLEST_PAGE, _LARGEST_PAGE = 512, 65536


def check_size(path: str) -> None:
    """Compare the file's size with what its newest meta page says.

    Raises:
        DamagedStoreError: It is no LMDB file, or shorter than it should be.
        StoreUnavailableError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            first = file.read(_PAGE_HEADER + _TAIL_AT + _TAIL.size)
            page_size = _page_size(first, path)
            file.seek(page_size)
            second = file.read(len(first))
    except OSError as error:
        raise StoreUnavailableError(f"{path}: cannot be read: {error.strerror}") from error
    metas = [meta for meta in (_meta(first), _meta(second)) if meta is not None]
    if not metas:
        raise _damaged(path, "neither of its two meta pages is whole")
    last_page, _ = max(metas, key=lambda meta: meta[1])
    if size < (last_page + 1) * page_size:
        raise _damaged(path, f"it has {size} bytes of at least {(last_page + 1) * page_size}")


def _page_size(first: bytes, path: str) -> int:
    if len(first) < _PAGE_HEADER + _TAIL_AT + _TAIL.size:
        raise _damaged(path, f"it has only {len(first)} bytes")
    (page_size,) = _PAGE_SIZE.unpack_from(first, _PAGE_HEADER + _PAGE_SIZE_AT)
    if (
        _HEAD.unpack_from(first, _PAGE_HEADER)[0] != _MAGIC
        or not _SMALLEST_PAGE <= page_size <= _LARGEST_PAGE
    ):
        raise _damaged(path, "it does not begin as an LMDB file does")
    return int(page_size)


def _meta(page: bytes) -> tuple[int, int] | None:
    """Last page and transaction id of a meta page, or None where it is not whole."""
    if len(page) < _PAGE_HEADER + _TAIL_AT + _TAIL.size or _HEAD.unpack_from(page, _PAGE_HEADER)[0] != _MAGIC:
        return None
    last_page, transaction = _TAIL.unpack_from(page, _PAGE_HEADER + _TAIL_AT)
    return last_page, transaction


def _damaged(path: str, what: str) -> DamagedStoreError:
    return DamagedStoreError(f"{path} is damaged: {what}; move the folder away and scan again to rebuild it")
