"""Honest checkpoints in every shape that torch.save writes: none of them may be flagged."""

from __future__ import annotations

import random
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
NEWER = (
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2fnuz,
    torch.float8_e8m0fnu,
    torch.uint16,
    torch.uint32,
    torch.uint64,
)
WHOLES = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool)
COMPLEX = (torch.complex64, torch.complex128)


def _shape(draw: random.Random) -> tuple[int, ...]:
    return tuple(draw.randrange(0 if draw.random() < 0.05 else 1, 7) for _ in range(draw.randrange(5)))


def strided(draw: random.Random) -> torch.Tensor:
    """A dense tensor: any element type, contiguous, transposed, sliced, expanded or permuted."""
    tensor = torch.ones(_shape(draw)).to(draw.choice(FLOATS + NEWER + WHOLES + COMPLEX))
    kind = draw.randrange(6)
    if kind == 1 and tensor.dim() > 1:
        return tensor.transpose(0, -1)
    if kind == 2 and tensor.dim() > 0 and tensor.shape[0] > 1:
        return tensor[1:]
    if kind == 3:
        return tensor.unsqueeze(0).expand(3, *tensor.shape)
    if kind == 4 and tensor.dim() > 0:
        return tensor[..., ::2]
    if kind == 5 and tensor.dtype in COMPLEX:
        return tensor.conj()
    return tensor


def sparse(draw: random.Random) -> torch.Tensor:
    """A sparse tensor of any layout."""
    dense = torch.eye(4 + 2 * draw.randrange(3), dtype=draw.choice(FLOATS[:1] + FLOATS[3:]))
    layout = draw.randrange(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if layout == 0:
            return dense.to_sparse()
        if layout == 1:
            return dense.to_sparse_csr()
        if layout == 2:
            return dense.to_sparse_csc()
        return dense.to_sparse_bsr((2, 2)) if layout == 3 else dense.to_sparse_bsc((2, 2))


def quantized(draw: random.Random) -> torch.Tensor:
    """A quantized tensor, per tensor or per channel."""
    values = torch.rand(3, 4)
    dtype = draw.choice((torch.qint8, torch.quint8, torch.qint32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if draw.random() < 0.5:
            return torch.quantize_per_tensor(values, 0.1, 3 if dtype is not torch.qint8 else 0, dtype)
        scales, zeros = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0, 1, 2])
        return torch.quantize_per_channel(values, scales, zeros, 0, dtype)


def parameter(draw: random.Random) -> torch.Tensor:
    """A parameter, sometimes with state of its own, or a buffer."""
    made = torch.nn.Parameter(torch.ones(_shape(draw), dtype=draw.choice(FLOATS)))
    if draw.random() < 0.2:
        made.note = "kept"
    return torch.nn.Buffer(torch.ones(2)) if draw.random() < 0.1 else made


def meta(draw: random.Random) -> torch.Tensor:
    """A tensor without data."""
    return torch.empty(_shape(draw), device="meta", dtype=draw.choice(FLOATS))


def any_tensor(draw: random.Random) -> torch.Tensor:
    """A tensor of any kind."""
    makers = (strided, sparse, quantized, parameter, meta)
    (maker,) = draw.choices(makers, weights=(68, 7, 7, 15, 3))
    return maker(draw)


def state_dict(draw: random.Random) -> dict[str, Any]:
    """A flat state dict; some of its tensors share a storage, some are listed twice."""
    state: dict[str, Any] = OrderedDict() if draw.random() < 0.5 else {}
    for number in range(draw.randrange(1, 9)):
        state[f"layers.{number}.weight"] = any_tensor(draw)
    if draw.random() < 0.3:
        whole = torch.arange(24.0)
        state |= {"view.a": whole[:12], "view.b": whole[12:].view(3, 4), "view.whole": whole}
    if draw.random() < 0.3:
        state["tied"] = state["layers.0.weight"]
    return state


def trained(draw: random.Random) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A small module after one step of an optimizer."""
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))
    maker = draw.choice((torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop))
    optimizer = maker(module.parameters(), lr=0.1)
    module(torch.rand(5, 4)).sum().backward()
    optimizer.step()
    return module, optimizer


def nested(draw: random.Random) -> dict[str, Any]:
    """A training program's checkpoint: the model beside an optimizer and plain data."""
    module, optimizer = trained(draw)
    return {
        draw.choice(("state_dict", "model", "model_state_dict", "module")): module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": draw.randrange(100),
        "loss": draw.random(),
        "best": (1, 2.5, None, True, "text", b"bytes"),
        "seen": {1, 2, 3},
        "large": 1 << draw.randrange(80),
        "counts": Counter({"a": 1, "b": 2}),
        "size": torch.Size((2, 3)),
        "device": torch.device("cpu"),
        "dtype": draw.choice(FLOATS),
        "nested": [{"deep": [any_tensor(draw), {"deeper": strided(draw)}]}, []],
        "complex": complex(1, 2),
        "raw": bytearray(b"abc"),
    }


def _tensors(content: Any) -> Iterator[torch.Tensor]:
    if isinstance(content, torch.Tensor):
        yield content
    elif isinstance(content, dict | list | tuple):
        for inner in content.values() if isinstance(content, dict) else content:
            yield from _tensors(inner)


def write(path: Path, draw: random.Random) -> Any:
    """Write one checkpoint, give what was saved."""
    content = nested(draw) if draw.random() < 0.4 else state_dict(draw)
    if draw.random() < 0.1:
        content = trained(draw)[0].state_dict()  # with its _metadata
    newer = any(tensor.dtype in NEWER for tensor in _tensors(content))
    old = not newer and draw.random() < 0.4  # torch cannot read the newer types back from its legacy layout
    crc = draw.random() < 0.8
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(crc)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.save(content, path, _use_new_zipfile_serialization=not old)
    finally:
        torch.serialization.set_crc32_options(before)
    return content


def generate(folder: Path, count: int, seed: int = 0) -> Iterator[Path]:
    """Write `count` checkpoints, one after the other."""
    for number in range(count):
        path = folder / f"checkpoint-{seed}-{number}.pt"
        write(path, random.Random(f"{seed}-{number}"))  # noqa: S311  # reproducible, not secret
        yield path
