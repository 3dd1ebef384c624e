"""The sha256 of every weight file, read whole: what the depth ``full`` adds to a name that only claims it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import attrs

from modelshelf.model import Artifact, ArtifactFile, Finding, Location, Role, Severity

if TYPE_CHECKING:
    from modelshelf.reader import ArtifactReader

_CHUNK = 1 << 20  # bytes


def hashed(reader: ArtifactReader) -> dict[str, str]:
    """By name of each weight file the sha256 of all its bytes, as 64 hex digits.

    Raises:
        ReadError: A weight file cannot be read.
    """
    found = {}
    for one in reader.artifact.weights:
        file, told = reader.file(one.name), hashlib.sha256()
        for offset in range(0, file.size, _CHUNK):
            told.update(file.read_up_to(offset, _CHUNK))
        found[one.name] = told.hexdigest()
    return found


def belied(artifact: Artifact, sha256: Mapping[str, str]) -> Iterator[Finding]:
    """A finding for each file that is known by a sha256 that its bytes do not have."""
    for one in artifact.weights:
        told = sha256.get(one.name)
        if one.sha256 is not None and told is not None and one.sha256 != told:
            yield Finding(
                code="sha256-differs",
                severity=Severity.ERROR,
                message=f"{one.name}: its name in its store, or an earlier full read, tells the sha256 "
                f"{one.sha256}; its bytes have {told}: it is damaged or was replaced, download it again",
                file=one.name,
            )


def with_hashes(files: tuple[ArtifactFile, ...], sha256: Mapping[str, str]) -> tuple[ArtifactFile, ...]:
    """The files with what is known of their bytes."""
    if not sha256:
        return files
    return tuple(
        attrs.evolve(one, sha256=sha256[one.name]) if one.role is Role.WEIGHTS and one.name in sha256 else one
        for one in files
    )


def differing(places: tuple[Location, ...]) -> Iterator[Finding]:
    """A finding for each copy whose bytes, by their sha256, are not those of the first."""
    known = [(one, one.content_names) for one in places if not one.missing]
    first = next(((place, names) for place, names in known if names is not None), None)
    for place, names in known:
        if first is not None and names is not None and names != first[1]:
            yield Finding(
                code="copies-differ",
                severity=Severity.WARNING,
                message=f"{place.path}: has the size, header and samples of {first[0].path}, but other bytes "
                "(sha256); one of them may be damaged",
                file=place.path,
            )
