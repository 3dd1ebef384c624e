"""The tables within a store: the one list of them, and the keys of their entries.

A store is one ordered map of bytes; a table is the entries whose keys begin with its prefix. Whoever reads,
writes, checks or repairs a store goes by this list. Parts of a key are joined by NUL; a part that would make
the key too long is cut and ends in its hash. Values are plain data in the frame that `records.frame`
describes. A listing reads tables, so nothing here needs attrs, which takes longer to load than the listing.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from modelshelf.model import ModelVersion

PREFIX_BYTES = 2  # a letter and NUL
_LONGEST_PART = 300
_LONGEST_VERSION = 150
_HASH_BYTES = 34  # "\x01#" and 32 hexadecimal digits
PATH_PREFIX = _LONGEST_PART - _HASH_BYTES  # bytes that all keys of paths below a long one begin with


class Rebuild(Enum):
    """Where the content of a damaged table comes from."""

    FILES = "files"
    """A scan of the models' files; what a person set of them is lost."""
    RECORDS = "records"
    """The records: they are written again, and the table with them."""
    NEXT_SCAN = "next scan"
    """It spares a scan work, no more: it is left out, and the next scan does that work again."""
    NOTHING = "nothing"
    """It exists nowhere else: what can be read of it is copied."""


class Table(NamedTuple):
    """One table.

    Attributes:
        name: What its entries are.
        prefix: What its keys begin with.
        key: What the rest of a key is.
        value: What a value is; several things are a list, in this order.
        rebuild: Where its content comes from after damage.
    """

    name: str
    prefix: bytes
    key: str
    value: str
    rebuild: Rebuild


RECORDS = Table(
    name="records",
    prefix=b"m\0",
    key="id, version",
    value="the ModelConfig, with its Summary in front",
    rebuild=Rebuild.FILES,
)
LOCATIONS = Table(
    name="locations",
    prefix=b"l\0",
    key="path of a model",
    value="fingerprint, id, version, missing, depth, the id that the place proposes, path",
    rebuild=Rebuild.RECORDS,
)
CONTENTS = Table(
    name="contents",
    prefix=b"c\0",
    key="content digest",
    value="id, version",
    rebuild=Rebuild.RECORDS,
)
REJECTIONS = Table(
    name="rejections",
    prefix=b"x\0",
    key="path of a file that is no model",
    value="fingerprint, code, message, path",
    rebuild=Rebuild.NEXT_SCAN,
)
SHARD_INDEXES = Table(
    name="shard indexes",
    prefix=b"i\0",
    key="path of an index of shards",
    value="size, mtime_ns, inode, names of the shards, path",
    rebuild=Rebuild.NEXT_SCAN,
)
UNHEALTHY = Table(
    name="unhealthy models",
    prefix=b"u\0",
    key="path of a model that is unhealthy or degraded, or that a check did not finish over",
    value="id, version, health status, path",
    rebuild=Rebuild.RECORDS,
)
ALIASES = Table(name="aliases", prefix=b"a\0", key="alias", value="id", rebuild=Rebuild.RECORDS)
SHARED_NAMES = Table(
    name="shared names",
    prefix=b"n\0",
    key="name that several models would have as their id, path of one of them",
    value="path",
    rebuild=Rebuild.RECORDS,
)
PINS = Table(name="pins", prefix=b"p\0", key="id", value="version", rebuild=Rebuild.NOTHING)
FOLDER_CACHES = Table(
    name="folder caches",
    prefix=b"w\0",
    key="root of a scanned tree",
    value="digest of the scan's rules, what its folders contained; see scan.folder_cache",
    rebuild=Rebuild.NEXT_SCAN,
)
CHANGED_PATHS = Table(
    name="changed paths",
    prefix=b"t\0",
    key="hash of such a root, path below it whose location or rejection changed since",
    value="path",
    rebuild=Rebuild.NEXT_SCAN,
)
# The LMDB store takes one more key here, `store`, for its own mark, and does not show it.
REGISTRY = Table(
    name="registry",
    prefix=b"s\0",
    key="default, failures, failure-places, censuses, mounts or hooks",
    value="id; failures of plugins; where they failed; roots with a folder cache; mount points that models "
    "lie, or lay, on; hooks that releases of plugins implement",
    rebuild=Rebuild.NOTHING,
)

TABLES = (
    RECORDS,
    LOCATIONS,
    CONTENTS,
    REJECTIONS,
    SHARD_INDEXES,
    UNHEALTHY,
    ALIASES,
    SHARED_NAMES,
    PINS,
    FOLDER_CACHES,
    CHANGED_PATHS,
    REGISTRY,
)
"""Every table there is."""

DEFAULT = REGISTRY.prefix + b"default"
FAILURES = REGISTRY.prefix + b"failures"
FAILURE_PLACES = REGISTRY.prefix + b"failure-places"
CACHED_ROOTS = REGISTRY.prefix + b"censuses"
MOUNTS = REGISTRY.prefix + b"mounts"
HOOKS = REGISTRY.prefix + b"hooks"

NOT_WELL = frozenset({"unhealthy", "degraded"})
"""Health statuses of the models that have an entry in `UNHEALTHY`."""

_TABLE_OF = {one.prefix: one for one in TABLES}


def table_of(key: bytes) -> Table | None:
    """The table that a key belongs to; None for a key that is damaged, or of a later release."""
    return _TABLE_OF.get(key[:PREFIX_BYTES])


def key_part(data: bytes, longest: int = _LONGEST_PART) -> bytes:
    """A part of a key: as it is, or cut with its hash at the end where it is too long."""
    if len(data) <= longest:
        return data
    import hashlib  # OpenSSL takes longer to load than a listing to make, and few names are so long

    digest = hashlib.blake2b(data, digest_size=16).hexdigest().encode()
    return data[: longest - _HASH_BYTES] + b"\x01#" + digest


def path_bytes(path: str) -> bytes:
    """A path as the system has it; undecodable bytes come back as they were."""
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:  # a surrogate that no file system made
        return path.encode("utf-8", "surrogatepass")


def id_key(table: Table, model_id: str) -> bytes:
    """The key of an id or alias in a table."""
    return table.prefix + key_part(model_id.encode("utf-8", "surrogatepass"))


def record_key(model_id: str, version: ModelVersion | str) -> bytes:
    """The key of a record."""
    return versions_prefix(model_id) + key_part(str(version).encode(), _LONGEST_VERSION)


def versions_prefix(model_id: str) -> bytes:
    """What the keys of all versions of a model begin with."""
    return id_key(RECORDS, model_id) + b"\0"


def path_key(table: Table, path: str) -> bytes:
    """The key of a path in a table."""
    return table.prefix + key_part(path_bytes(path))


def content_key(digest: bytes) -> bytes:
    """The key of a content digest."""
    return CONTENTS.prefix + digest


def changed_prefix(root: bytes) -> bytes:
    """What the keys of all changed paths below a root with a folder cache begin with."""
    import hashlib

    return CHANGED_PATHS.prefix + hashlib.blake2b(root, digest_size=8).hexdigest().encode() + b"\0"


def shared_name_prefix(name: str) -> bytes:
    """What the keys of all models begin with that would have a name as their id."""
    return id_key(SHARED_NAMES, name) + b"\0"


def shared_name_key(name: str, path: bytes) -> bytes:
    """The key of a model's path below a name that it shares with others."""
    return shared_name_prefix(name) + key_part(path, _LONGEST_VERSION)


def pin_part(model_id: str) -> bytes:
    """An id as `RecordReader.pins` names it."""
    return id_key(PINS, model_id)[PREFIX_BYTES:]


def after(prefix: bytes) -> bytes:
    """The first key behind all that begin with a prefix of one of these tables."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1])
