"""Digests of a model's content: one of samples, which recognises copies, and the sha256 of every byte."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import attrs

from modelshelf.model import ArtifactFile, Finding, Location, Role, Severity
from modelshelf.reader import HEAD_BLOCK

if TYPE_CHECKING:
    from modelshelf.reader import ArtifactReader

WHOLE = 64 * 1024  # bytes; files up to this size are read whole
_TAIL = 4 * 1024
_SAMPLES = 4
_CHUNK = 1 << 20  # bytes read at a time for a sha256
FINE_SIZE = 20  # bytes of a digest of more than samples: no content digest is as long


def content_digest(reader: ArtifactReader) -> bytes:
    """16 bytes by which the same content is recognised in another place.

    Files of up to 64 KiB count whole; of a larger one its size, its first 16 KiB, its last 4 KiB and four
    blocks of 4 KiB between them. Two trainings of one architecture have equal headers and equal sizes,
    so a header alone would take one for the other. A change that touches none of these is not noticed:
    a hash of every byte is what the depth ``full`` is for.

    Raises:
        ReadError: A file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for one in reader.artifact.weights:
        file = reader.file(one.name)
        digest.update(struct.pack("<Q", file.size))
        if file.size <= WHOLE:
            digest.update(file.read(0, file.size))
            continue
        digest.update(file.read(0, HEAD_BLOCK))
        step = (file.size - HEAD_BLOCK - _TAIL) // (_SAMPLES + 1)
        for number in range(1, _SAMPLES + 1):
            digest.update(file.read_up_to(HEAD_BLOCK + number * step, _TAIL))
        digest.update(file.read(file.size - _TAIL, _TAIL))
    return digest.digest()


def fine_digest(reader: ArtifactReader, tensors: Mapping[str, Sequence[tuple[int, int]]]) -> bytes:
    """20 bytes over every byte outside the tensors, and over 4 KiB at the beginning, middle and end of each.

    A tensor of up to 12 KiB counts whole, and so does a file whose tensors overlap or reach past its end.

    Args:
        reader: The files.
        tensors: By name of each weight file where its tensors' data lies, as (offset, length); a file that
            is not among them counts whole.

    Raises:
        ReadError: A file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=FINE_SIZE)
    for one in reader.artifact.weights:
        file = reader.file(one.name)
        digest.update(struct.pack("<Q", file.size))
        for offset, length in _to_compare(sorted(tensors.get(one.name, ())), file.size):
            for begin in range(offset, offset + length, _CHUNK):
                digest.update(file.read(begin, min(_CHUNK, offset + length - begin)))
    return digest.digest()


def _to_compare(tensors: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """The ranges of a file that a fine digest reads, in order."""
    ends = accumulate((offset + length for offset, length in tensors), max, initial=0)
    if any(length < 0 or offset < end for (offset, length), end in zip(tensors, ends, strict=False)):
        tensors = []
    if tensors and sum(tensors[-1]) > size:
        tensors = []
    read = 0
    for offset, length in tensors:
        whole = length <= 3 * _TAIL
        yield read, offset + (length if whole else _TAIL) - read
        if not whole:
            yield offset + length // 2, _TAIL
            yield offset + length - _TAIL, _TAIL
        read = offset + length
    yield read, size - read


def name_of_bytes(files: tuple[ArtifactFile, ...], sha256: Mapping[str, str]) -> bytes:
    """20 bytes that name all the bytes of these weights, of which the sha256 is given by name."""
    digest = hashlib.blake2b(digest_size=FINE_SIZE)
    for one in files:
        if one.role is Role.WEIGHTS:
            digest.update(bytes.fromhex(sha256[one.name]))
    return digest.digest()


def sha256_of_weights(reader: ArtifactReader) -> dict[str, str]:
    """By name of each weight file the sha256 of all its bytes, as 64 hex digits.

    Raises:
        ReadError: A weight file cannot be read.
    """
    digests = {}
    for one in reader.artifact.weights:
        file, digest = reader.file(one.name), hashlib.sha256()
        for offset in range(0, file.size, _CHUNK):
            digest.update(file.read_up_to(offset, _CHUNK))
        digests[one.name] = digest.hexdigest()
    return digests


def with_sha256(files: tuple[ArtifactFile, ...], sha256: Mapping[str, str]) -> tuple[ArtifactFile, ...]:
    """The files, each weight file with its entry of `sha256`."""
    if not sha256:
        return files
    return tuple(
        attrs.evolve(one, sha256=sha256[one.name]) if one.role is Role.WEIGHTS and one.name in sha256 else one
        for one in files
    )


def sha256_findings(weights: Iterable[ArtifactFile], sha256: Mapping[str, str]) -> Iterator[Finding]:
    """A finding for each file that has another sha256 by its name or by an earlier look than by its bytes."""
    for one in weights:
        read = sha256.get(one.name)
        if one.sha256 is not None and read is not None and one.sha256 != read:
            yield Finding(
                code="sha256-differs",
                severity=Severity.ERROR,
                message=f"{one.name}: its name in its store, or an earlier full read, tells the sha256 "
                f"{one.sha256}; its bytes have {read}: it is damaged or was replaced, download it again",
                file=one.name,
            )


def other_copies(locations: Iterable[Location]) -> list[Location]:
    """The present copies whose bytes, by their sha256, are not those of the first."""
    hashed = [(one, one.content_names) for one in locations if not one.missing]
    first = next((names for _, names in hashed if names is not None), None)
    return [one for one, names in hashed if names not in (None, first)]
