"""Long safetensors headers: the most time and memory that any shape of them takes."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.benchmarks.measure import Comparison, Spent, Workshop, run_process
from tests.plugins.modelshelf_safetensors.long_headers import BROKEN, DEGRADED, SOUND, WRITTEN, Shape

LARGEST = 99_000_000
"""Bytes of the longest headers; the format allows 100 MB."""

HOSTILE = 16_000_000
"""Bytes of the headers that have two seconds, whatever they are made of."""

MOST_GROWTH = 128.0
"""MB above what reading a tiny header takes, for a header of any shape."""

MOST_SECONDS = 6.0
"""Processor seconds for the longest header as a writer makes it."""

MOST_HOSTILE_SECONDS = 2.0

_MOST_NAMED = 8  # shapes in a note

_HOOKS = """
import os, sys
import modelshelf_safetensors as plugin
from modelshelf.errors import ReadError
from modelshelf.model import Artifact, ArtifactFile, Depth, Role
from modelshelf.reader import ArtifactReader
folder, name = os.path.split(sys.argv[1])
status = os.stat(sys.argv[1])
one = ArtifactFile(name=name, size=status.st_size, mtime_ns=status.st_mtime_ns, role=Role.WEIGHTS)
artifact = Artifact(folder=folder, primary=name, files=(one,), source="local")
with ArtifactReader(artifact) as reader:
    try:
        plugin.modelshelf_extract_metadata(artifact, "safetensors", reader)
        list(plugin.modelshelf_probe_health(artifact, "safetensors", reader, Depth.HEADER))
    except ReadError:
        pass
"""


def long_headers(workshop: Workshop) -> Iterator[Comparison]:
    """Both hooks on headers of every shape, each in a process of its own, less what a tiny header takes."""
    folder = workshop.room("safetensors-headers")
    least = _spent(folder, b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}')
    largest, hostile = workshop.scaled(LARGEST), workshop.scaled(HOSTILE)
    growths = dict[str, float]()
    others = {name: shape for name, shape in (SOUND | DEGRADED | BROKEN).items() if name not in WRITTEN}
    for what, shapes, limit in (
        ("as writers make them", WRITTEN, MOST_SECONDS),
        ("others", others, None),
    ):
        spent = _each(folder, shapes, largest)
        growths |= {name: one.peak_megabytes - least.peak_megabytes for name, one in spent.items()}
        yield _slowest(f"headers of {largest / 1e6:.0f} MB, {what}", spent, least, limit)
    yield _slowest(
        f"headers of {hostile / 1e6:.0f} MB, hostile",
        _each(folder, others, hostile),
        least,
        MOST_HOSTILE_SECONDS,
    )
    name = max(growths, key=growths.__getitem__)
    yield Comparison(
        case=f"safetensors, headers of {largest / 1e6:.0f} MB: the largest growth",
        ours=growths[name],
        peer=MOST_GROWTH,
        peer_name="the limit",
        goal=1.0,
        unit="MB",
        note=_ranked(growths, "{:.0f}"),
    )


def _each(folder: Path, shapes: Mapping[str, Shape], length: int) -> dict[str, Spent]:
    return {name: _spent(folder, shape(length)) for name, shape in shapes.items()}


def _spent(folder: Path, header: bytes) -> Spent:
    """What both hooks take for a file of this header, and of as many bytes of nothing as it may ask for."""
    path = folder / "model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(len(header) * 2)
    try:
        return run_process([sys.executable, "-c", _HOOKS, path])
    finally:
        path.unlink()


def _slowest(what: str, spent: Mapping[str, Spent], least: Spent, limit: float | None) -> Comparison:
    seconds = {name: one.processor_seconds - least.processor_seconds for name, one in spent.items()}
    return Comparison(
        case=f"safetensors, {what}: the slowest of {len(seconds)}",
        ours=max(seconds.values()),
        peer=limit or MOST_SECONDS,
        peer_name="the limit" if limit else "that of written ones",
        goal=1.0 if limit else None,
        note=_ranked(seconds, "{:.2f}"),
    )


def _ranked(figures: Mapping[str, float], form: str) -> str:
    """The largest figures, the first of them first."""
    names = sorted(figures, key=figures.__getitem__, reverse=True)[:_MOST_NAMED]
    return ", ".join(f"{name} {form.format(figures[name])}" for name in names)
