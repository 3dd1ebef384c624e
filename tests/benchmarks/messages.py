"""Messages to worker processes: what is written out by hand against what cattrs generates."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from modelshelf.model import Artifact, ArtifactFile, Depth
from modelshelf.plugin.call import PluginSet
from modelshelf.records.codec import converter
from modelshelf.records.frame import pack, unpack
from modelshelf.scan.examine import Examination, Examiner
from modelshelf.scan.messages import WorkerSettings, decode_answer, decode_call, encode_answer, encode_call
from tests.benchmarks.measure import Comparison, Workshop, processes_side_by_side, side_by_side
from tests.vendor_models import VENDORED

_BATCH = 32
_SETTINGS = WorkerSettings()

# What a worker does with its first batch, but for the examination itself.
_FIRST_BATCH = """
import sys
from modelshelf.scan.messages import decode_answer, decode_call, encode_answer
from modelshelf.scan.examine import Examination
with open(sys.argv[1], "rb") as stream:
    answer = stream.read()
{work}
"""
_OURS = _FIRST_BATCH.format(work="encode_answer(decode_answer(answer))")
_THEIRS = _FIRST_BATCH.format(
    work="""
from modelshelf.records.codec import converter
made = converter()
made.structure(made.unstructure(decode_answer(answer)), list[Examination])
"""
)


def comparisons(workshop: Workshop) -> Iterator[Comparison]:
    """A batch there and back, and what it costs a process to begin with one."""
    room = workshop.room("messages")
    artifacts, examinations = _batch(room)
    made = converter()

    def by_hand() -> None:
        decode_call(encode_call(artifacts, Depth.HEADER, _SETTINGS))
        decode_answer(encode_answer(examinations))

    def by_cattrs() -> None:
        made.structure(unpack(pack(made.unstructure(artifacts))), list[Artifact])
        made.structure(unpack(pack(made.unstructure(examinations))), list[Examination])

    ours, peer = side_by_side(by_hand, by_cattrs, workshop.rounds, repeat=50)
    yield Comparison(
        case=f"a call of {_BATCH} models to a worker and its answer",
        ours=ours,
        peer=peer,
        peer_name="cattrs",
        goal=1,
        note=f"{(peer - ours) / _BATCH * 1e6:.1f} µs less for each model",
    )
    answer = room / "answer"
    answer.write_bytes(encode_answer(examinations))
    mine, theirs = processes_side_by_side(
        [sys.executable, "-c", _OURS, answer], [sys.executable, "-c", _THEIRS, answer], workshop.rounds
    )
    yield Comparison(
        case="a process that reads its first batch",
        ours=mine.processor_seconds,
        peer=theirs.processor_seconds,
        peer_name="cattrs",
        goal=1,
        note=f"{(theirs.processor_seconds - mine.processor_seconds) * 1e3:.0f} ms less",
    )


def _batch(room: Path) -> tuple[list[Artifact], list[Examination]]:
    """Examinations of one small GGUF model under several names."""
    path = Path(shutil.copy(next((VENDORED / "tiny-llama-1.0").glob("*.gguf")), room))
    status = path.stat()
    one = ArtifactFile(name=path.name, size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino)
    artifacts = [
        Artifact(folder=str(room), primary=path.name, files=(one,), model_id=f"model-{number}")
        for number in range(_BATCH)
    ]
    examiner = Examiner.of(PluginSet.discover())
    return artifacts, [examiner.examine(artifact) for artifact in artifacts]
