"""A vocabulary that was met before: how fast it is passed, what it costs a cold disk, what deceives it."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import statistics
from collections.abc import Iterator
from pathlib import Path

from attrs import evolve

from modelshelf.reader import Budget, LocalFile
from modelshelf_gguf.header import Header
from modelshelf_gguf.parse import parse_header
from modelshelf_gguf.vocabulary_cache import VocabularyCache
from tests.benchmarks.gguf_models import WALK, Model, headers, walks
from tests.benchmarks.measure import Comparison, Skipped, Workshop, side_by_side
from tests.plugins.modelshelf_gguf.variants import SOUND, VARIANTS

_VARIANTS = 10_000


def repeated(big: Model, room: Path, workshop: Workshop) -> Iterator[Comparison | Skipped]:
    """Time warm, bytes cold, and the variants of a remembered file."""
    # Other weights and another name, the same vocabulary: what a family of models looks like.
    renamed = evolve(big, path=room / "repeated.gguf", header=big.header.replace(b"3.1 8B", b"3.1 9C", 1))
    renamed.write()
    cache = _taught(big)
    ours, peer = side_by_side(lambda: headers([renamed], cache), walks([renamed]), workshop.rounds, repeat=10)
    counters = cache.counters
    note = f"{counters.hits} of {counters.headers} headers jumped, {counters.sampled_hits} by samples"
    yield Comparison(
        case="GGUF, repeated big vocabulary", ours=ours, peer=peer, peer_name=WALK, goal=0.05, note=note
    )
    yield from _cold(big, renamed, workshop)
    yield _deceived(room, workshop)


def _taught(model: Model) -> VocabularyCache:
    cache = VocabularyCache()
    headers([model], cache)
    return cache


def _cold(big: Model, renamed: Model, workshop: Workshop) -> Iterator[Comparison | Skipped]:
    case = "GGUF, repeated big vocabulary, cold"
    taken, fetched = [], []
    for _ in range(max(workshop.rounds, 5)):
        cache = _taught(big)
        if not _cooled(renamed.path):
            yield Skipped(case=case, reason="this system does not let a file become cold")
            return
        before = _from_disk()
        taken.append(headers([renamed], cache))
        fetched.append(_from_disk() - before)
        assert cache.counters.sampled_hits == 1
    for what, counts in (("bytes read", taken), ("bytes that the disk gave", fetched)):
        yield Comparison(
            case=f"{case}: {what}",
            ours=statistics.median(counts) / 1e6,
            peer=len(big.header) / 1e6,
            peer_name="the whole header",
            goal=0.1,
            unit="MB",
            note=f"at most {max(counts) / 1e6:.2f} MB",
        )


def _cooled(path: Path) -> bool:
    """Whether the file's pages could be put out of the page cache."""
    try:
        for _ in range(10):
            with path.open("r+b") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                if not _resident(file.fileno()):
                    _from_disk()
                    return True
    except (AttributeError, OSError):
        return False
    return False


def _resident(descriptor: int) -> int:
    """Pages of a file that lie in the page cache."""
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY) as mapped:
        pages = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
        first = ctypes.c_char.from_buffer(mapped)
        failed = ctypes.CDLL(None).mincore(
            ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(len(mapped)), pages
        )
        del first
    if failed:
        raise OSError
    return sum(page & 1 for page in pages)


def _from_disk() -> int:
    """Bytes that were fetched from disks for this process, what was read ahead included."""
    with Path("/proc/self/io").open() as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith("read_bytes:"))


def _deceived(room: Path, workshop: Workshop) -> Comparison:
    """Files on a disk, all in the page cache: those that read otherwise than when every string is walked."""
    count, kinds, cache, path = (
        workshop.scaled(_VARIANTS),
        list(VARIANTS),
        VocabularyCache(),
        room / "variant.gguf",
    )
    path.write_bytes(SOUND)
    _read(path, cache)
    deceived = refused = 0
    for number in range(count):
        draw = random.Random(number)  # noqa: S311 - no secret
        path.write_bytes(VARIANTS[kinds[number % len(kinds)]](draw))
        by_cache, walked = _read(path, cache), _read(path)
        deceived += _comparable(by_cache) != _comparable(walked)
        refused += walked.fault is not None
    counters = cache.counters
    return Comparison(
        case=f"GGUF, {count} variants of a remembered file: read otherwise",
        ours=deceived,
        peer=count,
        peer_name="all of them",
        goal=0,
        unit="count",
        note=f"{refused} with a named error, {counters.hits} jumped, {counters.sampled_hits} by samples",
    )


def _read(path: Path, cache: VocabularyCache | None = None) -> Header:
    file = LocalFile(str(path), path.name, Budget())
    try:
        return parse_header(file, cache)
    finally:
        file.close()


def _comparable(header: Header) -> tuple[object, ...]:
    fault = header.fault
    named = None if fault is None else (type(fault), fault.code, str(fault), fault.offset)
    return evolve(header, fault=None), named
