"""GGUF headers with big vocabularies, as those of Llama 3.1, and with small ones."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from modelshelf.errors import ReadError
from modelshelf.model import Depth
from modelshelf.reader import ArtifactReader
from modelshelf_gguf import modelshelf_extract_metadata, modelshelf_probe_health
from modelshelf_gguf.parse import parse_headers
from modelshelf_gguf.vocabulary_cache import VocabularyCache
from tests.benchmarks.gguf_memo import repeated
from tests.benchmarks.gguf_models import (
    MERGES,
    SMALL_TOKENS,
    TENSORS,
    TOKENS,
    WALK,
    Model,
    headers,
    walks,
    write_model,
)
from tests.benchmarks.gguf_scan import two_processes
from tests.benchmarks.measure import (
    Comparison,
    Skipped,
    Workshop,
    processes_side_by_side,
    run_process,
    side_by_side,
)
from tests.support import artifact_of

_IMPORT_OURS = """
import os, sys
from modelshelf.model import Artifact, ArtifactFile
from modelshelf.reader import ArtifactReader
from modelshelf_gguf.parse import parse_headers
from modelshelf_gguf.vocabulary_cache import PROCESS_CACHE
"""
_OURS = f"""{_IMPORT_OURS}
for path in sys.argv[1:]:
    status, (folder, name) = os.stat(path), os.path.split(path)
    one = ArtifactFile(name=name, size=status.st_size, mtime_ns=status.st_mtime_ns)
    artifact = Artifact(folder=folder, primary=name, files=(one,))
    with ArtifactReader(artifact) as reader:
        (header,) = parse_headers(artifact, reader, PROCESS_CACHE)
        assert header.fault is None and len(header.tensors) == {TENSORS}
"""
_IMPORT_READER = "import sys\nfrom gguf import GGUFReader\n"
_READER = f"""{_IMPORT_READER}
for path in sys.argv[1:]:
    assert len(GGUFReader(path).tensors) == {TENSORS}
"""
_TELL_PEAK = """
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
"""
_NODE = f"""
import {{ gguf }} from "@huggingface/gguf";
const header = await gguf(process.argv[2], {{ allowLocalFile: true }});
if (header.tensorInfos.length !== {TENSORS}) throw new Error("not all tensors were read");
"""


def comparisons(workshop: Workshop) -> Iterator[Comparison | Skipped]:
    """Distinct, repeated and small vocabularies; one file against the other readers; two processes."""
    room = workshop.room("gguf")
    big = write_model(room / "big.gguf", tokens=TOKENS, merges=MERGES)
    count = workshop.scaled(100)
    distinct = [big.variant(room / f"distinct-{number:03}.gguf", number) for number in range(count)]
    yield from _distinct(distinct, workshop)
    yield from repeated(big, room, workshop)
    yield _small(room, workshop)
    yield from _against_reader(big, distinct, workshop)
    yield _against_node(big, room, workshop)
    yield _lying(room, workshop)
    yield two_processes(big, room, workshop)


def _hooks(models: Sequence[Model]) -> None:
    """All that the plugin does in a scan: header, metadata, findings."""
    for model in models:
        artifact = artifact_of(model.path)
        with ArtifactReader(artifact) as reader:
            assert modelshelf_extract_metadata(artifact, "gguf", reader) is not None
            assert not list(modelshelf_probe_health(artifact, "gguf", reader, Depth.HEADER) or ())


def _distinct(models: Sequence[Model], workshop: Workshop) -> Iterator[Comparison]:
    case = f"GGUF, {len(models)} distinct big vocabularies"
    note = f"headers of {len(models[0].header) / 1e6:.2f} MB"
    ours, peer = side_by_side(
        lambda: headers(models, VocabularyCache()), walks(models), min(workshop.rounds, 3)
    )
    yield Comparison(case=case, ours=ours, peer=peer, peer_name=WALK, goal=0.35, note=note)
    ours, peer = side_by_side(lambda: _hooks(models), walks(models), min(workshop.rounds, 3))
    case += ", metadata and health too"
    yield Comparison(case=case, ours=ours, peer=peer, peer_name=WALK, note=note)


def _small(room: Path, workshop: Workshop) -> Comparison:
    """As Llama 2's: the cache cold, so that walking it anew is what is measured."""
    model = write_model(room / "small.gguf", tokens=SMALL_TOKENS, merges=0)
    ours, peer = side_by_side(
        lambda: headers([model], VocabularyCache()), walks([model]), workshop.rounds, repeat=50
    )
    note = f"{SMALL_TOKENS} tokens, {TENSORS} tensors"
    case = "GGUF, small vocabulary"
    return Comparison(case=case, ours=ours, peer=peer, peer_name=WALK, goal=1.0, note=note)


def _lying(room: Path, workshop: Workshop) -> Comparison:
    """Refusing a small file whose token count lies, against reading an honest one of that size."""
    paths = []
    for name, count in (("honest", 60), ("lying", 2**40)):
        tokens = b"".join(struct.pack("<Q", 4) + b"word" for _ in range(60))
        key = b"tokenizer.ggml.tokens"
        field = struct.pack("<Q", len(key)) + key + struct.pack("<IIQ", 9, 8, count) + tokens
        paths.append(room / f"{name}.gguf")
        paths[-1].write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + field)
    assert [_fault(path) is None for path in paths] == [True, False]
    ours, peer = side_by_side(lambda: _fault(paths[1]), lambda: _fault(paths[0]), workshop.rounds, repeat=500)
    return Comparison(
        case="GGUF, a lying file below 1 kB refused",
        ours=ours,
        peer=peer,
        peer_name="reading an honest one of that size",
        note=f"{ours * 1e3:.3f} ms of the 10 ms that it may take",
    )


def _fault(path: Path) -> ReadError | None:
    artifact = artifact_of(path)
    with ArtifactReader(artifact) as reader:
        return parse_headers(artifact, reader)[0].fault


def _against_reader(big: Model, distinct: Sequence[Model], workshop: Workshop) -> Iterator[Comparison]:
    rounds = min(workshop.rounds, 3)
    ours, peer = processes_side_by_side(_python(_OURS, big.path), _python(_READER, big.path), rounds)
    yield Comparison(
        case="GGUF, one big vocabulary, whole process",
        ours=ours.processor_seconds,
        peer=peer.processor_seconds,
        peer_name="gguf.GGUFReader",
        goal=1 / 60,
    )
    imported, imported_peer, peer_peak = _peak(_IMPORT_OURS), _peak(_IMPORT_READER), _peak(_READER, big.path)
    for case, models in (
        ("one big vocabulary", [big]),
        (f"scan of {len(distinct)} distinct big vocabularies", distinct),
    ):
        peak = _peak(_OURS, *(model.path for model in models))
        yield Comparison(
            case=f"GGUF, {case}: memory beyond the imports",
            ours=max(peak - imported, 0.1),
            peer=peer_peak - imported_peer,
            peer_name="gguf.GGUFReader of one",
            goal=1 / 15,
            unit="MB",
            note=f"peaks {peak:.0f} and {peer_peak:.0f} MB",
        )


def _peak(code: str, *arguments: Path) -> float:
    """Megabytes of the largest resident set of this program alone.

    What the system tells of an ended child counts the process that it was forked from too.
    """
    line = _python(code + _TELL_PEAK, *arguments)
    return float(subprocess.run(line, check=True, capture_output=True, text=True).stdout) * 1024 / 1e6


def _against_node(big: Model, room: Path, workshop: Workshop) -> Comparison | Skipped:
    case = "GGUF, one big vocabulary, whole process, JavaScript"
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return Skipped(case=case, reason="node and npm are not installed")
    try:
        run_process([npm, "install", "--silent", "--prefix", room, "@huggingface/gguf"])
    except RuntimeError as error:
        return Skipped(case=case, reason=f"@huggingface/gguf cannot be installed: {error}")
    script = room / "read.mjs"
    script.write_text(_NODE)
    package = json.loads((room / "node_modules/@huggingface/gguf/package.json").read_text())
    ours, peer = processes_side_by_side(
        _python(_OURS, big.path), [node, script, big.path], min(workshop.rounds, 3)
    )
    return Comparison(
        case=case,
        ours=ours.processor_seconds,
        peer=peer.processor_seconds,
        peer_name="@huggingface/gguf",
        goal=1 / 9,
        note=f"version {package['version']}",
    )


def _python(code: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]
