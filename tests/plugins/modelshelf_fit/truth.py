"""What llama.cpp itself said of models whose headers are real and whose data is a hole."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from modelshelf.model import MemoryRequest
from tests.plugins.modelshelf_gguf.forge import verdict

# Beside the checkout, or beside the folder that a worktree lies in.
_BESIDE = [one / "shared" / "truth" for one in Path(__file__).resolve().parents[4:6]]
TRUTH = next((one for one in _BESIDE if one.exists()), _BESIDE[0])
TABLE = TRUTH / "llama_cpp_memory.tsv"
absent = pytest.mark.skipif(not TABLE.exists(), reason=f"{TABLE} is absent")
MIB = 1 << 20


@frozen(kw_only=True)
class Row:
    """One row: a request, and what the engine gave for it, in MiB."""

    model: str
    settings: str
    request: MemoryRequest
    kv: tuple[tuple[int, int, float, float], ...]
    state: float | None
    output: float
    compute: float | None
    weights: int
    cached: int
    buffers: int


@cache
def rows() -> tuple[Row, ...]:
    if not TABLE.exists():
        return ()
    lines = TABLE.read_text(encoding="utf-8").splitlines()[1:]
    return tuple(_row([*line.split("\t"), "", ""]) for line in lines)


def _row(cells: list[str]) -> Row:
    weights, cached, buffers = map(int, cells[6].split())
    kv = [one.split(",") for one in cells[2].split(";") if one]
    return Row(
        model=cells[0],
        settings=cells[1],
        request=request_of(cells[1]),
        kv=tuple((int(one[0]), int(one[1]), float(one[4]), float(one[6])) for one in kv),
        state=float(cells[3].split(",")[0]) if cells[3] else None,
        output=float(cells[4]),
        compute=float(cells[5]) if cells[5] else None,
        weights=weights,
        cached=cached,
        buffers=buffers,
    )


def request_of(settings: str) -> MemoryRequest:
    values: dict[str, Any] = {"device_layers": 0}
    for word in settings.split():
        if word == "swa-full":
            values["swa_full"] = True
        elif word == "fa=off":
            values["flash"] = False
        elif word.startswith("ub"):
            values["ubatch"] = int(word[2:])
        elif word.startswith("np"):
            values["parallel"] = int(word[2:])
        elif word.startswith("c"):
            values["context"] = int(word[1:])
        else:
            values |= {"cache_k": word, "cache_v": word}
    return MemoryRequest(**values)


@cache
def facts_of(model: str, folder: Path) -> dict[str, Any]:
    """The facts that a scan would keep of one of the models."""
    spec = importlib.util.spec_from_file_location("make_models", TRUTH / "make_models.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = folder / f"{model}.gguf"
    module.M[model](path)
    facts: dict[str, Any] = verdict(path).metadata.details["memory"]
    path.unlink()
    return facts
