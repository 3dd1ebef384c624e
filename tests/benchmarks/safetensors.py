"""safetensors headers: an ordinary one against the format's own loader, very large ones, lying ones."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from modelshelf.errors import ReadError
from modelshelf.reader import Budget, LocalFile
from modelshelf_safetensors.header import read_header
from modelshelf_safetensors.layout import Layout
from tests.benchmarks.measure import (
    Comparison,
    Skipped,
    Spent,
    Workshop,
    processes_side_by_side,
    run_process,
    side_by_side,
)
from tests.plugins.modelshelf_safetensors.long_headers import BROKEN, DEGRADED, SOUND

_BLOCKS = 32
_PARTS = {
    "self_attn.q_proj": (4, 4),
    "self_attn.k_proj": (1, 4),
    "self_attn.v_proj": (1, 4),
    "self_attn.o_proj": (4, 4),
    "mlp.gate_proj": (14, 4),
    "mlp.up_proj": (14, 4),
    "mlp.down_proj": (4, 14),
    "input_layernorm": (4,),
    "post_attention_layernorm": (4,),
}
_LARGEST_HEADER = 99_000_000
_HOOKS = """
import os, sys
import modelshelf_safetensors as plugin
from modelshelf.errors import ReadError
from modelshelf.model import Artifact, ArtifactFile, Depth, Role
from modelshelf.reader import ArtifactReader
folder, name = os.path.split(sys.argv[1])
told = os.stat(sys.argv[1])
one = ArtifactFile(name=name, size=told.st_size, mtime_ns=told.st_mtime_ns, role=Role.WEIGHTS)
artifact = Artifact(folder=folder, primary=name, files=(one,), source="local")
with ArtifactReader(artifact) as reader:
    try:
        plugin.modelshelf_extract_metadata(artifact, "safetensors", reader)
        list(plugin.modelshelf_probe_health(artifact, "safetensors", reader, Depth.HEADER))
    except ReadError:
        pass
"""
_OURS = """
import sys
from modelshelf.reader import Budget, LocalFile
from modelshelf_safetensors.header import read_header
for path in sys.argv[1:]:
    file = LocalFile(path, "model.safetensors", Budget())
    assert read_header(file).tensors
    file.close()
"""
_PEER = """
import sys
from safetensors import safe_open
for path in sys.argv[1:]:
    with safe_open(path, "numpy") as file:
        pieces = {name: file.get_slice(name) for name in file.keys()}
        assert {name: (piece.get_dtype(), piece.get_shape()) for name, piece in pieces.items()}
"""


def comparisons(workshop: Workshop) -> Iterator[Comparison | Skipped]:
    """One model of 291 tensors in process and as a process; headers of 99 MB; small lies."""
    room = workshop.room("safetensors")
    path = write_model(room / "model.safetensors")
    yield _in_process(path, workshop)
    yield _as_process(path, workshop)
    yield from _largest(workshop)
    yield _lying(room, workshop)


def write_model(path: Path) -> Path:
    """The tensors of Llama 3.1 8B by number and name, a thousandth of their width."""
    import numpy as np
    from safetensors.numpy import save_file

    shapes = {
        f"model.layers.{block}.{part}.weight": shape
        for block in range(_BLOCKS)
        for part, shape in _PARTS.items()
    }
    shapes |= {"model.embed_tokens.weight": (128, 4), "lm_head.weight": (128, 4), "model.norm.weight": (4,)}
    save_file({name: np.zeros(shape, np.float16) for name, shape in shapes.items()}, path, {"format": "pt"})
    return path


def _read(path: Path) -> tuple[list[str], list[Layout]]:
    """Names, and dtypes with shapes."""
    file = LocalFile(str(path), path.name, Budget())
    header = read_header(file)
    file.close()
    return header.names, header.layouts


def _loaded(path: Path) -> list[tuple[str, str, list[int]]]:
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        pieces = [(name, file.get_slice(name)) for name in file.keys()]  # noqa: SIM118 - it is no dict
        return [(name, piece.get_dtype(), piece.get_shape()) for name, piece in pieces]


def _in_process(path: Path, workshop: Workshop) -> Comparison:
    names, layouts = _read(path)
    told = [(name, one.dtype, list(one.shape)) for name, one in zip(names, layouts, strict=True)]
    assert sorted(told) == sorted(_loaded(path))
    ours, peer = side_by_side(lambda: _read(path), lambda: _loaded(path), 3 * workshop.rounds, repeat=200)
    return Comparison(
        case=f"safetensors, {len(names)} tensors: names, dtypes, shapes",
        ours=ours,
        peer=peer,
        peer_name="safetensors.safe_open",
        goal=0.5,
    )


def _as_process(path: Path, workshop: Workshop) -> Comparison:
    lines = [[sys.executable, "-c", code, path] for code in (_OURS, _PEER)]
    ours, peer = processes_side_by_side(*lines, workshop.rounds)
    return Comparison(
        case="safetensors, the same, whole process",
        ours=ours.processor_seconds,
        peer=peer.processor_seconds,
        peer_name="safetensors.safe_open",
    )


def _largest(workshop: Workshop) -> Iterator[Comparison]:
    """Both hooks of headers of 99 MB in every shape, each in a process of its own, less a tiny header's."""
    room = workshop.room("safetensors-large")
    line = [sys.executable, "-c", _HOOKS]
    tiny = _write_header(room / "tiny.safetensors", b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}')
    base = run_process([*line, tiny])
    size = workshop.scaled(_LARGEST_HEADER)
    for kind, shapes in (("sound", SOUND), ("degraded", DEGRADED), ("refused", BROKEN)):
        taken: dict[str, Spent] = {}
        for name, shape in shapes.items():
            path = _write_header(room / "model.safetensors", shape(size))
            taken[name] = run_process([*line, path])
            path.unlink()
        slowest = max(taken, key=lambda name: taken[name].processor_seconds)
        largest = max(taken, key=lambda name: taken[name].peak_megabytes)
        within = sum(one.processor_seconds - base.processor_seconds <= 1 for one in taken.values())
        yield Comparison(
            case=f"safetensors, {size / 1e6:.0f} MB headers, {kind}: the slowest of {len(taken)} shapes",
            ours=taken[slowest].processor_seconds - base.processor_seconds,
            peer=1.0,
            peer_name="one second",
            goal=1.0,
            note=f"{slowest}; {within} take less than a second: "
            + ", ".join(
                f"{name} {one.processor_seconds - base.processor_seconds:.2f}" for name, one in taken.items()
            ),
        )
        yield Comparison(
            case=f"safetensors, {size / 1e6:.0f} MB headers, {kind}: the largest growth",
            ours=taken[largest].peak_megabytes - base.peak_megabytes,
            peer=200.0,
            peer_name="200 MB",
            goal=1.0,
            unit="MB",
            note=largest,
        )


def _write_header(path: Path, header: bytes) -> Path:
    """A file of this header, and as many bytes of nothing as it may ask for."""
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(len(header) * 2)
    return path


def _lying(room: Path, workshop: Workshop) -> Comparison:
    """Refusing a small file whose header lies, against reading an honest one of that size."""
    honest = json.dumps({"a": {"dtype": "F32", "shape": [200], "data_offsets": [0, 800]}}).encode()
    lie = honest.replace(b"800", b"900")
    paths = []
    for name, header in (("honest", honest), ("lying", lie)):
        paths.append(room / f"{name}.safetensors")
        paths[-1].write_bytes(struct.pack("<Q", len(header)) + header + bytes(800))

    def refuse() -> None:
        try:
            _read(paths[1])
        except ReadError:
            return
        raise AssertionError("a lie was believed")

    ours, peer = side_by_side(refuse, lambda: _read(paths[0]), workshop.rounds, repeat=500)
    return Comparison(
        case="safetensors, a lying file below 1 kB refused",
        ours=ours,
        peer=peer,
        peer_name="reading an honest one of that size",
        note=f"{ours * 1e3:.3f} ms of the 10 ms that it may take",
    )
