"""Ours beside the loader's own reading: what it would do with a file must never pass for healthy here.

`PickleStreams`: Python's C unpickler is the judge. It is given each stream with a ``find_class`` that keeps
the name and returns a stub, so that nothing of the stream is imported or called; a stream by which it comes
to a global outside of torch's allowlist must not be clean. `ZipMembers`: torch's `PyTorchFileReader` is the
judge. Whatever bytes it gives for a record, ours must be the same, or the archive must not be healthy.

Every stream is read under a limit of memory: the C unpickler reserves what a stream asks for.
"""

from __future__ import annotations

import faulthandler
import io
import json
import pickle
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any, Protocol, Self

import attrs

from modelshelf.errors import ReadError
from modelshelf_pytorch.containers.dispatch import inspect
from modelshelf_pytorch.pickle.allowlist import ALLOWED, DATA_TYPES, TORCHSCRIPT, python3_name
from modelshelf_pytorch.pickle.audit import Verdict, audit
from modelshelf_pytorch.readers import BytesReader
from modelshelf_pytorch.zip.read import read_member
from tests.fuzz import pickles, seeds
from tests.fuzz.formats import Case
from tests.fuzz.judge import Judge
from tests.fuzz.mutate import changed, crossed
from tests.fuzz.pickle_ops import changed_ops, streams_of
from tests.fuzz.zip_parts import change, taken_apart

_MOST_STREAMS = 6  # of one case that the judge reads
_RECORDS = ("data.pkl", "constants.pkl")
_BLOCK = 25_000  # cases that a process takes


@attrs.define
class Result:
    """What came of some cases.

    Attributes:
        counts: ``total``, ``clean`` by ours, ``reached``: those in which the judge found something to judge.
        failures: Number of each case in which the two disagree, and how.
    """

    counts: Counter[str] = attrs.Factory(Counter)
    failures: list[tuple[int, str]] = attrs.Factory(list)


class Differential(Protocol):
    """Two readings of generated cases."""

    def case(self, number: int) -> bytes:
        """The bytes of a case; the same number gives the same ones."""
        ...

    def compare(self, content: bytes, counts: Counter[str]) -> str | None:
        """How the two readings disagree, or None."""
        ...


class _Stub:
    """What every global is replaced by: it takes everything and does nothing."""

    def __new__(cls, *_given: Any, **_named: Any) -> Self:
        return object.__new__(cls)

    def __init__(self, *given: Any, **named: Any) -> None: ...

    def __call__(self, *_given: Any, **_named: Any) -> _Stub:
        return self

    def __setstate__(self, _state: Any) -> None: ...

    def __setitem__(self, _key: Any, _value: Any) -> None: ...

    def append(self, _item: Any) -> None: ...

    def extend(self, _items: Any) -> None: ...

    def add(self, _item: Any) -> None: ...


class Recording(pickle.Unpickler):
    """Python's C unpickler, which keeps the globals that a stream comes to; nothing is imported or called."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, encoding="latin1")
        self.reached: list[tuple[str, str]] = []

    def find_class(self, module: str, name: str) -> Any:
        self.reached.append((module, name))
        return _Stub

    def persistent_load(self, _pid: Any) -> Any:
        return _Stub()


def reached(content: bytes) -> list[tuple[str, str]]:
    """The globals that the C unpickler comes to in the streams of some bytes, up to its first error."""
    stream, found = io.BytesIO(content), []
    for _ in range(_MOST_STREAMS):
        unpickler = Recording(stream)
        try:
            unpickler.load()
        except Exception:  # noqa: BLE001 - whatever it raises ends its reading
            return found + unpickler.reached
        found += unpickler.reached
    return found


def refused(content: bytes, *, script: bool = False) -> list[tuple[str, str]]:
    """Those of `reached` that a checkpoint, or a TorchScript archive, may not name."""
    names = [python3_name(module, name) for module, name in reached(content)]
    if script:  # its own classes are found in the archive alone
        names = [name for name in names if name not in TORCHSCRIPT and not name[0].startswith("__torch__.")]
    return [name for name in names if name not in ALLOWED and name not in DATA_TYPES]


class PickleStreams:
    """Streams that real libraries write, and hostile ones, with opcodes and bytes changed."""

    def __init__(self) -> None:
        found: list[bytes] = []
        for _, content in seeds.kept("pytorch"):
            if content.startswith(b"PK\3\4"):
                members = taken_apart(content).members
                found += [one.data for one in members if one.name.endswith(b".pkl")]
            else:
                found.append(content)
        self._sound = [one for one in map(streams_of, found) if one[0]]

    def case(self, number: int) -> bytes:
        draw = Random(number)  # noqa: S311 - reproducible, not secret
        streams, rest = streams_of(pickles.hostile(draw)) if draw.random() < 0.4 else draw.choice(self._sound)
        out = [b"".join(one) for one in streams]
        if streams and draw.random() < 0.8:
            at = draw.randrange(len(streams))
            out[at] = changed_ops(draw, streams[at])
        content = b"".join((*out, rest))
        kind = draw.random()
        if kind < 0.1:
            content = crossed(draw, content, b"".join(map(b"".join, draw.choice(self._sound)[0])))
        elif kind < 0.3:
            content = changed(draw, content)
        return content

    def compare(self, content: bytes, counts: Counter[str]) -> str | None:
        verdict = audit(content).verdict
        outside = refused(content)
        counts["clean"] += verdict is Verdict.CLEAN
        counts["reached"] += bool(outside)
        if outside and verdict is Verdict.CLEAN:
            return f"clean, and unpickling reaches {outside[0]}"
        return None


class ZipMembers:
    """Checkpoints with changed directories, headers and members, some with a hostile pickle among them."""

    def __init__(self) -> None:
        import torch

        self._open: Callable[[io.BytesIO], Any] = torch._C.PyTorchFileReader
        found = [content for _, content in seeds.made("pytorch") if content.startswith(b"PK\3\4")]
        self._archives = [taken_apart(one) for one in found]
        self._judge = Judge()

    def case(self, number: int) -> bytes:
        draw = Random(number)  # noqa: S311 - reproducible, not secret
        archive = draw.choice(self._archives).copy()
        if draw.random() < 0.5:  # two that can be taken for each other
            twin = draw.choice(archive.members).copy()
            own = next((one for one in archive.members if one.name.endswith(b"/data.pkl")), twin)
            twin.name, twin.data = own.name, pickles.hostile(draw)
            twin.name = draw.choice((own.name, own.name, own.name.upper(), b"data.pkl", b"x/data.pkl"))
            archive.members.insert(draw.randrange(len(archive.members) + 1), twin)
        change(draw, archive)
        content = archive.encode()
        return changed(draw, content) if draw.random() < 0.1 else content

    def compare(self, content: bytes, counts: Counter[str]) -> str | None:
        healthy = self._judge.verdict(Case("model.pt", content)).status == "healthy"
        counts["clean"] += healthy
        try:
            reader = self._open(io.BytesIO(content))
            records = {name: reader.get_record(name) for name in _RECORDS if reader.has_record(name)}
        except Exception:  # noqa: BLE001 - whatever it raises, it reads nothing
            return None
        counts["reached"] += bool(records)
        if not healthy:
            return None
        for name, record in records.items():
            if record != _ours(content, name):
                return f"healthy, and torch reads another {name}"
            outside = refused(record, script="constants.pkl" in records)
            if outside:
                return f"healthy, and the {name} that torch reads reaches {outside[0]}"
        return None


def _ours(content: bytes, name: str) -> bytes | None:
    """The bytes that are judged here as that record of a checkpoint."""
    file = BytesReader(content)
    try:
        inspection = inspect(file)
        member = inspection.directory and inspection.directory.find(inspection.root + name)
        return read_member(file, member, member.size) if member else None
    except ReadError:
        return None


KINDS: dict[str, Callable[[], Differential]] = {"pickle-streams": PickleStreams, "zip-members": ZipMembers}


_MOST_MEMORY = {"pickle-streams": 512 << 20, "zip-members": 4 << 30}  # of address space: torch takes two GiB


def run(kind: str, numbers: range) -> Result:
    """Compare the cases with these numbers, in this process, whose memory is limited from then on."""
    differential = KINDS[kind]()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY[kind], most))
    result = Result()
    for number in numbers:
        content = differential.case(number)
        result.counts["total"] += 1
        found = differential.compare(content, result.counts)
        if found is not None:
            result.failures.append((number, found))
    return result


def run_apart(kind: str, numbers: range) -> Result:
    """The same in a process of its own, which a judge may bring down.

    Raises:
        CalledProcessError: It did; what it wrote is in a note.
    """
    line = [sys.executable, "-m", __name__, kind, str(numbers.start), str(numbers.stop)]
    try:
        done = subprocess.run(line, check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        error.add_note(error.stderr.decode(errors="replace")[-2000:])
        raise
    given = json.loads(done.stdout)
    return Result(
        counts=Counter(given["counts"]), failures=[(number, how) for number, how in given["failures"]]
    )


def run_blocks(kind: str, numbers: range, jobs: int) -> Iterator[Result]:
    """The results of many cases, block after block."""
    starts = range(numbers.start, numbers.stop, _BLOCK)
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda at: run_apart(kind, range(at, min(at + _BLOCK, numbers.stop))), starts)


if __name__ == "__main__":
    faulthandler.enable()
    given = run(sys.argv[1], range(int(sys.argv[2]), int(sys.argv[3])))
    json.dump(attrs.asdict(given), sys.stdout)
