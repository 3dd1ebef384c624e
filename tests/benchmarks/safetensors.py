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
    Workshop,
    processes_side_by_side,
    side_by_side,
)
from tests.benchmarks.safetensors_headers import long_headers

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
_OURS = """
import sys
from modelshelf.reader import Budget, LocalFile
from modelshelf_safetensors.header import read_header
for path in sys.argv[1:]:
    file = LocalFile(path, "model.safetensors", Budget())
    header = read_header(file)
    assert dict(zip(header.names, header.layouts))
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
    """One model of 291 tensors in process and as a process; long headers of every shape; small lies."""
    room = workshop.room("safetensors")
    path = write_model(room / "model.safetensors")
    yield _in_process(path, workshop)
    yield _as_process(path, workshop)
    yield from long_headers(workshop)
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
    tensors = [(name, one.dtype, list(one.shape)) for name, one in zip(names, layouts, strict=True)]
    assert sorted(tensors) == sorted(_loaded(path))
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
