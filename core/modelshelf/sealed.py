"""How a record lies in a store: a checksum, a schema version, the few fields of a listing, then the rest.

::

    u8   schema version
    u32  CRC-32 over the key and everything after this field
    u32  length of the summary part, 0 where there is none
    ...  msgpack of the summary: a list in the order of `Summary`
    ...  msgpack of the content

The key is part of the checksum, so that a value under another key is noticed. A listing decodes the summary
alone, and needs neither attrs nor cattrs for it. Text keeps lone surrogates (file names that are not
UTF-8), and integers have no upper limit.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, NamedTuple

import msgpack

from modelshelf.errors import DamagedStoreError, StoreError

SCHEMA = 1
_HEADER = struct.Struct("<BII")
_CHECKED_FROM = 5  # the summary's length is covered by the checksum too
_BIG_INTEGER = 1  # msgpack extension type: decimal digits of an integer beyond 64 bits


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


def pack(content: Any) -> bytes:
    """Plain values as msgpack."""
    try:
        return _packb(content)
    except OverflowError:
        return _packb(_portable(content))


def _packb(content: Any) -> bytes:
    packed: bytes = msgpack.packb(content, use_bin_type=True, unicode_errors="surrogatepass")
    return packed


def _portable(content: Any) -> Any:
    if isinstance(content, dict):
        return {_portable(key): _portable(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_portable(value) for value in content]
    if isinstance(content, int) and not -(2**63) <= content < 2**64:
        return msgpack.ExtType(_BIG_INTEGER, hex(content).encode())
    return content


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


def close_up(key: bytes, content: bytes, summary: bytes = b"") -> bytes:
    """Packed parts as a stored value."""
    rest = struct.pack("<I", len(summary)) + summary + content
    return struct.pack("<BI", SCHEMA, zlib.crc32(rest, zlib.crc32(key))) + rest


def open_up(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Packed summary and content of a stored value.

    Raises:
        DamagedStoreError: The checksum does not match; the error names the key.
        StoreError: A newer release wrote it.
    """
    if len(value) < _HEADER.size:
        raise _damaged(key, "is too short")
    schema, checksum, length = _HEADER.unpack_from(value)
    if zlib.crc32(memoryview(value)[_CHECKED_FROM:], zlib.crc32(key)) != checksum:
        raise _damaged(key, "does not match its checksum")
    if schema > SCHEMA:
        raise StoreError(
            f"record {printable(key)} has schema {schema}, this release reads {SCHEMA}: upgrade modelshelf"
        )
    middle = _HEADER.size + length
    return value[_HEADER.size : middle], value[middle:]


def _damaged(key: bytes, what: str) -> DamagedStoreError:
    return DamagedStoreError(
        f"record {printable(key)} {what}: the store is damaged; remove that model and scan again"
    )


def printable(key: bytes) -> str:
    """A key for a message."""
    return key.replace(b"\0", b" ").decode("utf-8", "backslashreplace")


def seal_value(key: bytes, content: Any) -> bytes:
    """A plain value as it is stored."""
    return close_up(key, pack(content))


def unseal_value(key: bytes, value: bytes) -> Any:
    """What `seal_value` sealed.

    Raises:
        DamagedStoreError: The checksum does not match.
    """
    return _decoded(key, open_up(key, value)[1])


def unseal_summary(key: bytes, value: bytes) -> Summary:
    """The listing fields of a record.

    Raises:
        DamagedStoreError: The checksum does not match, or it holds no summary.
    """
    packed = open_up(key, value)[0]
    try:
        return Summary._make(_decoded(key, packed))
    except TypeError:
        raise _damaged(key, "holds no summary") from None


def _decoded(key: bytes, packed: bytes) -> Any:
    try:
        return unpack(packed)
    except ValueError:
        raise _damaged(key, "cannot be decoded") from None
