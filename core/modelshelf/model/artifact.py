"""Files on their way to becoming models: artifacts and their fingerprints."""

from __future__ import annotations

import os
import struct
from enum import Enum
from typing import Any

from attrs import field, frozen


class Role(Enum):
    """What a file is to its artifact."""

    WEIGHTS = "weights"
    INDEX = "index"
    COMPANION = "companion"

    def __str__(self) -> str:
        return self.value


@frozen(kw_only=True)
class ArtifactFile:
    """One file with the stat data that its directory lists.

    Attributes:
        name: The name relative to the artifact's folder, ``/`` between parts; undecodable bytes are
            surrogate-escaped, as `os.fsdecode` does.
        size: Bytes.
        mtime_ns: Modification time in nanoseconds since 1970.
        inode: The inode, or 0 where there is none.
        role: What the file is to the artifact.
        etag: A remote store's own tag for the content, or None.
        sha256: 64 hex digits of the whole content where the place's own names give them (an Ollama blob, a
            Hub LFS blob), or None. A claim: nothing was hashed.
        ctime_ns: Time in nanoseconds since 1970 of the last change of content or inode, which no program can
            set; or 0 where it is not known.
    """

    name: str
    size: int
    mtime_ns: int
    inode: int = 0
    role: Role = Role.WEIGHTS
    etag: str | None = None
    sha256: str | None = None
    ctime_ns: int = 0


@frozen(kw_only=True)
class Fingerprint:
    """A digest of stat data that recognises an unchanged artifact without opening a file.

    Attributes:
        digest: 16 bytes over name, role, size, mtime_ns, ctime_ns, inode and etag of every file.
    """

    digest: bytes

    @classmethod
    def of(cls, files: tuple[ArtifactFile, ...]) -> Fingerprint:
        """The fingerprint of these files, in this order."""
        import hashlib  # only where a fingerprint is asked for: its library takes long to load

        hasher = hashlib.blake2b(digest_size=16)
        for one in files:
            name = os.fsencode(one.name)
            hasher.update(struct.pack("<IQqQ", len(name), one.size, one.mtime_ns, one.inode))
            if one.ctime_ns:
                hasher.update(struct.pack("<q", one.ctime_ns))
            hasher.update(name + one.role.value.encode() + (one.etag or "").encode() + b"\0")
        return cls(digest=hasher.digest())

    def __str__(self) -> str:
        return self.digest.hex()


@frozen(kw_only=True)
class Artifact:
    """Files that make one model: weights (all shards), their index, and the companions beside them.

    Attributes:
        folder: The absolute path, or the URL, of the folder that every name is relative to.
        primary: Name of the file to load: the only one, the first shard, or the index of the shards.
        files: Every file; weights in shard order first, then the index, then companions by name.
        source: Name of the source that found it.
        model_id: The id that the source gives (``org/name``, ``name:tag``), or None to take the folder's.
        aliases: Other ids that the source gives to the same files (further tags of one blob).
        facts: What the source itself knows (commit, tag, kind), for metadata of origin source: a key that is
            a field of `ModelMetadata` becomes that field, any other a detail.
        missing: Names of shards that the index or the numbering promises and the folder lacks.
        named_directly: A person named this very file, so it is looked into whatever its suffix is.
    """

    folder: str
    primary: str
    files: tuple[ArtifactFile, ...]
    source: str = "local"
    model_id: str | None = None
    aliases: tuple[str, ...] = ()
    facts: dict[str, Any] = field(factory=dict)
    missing: tuple[str, ...] = ()
    named_directly: bool = False

    @property
    def path(self) -> str:
        """The absolute path of the primary file."""
        return self.path_of(self.primary)

    @property
    def proposed_id(self) -> str:
        """The id that its source or its folder proposes."""
        return self.model_id or self.folder.rstrip("/").rpartition("/")[2]

    def path_of(self, name: str) -> str:
        """The absolute path of one of the files."""
        return f"{self.folder.rstrip('/')}/{name}"

    def with_role(self, role: Role) -> tuple[ArtifactFile, ...]:
        """The files of one role, in order."""
        return tuple([one for one in self.files if one.role is role])

    @property
    def weights(self) -> tuple[ArtifactFile, ...]:
        """The files that hold tensors, in shard order."""
        return self.with_role(Role.WEIGHTS)

    @property
    def index(self) -> ArtifactFile | None:
        """The index of the shards, where there is one."""
        return next(iter(self.with_role(Role.INDEX)), None)

    @property
    def companions(self) -> tuple[ArtifactFile, ...]:
        """The files beside the weights that belong to the model."""
        return self.with_role(Role.COMPANION)

    @property
    def size_bytes(self) -> int:
        """Bytes of all weights together."""
        return sum(one.size for one in self.weights)

    @property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of all files."""
        return Fingerprint.of(self.files)
