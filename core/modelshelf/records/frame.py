"""The bytes of a stored value: a checksum, a schema version, a record's summary, the content as msgpack.

::

    u8   schema version
    u32  CRC-32 over the key and everything but this field
    u32  length of the summary, 0 where there is none
    ...  msgpack of the summary: a list in the order of `records.summary.Summary`
    ...  msgpack of the content

This frame is the same in every schema version, which tells what is inside. The key is part of the checksum,
so that a value under another key is noticed. Text keeps lone surrogates (bytes of file names that are not
UTF-8), floats keep NaN and infinities, and integers have no upper limit.

Apart from `records.codec`, which makes values of the content, because a listing needs the frame alone: attrs
and cattrs take longer to load than a listing of a thousand models to make.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import msgpack

from modelshelf.errors import DamagedStoreError, StoreError

SCHEMA = 1
UPGRADES: dict[int, Callable[[list[Any], dict[str, Any]], tuple[list[Any], dict[str, Any]]]] = {}
"""For each older schema version, what turns a record's summary and content into those of the next version."""

_SCHEMA_BYTE = bytes([SCHEMA])
_HEADER = struct.Struct("<BII")
_CHECKED_FROM = 5  # the summary's length is covered by the checksum too
_SUMMARY_FROM = _HEADER.size
_BIG_INTEGER = 1  # msgpack extension type: hexadecimal digits of an integer beyond 64 bits


def pack(content: Any) -> bytes:
    """Plain data as msgpack.

    Raises:
        StoreError: A value is of a kind that cannot be stored, or nested too deep.
    """
    try:
        return bytes(
            msgpack.packb(content, use_bin_type=True, unicode_errors="surrogatepass", default=_extension)
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise StoreError(f"a value cannot be stored: {error}") from None


def _extension(value: Any) -> msgpack.ExtType:
    if isinstance(value, int):
        return msgpack.ExtType(_BIG_INTEGER, hex(value).encode())
    raise TypeError(f"{type(value).__name__} is neither text, bytes, number, list nor mapping")


def _extended(code: int, data: bytes) -> Any:
    return int(data, 16) if code == _BIG_INTEGER else msgpack.ExtType(code, data)


def unpack(data: bytes | memoryview) -> Any:
    """What `pack` packed.

    Raises:
        ValueError: It is not msgpack.
    """
    return msgpack.unpackb(
        data, raw=False, strict_map_key=False, unicode_errors="surrogatepass", ext_hook=_extended
    )


def encode_frame(key: bytes, content: bytes, summary: bytes = b"") -> bytes:
    """Packed parts as a stored value."""
    rest = struct.pack("<I", len(summary)) + summary + content
    return struct.pack("<BI", SCHEMA, zlib.crc32(rest, zlib.crc32(_SCHEMA_BYTE, zlib.crc32(key)))) + rest


def decode_frame(key: bytes, value: bytes) -> tuple[int, bytes, bytes]:
    """Schema version, packed summary and packed content of a stored value.

    Raises:
        DamagedStoreError: The checksum does not match; the error names the key.
        StoreError: A newer release wrote it.
    """
    if len(value) < _HEADER.size:
        raise damaged(key, "is too short")
    if not is_intact(key, value):
        raise damaged(key, "does not match its checksum")
    schema, _, length = _HEADER.unpack_from(value)
    if schema > SCHEMA:
        raise newer(key, f"it has schema {schema}, this one reads {SCHEMA}")
    middle = _SUMMARY_FROM + length
    return schema, value[_SUMMARY_FROM:middle], value[middle:]


def is_intact(key: bytes, value: bytes) -> bool:
    """Whether a stored value is as it was written, and under that very key."""
    if len(value) < _HEADER.size:
        return False
    checksum = _HEADER.unpack_from(value)[1]
    return bool(zlib.crc32(value[_CHECKED_FROM:], zlib.crc32(value[:1], zlib.crc32(key))) == checksum)


def packed_summaries(records: Iterable[tuple[bytes, bytes]]) -> list[bytes] | None:
    """The packed summary of each record, its checksum checked as `decode_frame` does.

    None where one is damaged or of another release, so that each has to be decoded by itself.
    """
    unpack, crc32, found = _HEADER.unpack_from, zlib.crc32, []
    for key, value in records:
        if len(value) < _SUMMARY_FROM:
            return None
        schema, checksum, length = unpack(value)
        if schema != SCHEMA or crc32(value[_CHECKED_FROM:], crc32(key + _SCHEMA_BYTE)) != checksum:
            return None
        found.append(value[_SUMMARY_FROM : _SUMMARY_FROM + length])
    return found


def unchecked_summary(value: bytes) -> list[Any]:
    """The summary in a value, whatever its key and its checksum say; empty where there is none."""
    start = _SUMMARY_FROM
    length = int.from_bytes(value[start - 4 : start], "little")
    try:
        summary = unpack(value[start : start + length])
    except (ValueError, TypeError):
        return []
    return summary if isinstance(summary, list) else []


def encode_value(key: bytes, content: Any) -> bytes:
    """Plain data as a stored value."""
    return encode_frame(key, pack(content))


def decode_value(key: bytes, value: bytes) -> Any:
    """What `encode_value` encoded.

    Raises:
        DamagedStoreError: The checksum does not match.
        StoreError: A newer release wrote it.
    """
    return _unpack_part(key, decode_frame(key, value)[2])


def unpack_summary(key: bytes, value: bytes) -> Any:
    """A record's summary as plain data of the present schema.

    Raises:
        DamagedStoreError: The checksum does not match, or it cannot be unpacked; the error names the key.
        StoreError: A newer release wrote it.
    """
    schema, packed, _ = decode_frame(key, value)
    return _unpack_part(key, packed) if schema == SCHEMA else _upgraded(key, value)[0]


def unpack_content(key: bytes, value: bytes) -> Any:
    """A record's content as plain data of the present schema.

    Raises:
        DamagedStoreError: As `unpack_summary`.
        StoreError: As `unpack_summary`.
    """
    schema, _, packed = decode_frame(key, value)
    return _unpack_part(key, packed) if schema == SCHEMA else _upgraded(key, value)[1]


def _upgraded(key: bytes, value: bytes) -> tuple[list[Any], dict[str, Any]]:
    schema, packed_summary, packed = decode_frame(key, value)
    summary, content = _unpack_part(key, packed_summary), _unpack_part(key, packed)
    for older in range(schema, SCHEMA):
        summary, content = UPGRADES[older](summary, content)
    return summary, content


def _unpack_part(key: bytes, packed: bytes) -> Any:
    try:
        return unpack(packed)
    except ValueError:
        raise damaged(key, "cannot be decoded") from None


def damaged(key: bytes, what: str) -> DamagedStoreError:
    """The error for a damaged value; `what` says what is wrong with it."""
    return DamagedStoreError(
        f"record {printable(key)} {what}: the store is damaged; `modelshelf doctor --repair` saves the rest"
    )


def misplaced(key: bytes, wanted: bytes) -> DamagedStoreError:
    """The error for a value under a damaged key; `wanted` is the right one, or how that begins."""
    return damaged(key, f"is that of {printable(wanted).strip()}")


def newer(key: bytes, what: str) -> StoreError:
    """The error for a value that a newer release wrote; `what` says how that shows."""
    return StoreError(
        f"record {printable(key)} was written by a newer modelshelf: {what}; upgrade modelshelf"
    )


def printable(key: bytes) -> str:
    """A key for a message."""
    return key.replace(b"\0", b" ").decode("utf-8", "backslashreplace")
