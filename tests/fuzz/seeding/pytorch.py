"""Checkpoints by torch.save in its layouts, TorchScript, pickles of every protocol, numpy files."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import io
import linecache
import lzma
import pickle
import re
import warnings
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from tests.fuzz import checkpoints, pickles

PLAIN = {"a": [1, 2.5, None, True], "b": ("text", b"bytes"), "c": {"d": {1, 2}}, "e": 1 << 70}


_SCRIPT = """
def forward(self, x: torch.Tensor) -> torch.Tensor:
    return x * self.weight
"""


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each file's name and bytes."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        for content in _states():
            yield "model.pt", _saved(content, zipped=True)
        for content in _one_storage():
            yield "model.bin", _renamed(_saved(content, zipped=False))
        for number in range(6):
            path = folder / "generated.pt"
            checkpoints.write(path, Random(number))  # noqa: S311 - reproducible, not secret
            if path.stat().st_size < 6000:
                yield "generated.pt", path.read_bytes()
        yield "script.jit", _scripted()
    for protocol in range(6):
        raw = pickle.dumps(PLAIN, protocol=protocol)
        yield "data.pkl", raw
        yield "data.pkl", pickle.dumps(OrderedDict(x=dt.date(2024, 1, 1)), protocol=protocol)
    yield "data.joblib", zlib.compress(pickle.dumps(PLAIN))
    for compress in (gzip.compress, bz2.compress, lzma.compress):
        options: dict[str, Any] = {"mtime": 0} if compress is gzip.compress else {}
        yield "data.joblib", compress(pickle.dumps(PLAIN), **options)
    yield from _arrays()
    for hostile in pickles.generate(8):
        yield "hostile.pkl", hostile


def _states() -> Iterator[Any]:
    yield {"a.weight": torch.ones(2, 3), "b": torch.ones(3, dtype=torch.float16)}
    whole = torch.arange(6.0)
    yield OrderedDict(x=torch.nn.Parameter(torch.ones(2)), y=whole[:3], z=whole[3:].view(3, 1), n={"lr": 0.1})
    yield {"model": torch.nn.Linear(2, 1).state_dict(), "epoch": 3, "names": ["a", "b"]}
    yield {"s": torch.eye(2).to_sparse(), "q": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8)}


def _one_storage() -> Iterator[Any]:
    """For the layout that names and sorts storages by their addresses, which differ from run to run."""
    whole = torch.arange(6.0)
    yield {"a": whole, "b": torch.nn.Parameter(whole[:2]), "c": whole[2:].view(2, 2), "n": {"lr": 0.1}}
    yield torch.ones(3, dtype=torch.bfloat16)
    yield [torch.eye(2), "no more"]


def _renamed(legacy: bytes) -> bytes:
    """The same checkpoint with its storage named ``1``."""
    return re.sub(rb"X[\x09-\x10]\0\0\0\d{9,16}", b"X\x01\0\0\x001", legacy)


def _saved(content: Any, *, zipped: bool) -> bytes:
    raw = io.BytesIO()
    torch.save(content, raw, _use_new_zipfile_serialization=zipped)
    return raw.getvalue()


def _scripted() -> bytes:
    # The archive tells the file that its source came from: a name of ours, not this checkout's folder.
    source = "scale.py"
    linecache.cache[source] = (len(_SCRIPT), None, _SCRIPT.splitlines(keepends=True), source)
    names: dict[str, Any] = {"torch": torch, "__name__": "scale"}
    exec(compile(_SCRIPT, source, "exec"), names)  # noqa: S102 - the text above
    scale = type("Scale", (torch.nn.Module,), {"forward": names["forward"], "__module__": "scale"})()
    scale.weight = torch.nn.Parameter(torch.ones(2))
    raw = io.BytesIO()
    torch.jit.save(torch.jit.script(scale), raw)
    return raw.getvalue()


def _arrays() -> Iterator[tuple[str, bytes]]:
    for array in (np.ones((2, 3), np.float32), np.asfortranarray(np.ones((2, 2))), np.zeros(3, "<U3")):
        raw = io.BytesIO()
        np.save(raw, array)
        yield "array.npy", raw.getvalue()
    raw = io.BytesIO()
    np.save(raw, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    yield "object.npy", raw.getvalue()
    for save in (np.savez, np.savez_compressed):
        raw = io.BytesIO()
        save(raw, a=np.ones(2), b=np.ones((1, 2), np.int8))
        yield "arrays.npz", raw.getvalue()
