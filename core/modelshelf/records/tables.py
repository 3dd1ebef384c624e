"""The registry's tables within a store, and the keys of what is in them.

==========  ==========================================  =====================================
key prefix  rest of the key                             value
==========  ==========================================  =====================================
``m``       id, version                                 the sealed `ModelConfig`
``l``       path                                        fingerprint, id, version, missing, path
``c``       content digest                              id, version
``x``       path                                        fingerprint, code, message, path
``i``       path of an index of shards                  size, mtime_ns, inode, names, path
``u``       path of a model that is not well            id, version, health status, path
``a``       alias                                       id
``p``       id                                          pinned version
``w``       root of a scanned tree                      the tree's census; see `scan.folder_cache`
``t``       hash of such a root, path                   path, whose entry in ``l`` or ``x`` changed since
``s``       ``default``, ``failures``, ``censuses``,    id; failures of plugins in scans; scanned roots;
            ``mounts``, ``hooks``                       mount points that models lie, or lay, on; hooks that
                                                        releases of plugins implement
==========  ==========================================  =====================================

Parts of a key are joined by NUL; a part that would make the key too long is cut and ends in its hash.
The tables ``i``, ``w`` and ``t`` only spare work: without them a scan looks anew.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelshelf.model import ModelVersion

_LONGEST_PART = 300
_LONGEST_VERSION = 150
PATH_PREFIX = _LONGEST_PART - 34  # bytes that the keys of all paths below a long one begin with, however long
DEFAULT = b"s\0default"
FAILURES = b"s\0failures"
CACHED_ROOTS = b"s\0censuses"
MOUNTS = b"s\0mounts"
HOOKS = b"s\0hooks"


def key_part(data: bytes, longest: int = _LONGEST_PART) -> bytes:
    """A part of a key: as it is, or cut with its hash at the end where it is too long."""
    if len(data) <= longest:
        return data
    import hashlib  # OpenSSL takes longer to load than a listing to make, and few names are so long

    return data[: longest - 34] + b"\x01#" + hashlib.blake2b(data, digest_size=16).hexdigest().encode()


def path_bytes(path: str) -> bytes:
    """A path as the system has it; undecodable bytes come back as they were."""
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:  # a surrogate that no file system made
        return path.encode("utf-8", "surrogatepass")


def id_key(table: bytes, model_id: str) -> bytes:
    """The key of an id or alias in a table."""
    return table + b"\0" + key_part(model_id.encode("utf-8", "surrogatepass"))


def record_key(model_id: str, version: ModelVersion | str) -> bytes:
    """The key of a record."""
    return id_key(b"m", model_id) + b"\0" + key_part(str(version).encode(), _LONGEST_VERSION)


def changed_prefix(root: bytes) -> bytes:
    """What the keys of all touched paths below a censused root begin with."""
    import hashlib

    return b"t\0" + hashlib.blake2b(root, digest_size=8).hexdigest().encode() + b"\0"


def path_key(table: bytes, path: str) -> bytes:
    """The key of a path in a table."""
    return table + b"\0" + key_part(path_bytes(path))


def pin_part(model_id: str) -> bytes:
    """An id as `RecordReader.pins` names it."""
    return id_key(b"p", model_id)[2:]
