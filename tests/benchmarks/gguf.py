"""GGUF headers with big vocabularies, as those of Llama 3.1, and with small ones."""

from __future__ import annotations

import gc
import json
import mmap
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from struct import Struct

from attrs import evolve, frozen

from modelshelf.errors import ReadError
from modelshelf.model import Depth
from modelshelf.reader import ArtifactReader
from modelshelf_gguf import modelshelf_extract_metadata, modelshelf_probe_health
from modelshelf_gguf.parse import parse_headers
from modelshelf_gguf.vocabulary import VocabularyMemo
from tests.benchmarks.measure import (
    Comparison,
    Skipped,
    Workshop,
    processes_side_by_side,
    run_process,
    side_by_side,
)
from tests.support import artifact_of

_TOKENS, _MERGES, _TENSORS, _FIELDS = 128_256, 280_147, 291, 33
_SMALL_TOKENS = 32_000
_ROW = 256
_WALK = "the plain struct walk over a mapping"
_U32, _U64 = Struct("<I").unpack_from, Struct("<Q").unpack_from
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

_IMPORT_OURS = """
import sys
from pathlib import Path
from modelshelf.model import Artifact, ArtifactFile
from modelshelf.reader import ArtifactReader
from modelshelf_gguf.parse import parse_headers
from modelshelf_gguf.vocabulary import MEMO
"""
_OURS = f"""{_IMPORT_OURS}
for path in map(Path, sys.argv[1:]):
    told = path.stat()
    one = ArtifactFile(name=path.name, size=told.st_size, mtime_ns=told.st_mtime_ns)
    artifact = Artifact(folder=str(path.parent), primary=path.name, files=(one,))
    with ArtifactReader(artifact) as reader:
        (header,) = parse_headers(artifact, reader, MEMO)
        assert header.fault is None and len(header.tensors) == {_TENSORS}
"""
_IMPORT_READER = "import sys\nfrom gguf import GGUFReader\n"
_READER = f"""{_IMPORT_READER}
for path in sys.argv[1:]:
    assert len(GGUFReader(path).tensors) == {_TENSORS}
"""
_TELL_PEAK = """
with open("/proc/self/status") as told:
    print(next(line.split()[1] for line in told if line.startswith("VmHWM:")))
"""
_NODE = f"""
import {{ gguf }} from "@huggingface/gguf";
const told = await gguf(process.argv[2], {{ allowLocalFile: true }});
if (told.tensorInfos.length !== {_TENSORS}) throw new Error("not all tensors were read");
"""
_SCAN = """
import sys, time
from modelshelf import ModelRegistry
with ModelRegistry(sys.argv[1], sys.argv[2]) as registry:
    started = time.perf_counter()
    stats = registry.discover_models(workers=int(sys.argv[3]))
    print(time.perf_counter() - started)
    assert stats.models_found == int(sys.argv[4]), stats
"""


@frozen(kw_only=True)
class Model:
    """A file that was made.

    Attributes:
        path: Where it is.
        header: Its header's bytes.
        size: Bytes of the whole file, nearly all of them a hole.
    """

    path: Path
    header: bytes
    size: int

    def variant(self, path: Path, number: int) -> Model:
        """A file whose first token and first merge, and so whose vocabulary, are another's."""
        header = self.header
        for key in (b"tokenizer.ggml.tokens", b"tokenizer.ggml.merges"):
            at = header.find(key)
            if at >= 0:
                at += len(key) + 4 + 4 + 8 + 8  # the array's types, its count, the first string's length
                header = header[:at] + b"%08d" % number + header[at + 8 :]
        made = evolve(self, path=path, header=header)
        made.write()
        return made

    def write(self) -> None:
        """Write the header, a hole for the data, and a last byte that is not zero."""
        with self.path.open("wb") as file:
            file.write(self.header)
            file.seek(self.size - 1)
            file.write(b"\1")


def comparisons(workshop: Workshop) -> Iterator[Comparison | Skipped]:
    """Distinct, repeated and small vocabularies; one file against the other readers; two processes."""
    room = workshop.room("gguf")
    big = write_model(room / "big.gguf", tokens=_TOKENS, merges=_MERGES)
    count = workshop.scaled(100)
    distinct = [big.variant(room / f"distinct-{number:03}.gguf", number) for number in range(count)]
    yield from _distinct(distinct, workshop)
    yield from _repeated(big, room, workshop)
    yield _small(room, workshop)
    yield from _against_reader(big, workshop)
    yield _against_node(big, room, workshop)
    yield _lying(room, workshop)
    yield _two_processes(distinct, room, workshop)


def write_model(path: Path, *, tokens: int, merges: int) -> Model:
    """A header as the format's own writer makes it; the tensors' data are a hole."""
    import gguf
    import numpy as np

    draw = random.Random(tokens)  # noqa: S311 - no secret
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Meta Llama 3.1 8B Instruct")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"{0:08}"] + [_word(draw, 9.3) for one in range(1, tokens)])
    writer.add_token_types([1] * tokens)
    if merges:
        writer.add_token_merges(
            [f"{0:08}"] + [f"{_word(draw, 4)} {_word(draw, 4)}" for _ in range(1, merges)]
        )
    for number in range(_FIELDS - 5 - bool(merges)):
        writer.add_uint32(f"llama.number_{number}", number)
    for number in range(_TENSORS):
        name = f"blk.{number // 9}.part_{number % 9}.weight"
        writer.add_tensor_info(name, (_ROW, _ROW), np.dtype("float16"), _ROW * _ROW * 2)
    for step in ("header", "kv_data", "ti_data"):
        getattr(writer, f"write_{step}_to_file")()
    writer.close()
    header = path.read_bytes()
    header += bytes(-len(header) % 32)
    made = Model(path=path, header=header, size=len(header) + _TENSORS * _ROW * _ROW * 2)
    made.write()
    return made


def _word(draw: random.Random, mean: float) -> str:
    # Real vocabularies have a few hundred long runs of one sign; one in 5,000 here.
    length = (
        draw.randrange(256, 400) if draw.random() < 1 / 5_000 else max(1, int(draw.gauss(mean, mean / 3)))
    )
    return "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=length))


def struct_walk(path: Path) -> tuple[int, int]:
    """The plainest complete reading of a header: one `struct` call a number; pairs and tensors."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        (tensors,), (pairs,), at = _U64(held, 8), _U64(held, 16), 24
        fields = {}
        for _ in range(pairs):
            (length,) = _U64(held, at)
            key, (kind,), at = held[at + 8 : at + 8 + length], _U32(held, at + 8 + length), at + 12 + length
            fields[key] = kind, at
            at = _behind(held, kind, at)
        table = []
        for _ in range(tensors):
            (length,) = _U64(held, at)
            name, at = held[at + 8 : at + 8 + length], at + 8 + length
            (dimensions,) = _U32(held, at)
            shape = [_U64(held, at + 4 + 8 * one)[0] for one in range(dimensions)]
            at += 4 + 8 * dimensions
            table.append((name, shape, _U32(held, at)[0], _U64(held, at + 4)[0]))
            at += 12
    return len(fields), len(table)


def _behind(held: mmap.mmap, kind: int, at: int) -> int:
    if kind == 8:
        return at + 8 + _U64(held, at)[0]
    if kind != 9:
        return at + _WIDTHS[kind]
    (item,), (count,), at = _U32(held, at), _U64(held, at + 4), at + 12
    if item != 8:
        return at + count * _WIDTHS[item]
    for _ in range(count):
        at += 8 + _U64(held, at)[0]
    return at


def _headers(models: Sequence[Model], memo: VocabularyMemo | None) -> int:
    """Read these headers through the reader that a scan uses; the bytes that it took."""
    taken = 0
    for model in models:
        artifact = artifact_of(model.path)
        with ArtifactReader(artifact) as reader:
            (header,) = parse_headers(artifact, reader, memo)
            taken += reader.bytes_read
        assert header.fault is None
        assert len(header.tensors) == _TENSORS
    return taken


def _hooks(models: Sequence[Model]) -> None:
    """All that the plugin does in a scan: header, metadata, findings."""
    for model in models:
        artifact = artifact_of(model.path)
        with ArtifactReader(artifact) as reader:
            assert modelshelf_extract_metadata(artifact, "gguf", reader) is not None
            assert not list(modelshelf_probe_health(artifact, "gguf", reader, Depth.HEADER) or ())


def _walks(models: Sequence[Model]) -> Callable[[], None]:
    def walk() -> None:
        for model in models:
            assert struct_walk(model.path) == (_FIELDS, _TENSORS)

    return walk


def _distinct(models: Sequence[Model], workshop: Workshop) -> Iterator[Comparison]:
    case = f"GGUF, {len(models)} distinct big vocabularies"
    note = f"headers of {len(models[0].header) / 1e6:.2f} MB"
    ours, peer = side_by_side(
        lambda: _headers(models, VocabularyMemo()), _walks(models), min(workshop.rounds, 3)
    )
    yield Comparison(case=case, ours=ours, peer=peer, peer_name=_WALK, goal=0.35, note=note)
    ours, peer = side_by_side(lambda: _hooks(models), _walks(models), min(workshop.rounds, 3))
    case += ", metadata and health too"
    yield Comparison(case=case, ours=ours, peer=peer, peer_name=_WALK, note=note)


def _repeated(big: Model, room: Path, workshop: Workshop) -> Iterator[Comparison]:
    # Other weights and another name, the same vocabulary: what a family of models looks like.
    renamed = evolve(big, path=room / "repeated.gguf", header=big.header.replace(b"3.1 8B", b"3.1 9C", 1))
    renamed.write()
    memo = VocabularyMemo()
    _headers([big], memo)
    ours, peer = side_by_side(
        lambda: _headers([renamed], memo), _walks([renamed]), workshop.rounds, repeat=10
    )
    tally = memo.tally
    taken = _headers([renamed], memo)
    note = f"{tally.jumped} of {tally.headers} headers jumped, {tally.refuted} refuted"
    yield Comparison(
        case="GGUF, repeated big vocabulary", ours=ours, peer=peer, peer_name=_WALK, goal=0.05, note=note
    )
    yield Comparison(
        case="GGUF, repeated big vocabulary: bytes read",
        ours=taken / 1e6,
        peer=len(big.header) / 1e6,
        peer_name="the whole header",
        goal=0.1,
        unit="MB",
    )


def _small(room: Path, workshop: Workshop) -> Comparison:
    """As Llama 2's: the memo cold, so that walking it anew is what is measured."""
    model = write_model(room / "small.gguf", tokens=_SMALL_TOKENS, merges=0)
    ours, peer = side_by_side(
        lambda: _headers([model], VocabularyMemo()), _walks([model]), workshop.rounds, repeat=50
    )
    note = f"{_SMALL_TOKENS} tokens, {_TENSORS} tensors"
    case = "GGUF, small vocabulary"
    return Comparison(case=case, ours=ours, peer=peer, peer_name=_WALK, goal=1.0, note=note)


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


def _against_reader(big: Model, workshop: Workshop) -> Iterator[Comparison]:
    rounds = min(workshop.rounds, 3)
    ours, peer = processes_side_by_side(_python(_OURS, big.path), _python(_READER, big.path), rounds)
    yield Comparison(
        case="GGUF, one big vocabulary, whole process",
        ours=ours.processor_seconds,
        peer=peer.processor_seconds,
        peer_name="gguf.GGUFReader",
        goal=1 / 60,
    )
    held, held_peer = _peak(_OURS, big.path), _peak(_READER, big.path)
    yield Comparison(
        case="GGUF, one big vocabulary: memory beyond the imports",
        ours=max(held - _peak(_IMPORT_OURS), 0.1),
        peer=held_peer - _peak(_IMPORT_READER),
        peer_name="gguf.GGUFReader",
        goal=1 / 15,
        unit="MB",
        note=f"peaks {held:.0f} and {held_peer:.0f} MB",
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
    told = json.loads((room / "node_modules/@huggingface/gguf/package.json").read_text())
    ours, peer = processes_side_by_side(
        _python(_OURS, big.path), [node, script, big.path], min(workshop.rounds, 3)
    )
    return Comparison(
        case=case,
        ours=ours.processor_seconds,
        peer=peer.processor_seconds,
        peer_name="@huggingface/gguf",
        goal=1 / 9,
        note=f"version {told['version']}",
    )


def _two_processes(distinct: Sequence[Model], room: Path, workshop: Workshop) -> Comparison:
    """Scans by two worker processes and by one, wall-clock, of models whose vocabularies come round too late
    for the memo: more of them than it keeps.
    """
    count, root = workshop.scaled(1_000), room / "many"
    for number in range(count):
        folder = root / f"model-{number:04}"
        folder.mkdir(parents=True)
        os.link(distinct[number % len(distinct)].path, folder / f"model-{number:04}.gguf")
    taken: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(min(workshop.rounds, 3)):
        for workers, held in taken.items():
            gc.collect()
            store = room / f"store-{turn}-{workers}"
            line = _python(_SCAN, root, store, str(workers), str(count))
            held.append(float(subprocess.run(line, check=True, capture_output=True, text=True).stdout))
    return Comparison(
        case=f"GGUF, scan of {count} big vocabularies by two processes",
        ours=statistics.median(taken[2]),
        peer=statistics.median(taken[1]),
        peer_name="the same by one process, wall-clock",
        goal=1 / 1.7,
        note=f"{len(distinct)} vocabularies, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}",
    )


def _python(code: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]
