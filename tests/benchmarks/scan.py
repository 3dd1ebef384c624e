"""Scans: the first one against a bare read of the same headers, the second against ``find``."""

from __future__ import annotations

import importlib.util
import io
import itertools
import os
import shutil
import statistics
import struct
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.benchmarks.measure import (
    Comparison,
    Skipped,
    Workshop,
    processes_side_by_side,
    run_process,
)

_MODELS = 40_000
_FOLDERS = 20_000
_OTHERS = (
    "run.log",
    "notes.txt",
    "vocab.txt",
    "merges.csv",
    "train.py",
    "loss.png",
    "eval.jsonl",
    "page.html",
)
_REPOSITORIES = 1_000
_FEW, _MANY = 1_000, 100_000
_MOST_MEGABYTES = 250
_HEADER_BYTES = 16 * 1024

Template = tuple[str, bytes, int]
"""A model's ending, its bytes, and an offset among them where eight bytes may be changed."""

_BARE_READ = f"""
import os, sys
with open(sys.argv[1], "rb") as listed:
    paths = listed.read().split(b"\\0")
for path in paths:
    descriptor = os.open(path, os.O_RDONLY)
    os.pread(descriptor, {_HEADER_BYTES}, 0)
    os.close(descriptor)
"""

_FIRST_SCAN = """
import resource, sys, tempfile
from modelshelf import ModelRegistry
tree, models, workers, report = sys.argv[1:]
with tempfile.TemporaryDirectory(dir=tree + "/..") as store, ModelRegistry(tree, store) as registry:
    stats = registry.discover_models(workers=int(workers))
    assert (stats.models_added, stats.errors) == (int(models), 0), stats.problems[:3]
with open("/proc/self/status") as status, open(report, "w") as file:
    mine = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    file.write(str(max(mine, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)))
"""

_SCAN_AGAIN = """
import sys
from modelshelf import ModelRegistry
tree, models, store = sys.argv[1:]
with ModelRegistry(tree, store) as registry:
    stats = registry.discover_models()
    assert (stats.models_unchanged, stats.errors) == (int(models), 0), stats.problems[:3]
"""

_COUNT_WHAT_IT_TOUCHES = """
import os, sys
from modelshelf import ModelRegistry
tree, models, store, counted = sys.argv[1:]
opened = []
def note(event, arguments):
    if event == "open" and str(arguments[0]).startswith(tree):
        opened.append(arguments)
sys.addaudithook(note)
with ModelRegistry(tree, store) as registry:
    before = registry.store.revision()
    stats = registry.discover_models()
    commits = registry.store.revision() - before
with open(counted, "w") as file:
    file.write(f"{len(opened)} files opened, {stats.bytes_read} bytes read, {commits} commits")
"""

_HUB_SCAN = "import sys; from huggingface_hub import scan_cache_dir; assert scan_cache_dir(sys.argv[1]).repos"


def comparisons(workshop: Workshop) -> Iterator[Comparison | Skipped]:
    """First scan, unchanged rescan, a Hub cache, cost per model, and peak memory."""
    room = workshop.room("tree")
    models, folders = workshop.scaled(_MODELS), workshop.scaled(_FOLDERS)
    listed = make_tree(room / "models", models, folders)
    (room / "paths").write_bytes(b"\0".join(str(path).encode() for path in listed))
    size_of_tree = f"{models} models in {folders} folders"
    yield from _first(room, models, size_of_tree, workshop)
    yield from _unchanged(room, models, size_of_tree, workshop)
    shutil.rmtree(room)
    yield _hub_cache(workshop)
    yield from _growth(workshop)


def _first(room: Path, models: int, size_of_tree: str, workshop: Workshop) -> Iterator[Comparison | Skipped]:
    bare = [sys.executable, "-c", _BARE_READ, room / "paths"]
    for workers in (1, 2):
        ours = [sys.executable, "-c", _FIRST_SCAN, room / "models", str(models), str(workers), room / "peak"]
        mine, theirs = processes_side_by_side(ours, bare, min(workshop.rounds, 3))
        yield Comparison(
            case=f"first scan, {size_of_tree}, {workers} process{'es' if workers > 1 else ''}",
            ours=mine.seconds,
            peer=theirs.seconds,
            peer_name="open, pread and close of each model",
            goal=3,
            note=f"{mine.seconds / models * 1e6:.0f} µs each; processors {mine.processor_seconds:.2f} s to "
            f"{theirs.processor_seconds:.2f} s",
        )
    case = f"first scan off the disk, {size_of_tree}, 2 processes"
    try:
        taken = [[_off_the_disk(line) for line in (ours, bare)] for _ in range(min(workshop.rounds, 3))]
    except OSError as error:
        yield Skipped(case=case, reason=f"what the system has read cannot be dropped: {error.strerror}")
        return
    mine_cold, theirs_cold = (statistics.median(side) for side in zip(*taken, strict=True))
    yield Comparison(
        case=case,
        ours=mine_cold,
        peer=theirs_cold,
        peer_name="open, pread and close of each model",
        goal=3,
        note="nothing in the system's caches before either; the bare read need not look for the models",
    )


def _off_the_disk(line: list[str | Path]) -> float:
    """Seconds that a program takes when nothing that it reads is in memory yet.

    Raises:
        OSError: The system does not let this process drop its caches.
    """
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
    return run_process(line).seconds


def _unchanged(room: Path, models: int, size_of_tree: str, workshop: Workshop) -> Iterator[Comparison]:
    tree, store, counted = room / "models", room / "store", room / "counted"
    again = [sys.executable, "-c", _SCAN_AGAIN, tree, str(models), store]
    run_process([sys.executable, "-m", "modelshelf", "--store", store, "scan", tree])
    run_process([*again])  # what was new to the clock at first is remembered by now
    run_process([sys.executable, "-c", _COUNT_WHAT_IT_TOUCHES, tree, str(models), store, counted])
    find = ["find", tree, "-type", "f"]
    for name, line in (
        ("library", again),
        ("program", [sys.executable, "-m", "modelshelf", "--store", store, "scan", tree]),
    ):
        mine, theirs = processes_side_by_side(line, find, workshop.rounds)
        yield Comparison(
            case=f"unchanged scan, {size_of_tree}, {name}",
            ours=mine.processor_seconds,
            peer=theirs.processor_seconds,
            peer_name="find -type f",
            goal=1.5,
            note=f"{counted.read_text()}; wall {mine.seconds:.2f} s to {theirs.seconds:.2f} s",
        )


def _hub_cache(workshop: Workshop) -> Comparison | Skipped:
    case = f"Hugging Face cache of {workshop.scaled(_REPOSITORIES)} repositories, unchanged"
    if importlib.util.find_spec("huggingface_hub") is None:
        return Skipped(case=case, reason="huggingface_hub is not installed")
    room = workshop.room("hub")
    models = make_hub_cache(room / "hub", workshop.scaled(_REPOSITORIES))
    ours = [sys.executable, "-c", _SCAN_AGAIN, room / "hub", str(models), room / "store"]
    run_process([sys.executable, "-m", "modelshelf", "--store", room / "store", "scan", room / "hub"])
    mine, theirs = processes_side_by_side(
        ours, [sys.executable, "-c", _HUB_SCAN, room / "hub"], workshop.rounds
    )
    return Comparison(
        case=case,
        ours=mine.processor_seconds,
        peer=theirs.processor_seconds,
        peer_name="huggingface_hub scan_cache_dir",
        note=f"wall {mine.seconds:.2f} s to {theirs.seconds:.2f} s",
    )


def make_hub_cache(root: Path, repositories: int) -> int:
    """A cache as huggingface_hub lays it out, one safetensors file to a repository; the number of models."""
    with ProcessPoolExecutor(1, get_context("spawn")) as aside:
        _, content, offset = aside.submit(templates).result()["safetensors"]
    for number in range(repositories):
        repository = root / f"models--team--model-{number:05}"
        commit = f"{number:040x}"
        snapshot = repository / "snapshots" / commit
        for folder in (repository / "blobs", repository / "refs", snapshot):
            folder.mkdir(parents=True)
        blob = f"{number:064x}"
        changed = content[:offset] + struct.pack("<d", number + 1) + content[offset + 8 :]
        (repository / "blobs" / blob).write_bytes(changed)
        (repository / "refs" / "main").write_text(commit)
        (snapshot / "model.safetensors").symlink_to(f"../../blobs/{blob}")
    return repositories


def _growth(workshop: Workshop) -> Iterator[Comparison]:
    """What a model costs in a small and in a large scan, and the memory of the large one."""
    room = workshop.room("growth")
    few, many = workshop.scaled(_FEW), workshop.scaled(_MANY)
    spent = {}
    for count in (0, few, many):
        tree = room / str(count)
        tree.mkdir()
        make_tree(tree, count, max(1, count // 2), others=())
        line = [sys.executable, "-c", _FIRST_SCAN, tree, str(count)]
        rounds = 1 if count == many else workshop.rounds
        spent[count] = [run_process([*line, "1", room / "peak of one"]) for _ in range(rounds)]
    nothing, small, large = (
        statistics.median(one.processor_seconds for one in spent[count]) for count in (0, few, many)
    )
    yield Comparison(
        case=f"cost of a model: first scan of {many} models, of {few}",
        ours=(large - nothing) / many,
        peer=(small - nothing) / few,
        peer_name=f"{few} models",
        goal=1.2,
        note="processor seconds of one process, less those of an empty scan",
    )
    run_process([*line, "2", room / "peak of two"])
    for how in ("one", "two"):
        yield Comparison(
            case=f"peak memory of the scan of {many} models, {how} at work",
            ours=int((room / f"peak of {how}").read_text()) * 1024 / 1e6,
            peer=_MOST_MEGABYTES,
            peer_name="promised",
            goal=1,
            unit="MB",
            note="largest resident set of any of its processes, mapped pages of the store included",
        )


def make_tree(root: Path, models: int, folders: int, others: tuple[str, ...] = _OTHERS) -> list[Path]:
    """A tree of small valid models, spread over folders beside eight `others` each; the models' paths.

    Nine in ten are safetensors, the rest GGUF and PyTorch in equal parts. No two have the same content.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as aside:  # torch would count as this process's memory
        kinds = aside.submit(templates).result()
    order = [*[kinds["safetensors"]] * 18, kinds["gguf"], kinds["pytorch"]]
    numbers, made = itertools.count(), []
    per_folder, more = divmod(models, folders)
    for place in range(folders):
        folder = root / f"team-{place // 1000:03}" / f"model-{place:05}"
        folder.mkdir(parents=True)
        for _ in range(per_folder + (place < more)):
            number = next(numbers)
            suffix, content, offset = order[number % len(order)]
            path = folder / f"part{number:06}{suffix}"
            path.write_bytes(content[:offset] + struct.pack("<d", number + 1) + content[offset + 8 :])
            made.append(path)
        for name in others:
            (folder / name).write_bytes(b"x")
        if others and place % 10 == 0:
            (folder / "config.json").write_text('{"model_type": "llama"}')
    return made


def templates() -> dict[str, Template]:
    """One small model a format, written by the format's own library."""
    import gguf
    import numpy as np
    import torch
    from safetensors.numpy import save

    tensors = {f"model.layers.{one}.weight": np.zeros((8, 8), np.float32) for one in range(8)}
    flat = save(tensors)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        for name, value in tensors.items():
            writer.add_tensor(name, value)
        for step in ("header", "kv_data", "tensors"):
            getattr(writer, f"write_{step}_to_file")()
        writer.close()
        packed = path.read_bytes()
    buffer = io.BytesIO()
    # A checkpoint carries a checksum over its tensors, by which a changed one is not sound: leave it out.
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"marker": torch.zeros(64, dtype=torch.float64)}, buffer)
    finally:
        torch.serialization.set_crc32_options(True)
    pickled = buffer.getvalue()
    return {
        "safetensors": (".safetensors", flat, len(flat) - 8),
        "gguf": (".gguf", packed, len(packed) - 8),
        "pytorch": (".pt", pickled, pickled.index(bytes(512))),
    }
