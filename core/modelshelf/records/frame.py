"""How a record lies in a store: a checksum, a schema version, the few fields of a listing, then the rest.

::

    u8   schema version
    u32  CRC-32 over the key and everything but this field
    u32  length of the summary part, 0 where there is none
    ...  msgpack of the summary: a list in the order of `Summary`
    ...  msgpack of the content

This frame stays as it is in every schema version; the schema tells what is inside. The key is part of the
checksum, so that a value under another key is noticed. A listing decodes the summary alone, and needs neither
attrs nor cattrs for it. Text keeps lone surrogates (bytes of file names that are not UTF-8), floats keep NaN
and infinities, and integers have no upper limit.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

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


class Summary(NamedTuple):
    """The fields of a record that listing and finding need; see `ModelConfig` and `ModelMetadata`."""

    id: str
    version: str
    display_name: str
    path: str
    format: str | None
    architecture: str | None
    quantization: str | None
    parameters: int | None
    parameter_count: str | None
    context_length: int | None
    size_bytes: int | None
    tags: list[str] | None
    source: str | None
    license: str | None
    health_status: str
    enabled: bool
    missing: bool
    last_used: int | None
    use_count: int
    added_at: int
    offline: bool = False


def pack(content: Any) -> bytes:
    """Plain values as msgpack.

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
        raise _damaged(key, "is too short")
    schema, checksum, length = _HEADER.unpack_from(value)
    if zlib.crc32(value[_CHECKED_FROM:], zlib.crc32(value[:1], zlib.crc32(key))) != checksum:
        raise _damaged(key, "does not match its checksum")
    if schema > SCHEMA:
        raise StoreError(
            f"record {printable(key)} was written by a newer modelshelf: it has schema {schema}, this one "
            f"reads {SCHEMA}; upgrade modelshelf"
        )
    middle = _HEADER.size + length
    return schema, value[_HEADER.size : middle], value[middle:]


def packed_summaries(records: Iterable[tuple[bytes, bytes]]) -> list[bytes] | None:
    """The packed summary of each record, its seal checked as `decode_frame` does.

    None where one is damaged or of another release, so that each has to be looked at by itself.
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


def _damaged(key: bytes, what: str) -> DamagedStoreError:
    return DamagedStoreError(
        f"record {printable(key)} {what}: the store is damaged; `modelshelf doctor --repair` saves the rest"
    )


def misplaced_error(key: bytes, wanted: bytes) -> DamagedStoreError:
    """The error for a record under a damaged key; `wanted` is the right one, or how that begins."""
    return _damaged(key, f"is that of {printable(wanted).strip()}")


def fits(key: bytes, value: bytes) -> bool:
    """Whether a stored value was sealed under that key."""
    try:
        decode_frame(key, value)
    except StoreError:
        return False
    return True


def id_inside(value: bytes) -> str | None:
    """The id that a record names itself, whatever its key and its seal say; None where it names none."""
    start = _HEADER.size
    try:
        told = unpack(value[start : start + int.from_bytes(value[start - 4 : start], "little")])[0]
    except (ValueError, TypeError, IndexError, KeyError):
        return None
    return told if isinstance(told, str) else None


def printable(key: bytes) -> str:
    """A key for a message."""
    return key.replace(b"\0", b" ").decode("utf-8", "backslashreplace")


def encode_value(key: bytes, content: Any) -> bytes:
    """A plain value as it is stored."""
    return encode_frame(key, pack(content))


def decode_value(key: bytes, value: bytes) -> Any:
    """What `encode_value` sealed.

    Raises:
        DamagedStoreError: The checksum does not match.
    """
    return _decoded(key, decode_frame(key, value)[2])


def decode_summary(key: bytes, value: bytes) -> Summary:
    """The listing fields of a record; those that a later minor release adds at the end are left out.

    Raises:
        DamagedStoreError: The checksum does not match, or it holds no summary.
        StoreError: A newer release wrote it.
    """
    schema, packed, _ = decode_frame(key, value)
    summary = _decoded(key, packed) if schema == SCHEMA else _upgraded(key, value)[0]
    try:
        return Summary(*summary[: len(Summary._fields)])
    except TypeError:
        raise _damaged(key, "holds no summary") from None


def decode_content(key: bytes, value: bytes) -> Any:
    """A record's content as plain data of the present schema.

    Raises:
        DamagedStoreError: The checksum does not match, or it cannot be decoded; the error names the key.
        StoreError: A newer release wrote it.
    """
    schema, _, packed = decode_frame(key, value)
    return _decoded(key, packed) if schema == SCHEMA else _upgraded(key, value)[1]


def _upgraded(key: bytes, value: bytes) -> tuple[list[Any], dict[str, Any]]:
    schema, packed_summary, packed = decode_frame(key, value)
    summary, content = _decoded(key, packed_summary), _decoded(key, packed)
    for older in range(schema, SCHEMA):
        summary, content = UPGRADES[older](summary, content)
    return summary, content


def _decoded(key: bytes, packed: bytes) -> Any:
    try:
        return unpack(packed)
    except ValueError:
        raise _damaged(key, "cannot be decoded") from None
