"""PyTorch checkpoints of 288 tensors: what torch.load tells of one, and a verdict as picklescan gives it."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import (
    Comparison,
    Skipped,
    Workshop,
    processes_side_by_side,
    side_by_side,
)
from tests.benchmarks.peers import environment, judge

_LAYERS = 32
_LAYER = {
    "self_attn.q_proj.weight": (128, 128),
    "self_attn.k_proj.weight": (32, 128),
    "self_attn.v_proj.weight": (32, 128),
    "self_attn.o_proj.weight": (128, 128),
    "mlp.gate_proj.weight": (384, 128),
    "mlp.up_proj.weight": (384, 128),
    "mlp.down_proj.weight": (128, 384),
    "input_layernorm.weight": (128,),
    "post_attention_layernorm.weight": (128,),
}
_TENSORS = _LAYERS * len(_LAYER)
_IN_PROCESS, _AS_PROCESS, _AGAINST_PICKLESCAN = 1 / 12, 1 / 20, 1 / 3

_IMPORTS = """
import os, sys
from modelshelf.model import Artifact, ArtifactFile, Candidate, Depth
from modelshelf.reader import ArtifactReader
import modelshelf_pytorch as plugin
"""
_READ = f"""{_IMPORTS}
def read(path, *further):
    folder, name = os.path.split(path)
    status = os.stat(path)
    one = ArtifactFile(name=name, size=status.st_size, mtime_ns=status.st_mtime_ns)
    artifact = Artifact(folder=folder, primary=name, files=(one,))
    with ArtifactReader(artifact) as reader:
        file = reader.file()
        candidate = Candidate(
            artifact=artifact, suffix=".pt", size=file.size, head=file.read_up_to(0, 512), reader=file
        )
        format = plugin.modelshelf_detect_format(candidate).format
        metadata = plugin.modelshelf_extract_metadata(artifact, format, reader)
        return metadata, [one(artifact, format, reader) for one in further]

def judge(path):
    return read(path, lambda *arguments: list(plugin.modelshelf_probe_health(*arguments, Depth.HEADER)))
"""
_READ_ALONE = f"""{_READ}
metadata, _ = read(sys.argv[1])
assert metadata.tensor_count == {_TENSORS}
"""
_JUDGE_ALONE = f"""{_READ}
metadata, (findings,) = judge(sys.argv[1])
assert (metadata.tensor_count, findings) == ({_TENSORS}, [])
"""
_TORCH = f"""
import sys, torch
state = torch.load(sys.argv[1], mmap=True, weights_only=True, map_location="meta")
assert len(state) == {_TENSORS}
"""


def comparisons(workshop: Workshop) -> Iterator[Comparison | Skipped]:
    """In one process, as a process, and against a scanner."""
    room = workshop.room("pytorch")
    try:
        import torch
    except ImportError:
        yield Skipped(case="PyTorch checkpoints", reason="torch is not installed")
        return
    flat, module = room / "flat.pt", room / "module.pt"
    torch.save(_state(torch), flat)
    torch.save(_module(torch).state_dict(), module)
    flat_name = f"a flat state dict of {_TENSORS} tensors"
    yield from _in_process(torch, flat, flat_name, workshop, _IN_PROCESS)
    yield from _in_process(torch, module, f"a module's state dict of {_TENSORS} tensors", workshop, None)
    for program, goal in ((_READ_ALONE, _AS_PROCESS), (_JUDGE_ALONE, None)):
        what = "" if goal else ", judged too"
        yield _as_process(program, flat, f"{flat_name}, as a process{what}", workshop, goal)
    yield _against_picklescan(flat, room, workshop)


def _state(torch: object) -> dict[str, object]:
    """Tensors of distinct storages, as a transformer's weights are saved."""
    return {
        f"model.layers.{number}.{name}": torch.ones(shape, dtype=torch.float16)  # type: ignore[attr-defined]
        for number in range(_LAYERS)
        for name, shape in _LAYER.items()
    }


def _module(torch: object) -> object:
    """A module of as many tensors; its state dict has a version for each of its parts."""
    linear = torch.nn.Linear  # type: ignore[attr-defined]
    return torch.nn.Sequential(*(linear(64, 64) for _ in range(_TENSORS // 2)))  # type: ignore[attr-defined]


def _in_process(
    torch: object, path: Path, what: str, workshop: Workshop, goal: float | None
) -> Iterator[Comparison]:
    """What torch.load tells too, the tensors; then with the verdict, which it does not give."""
    names: dict[str, Any] = {}
    exec(_READ, names)  # noqa: S102 - the text above, the same that the process is given
    load = torch.load  # type: ignore[attr-defined]
    for name, program, promised in (("", "read", goal), (", judged too", "judge", None)):
        ours, peer = side_by_side(
            partial(names[program], str(path)),
            lambda: load(path, mmap=True, weights_only=True, map_location="meta"),
            max(workshop.rounds, 15),
            repeat=10,
        )
        yield Comparison(
            case=f"{what}{name}",
            ours=ours,
            peer=peer,
            peer_name="torch.load(mmap, weights_only, meta)",
            goal=promised,
            note=f"detection and metadata{', and verdict' if name else ''}; torch {torch.__version__}",  # type: ignore[attr-defined]
        )


def _as_process(program: str, path: Path, what: str, workshop: Workshop, goal: float | None) -> Comparison:
    # Installed packages are compiled and a checkout need not be: the round not counted compiles both alike.
    compiled = {
        "PYTHONPYCACHEPREFIX": str(workshop.room("pytorch-compiled")),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    ours, peer = processes_side_by_side(
        [sys.executable, "-c", program, path],
        [sys.executable, "-c", _TORCH, path],
        workshop.rounds,
        environment=compiled,
    )
    return Comparison(
        case=what,
        ours=ours.processor_seconds,
        peer=peer.processor_seconds,
        peer_name="python with torch.load",
        goal=goal,
        note="start and imports included, all modules compiled before; wall-clock "
        f"{ours.seconds:.3f} s and {peer.seconds:.3f} s",
    )


def _against_picklescan(path: Path, room: Path, workshop: Workshop) -> Comparison | Skipped:
    case = "safety verdict of a checkpoint"
    try:
        python = environment.python_with(workshop.folder / "scanners", *environment.SCANNERS)
    except RuntimeError as error:
        return Skipped(case=case, reason=str(error))
    listing = room / "listing"
    listing.write_text(f"{path}\0" * 10)
    taken: dict[str, list[float]] = {"modelshelf": [], "picklescan": []}
    version = ""
    for _ in range(workshop.rounds):
        for tool, with_python in (("modelshelf", Path(sys.executable)), ("picklescan", python)):
            theirs = judged(tool, with_python, listing, rounds=3)
            taken[tool].append(statistics.median(theirs["seconds"]))
            version = theirs["version"]
    return Comparison(
        case=case,
        ours=statistics.median(taken["modelshelf"]),
        peer=statistics.median(taken["picklescan"]),
        peer_name=f"picklescan {version}",
        goal=_AGAINST_PICKLESCAN,
        note="each in a process that has imported it; it names globals, ours also checks the archive",
    )


def judged(tool: str, python: Path, listing: Path, rounds: int = 1) -> dict[str, list[float]]:
    """What `tests.benchmarks.peers.judge` tells of the files in a list.

    Raises:
        RuntimeError: The tool's process failed.
    """
    output = subprocess.run(
        [python, judge.__file__, tool, listing, str(rounds)], capture_output=True, text=True, check=False
    )
    if output.returncode:
        raise RuntimeError(f"{tool} ended with {output.returncode}: {output.stderr[-1000:]}")
    found: dict[str, list[float]] = json.loads(output.stdout)
    return found
