"""What interpreting one pickle stream is told to do, and what it told."""

from __future__ import annotations

from enum import Enum
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from attrs import frozen

from modelshelf_pytorch.pickle.symbols import Blob, GlobalUse, Storage

if TYPE_CHECKING:
    from modelshelf_pytorch.pickle.tensor_run import TensorRun
    from modelshelf_pytorch.verdict import Issue

Suspect = tuple[int, bytes | str | Blob]
"""A string that may hold another pickle, after its file offset."""


class Dialect(Enum):
    """Whose pickle it is, which decides the globals it may name beside torch's allowlist."""

    PLAIN = "plain"
    """Written by Python."""
    TORCHSCRIPT = "torchscript"
    """Written by TorchScript's C++ pickler: names classes that the archive itself defines."""


@frozen(kw_only=True, eq=False, repr=False)
class Limits:
    """How much of a stream is judged; one that needs more is refused as too large to judge.

    Attributes:
        structure: Bytes of opcodes and short strings.
        objects: Containers, calls and memo entries.
        depth: Marks open at once.
    """

    structure: int = 16 * 1024 * 1024
    objects: int = 2_000_000
    depth: int = 100_000


class Outcome:
    """What interpreting one stream told.

    Attributes:
        start: File offset of its first opcode.
        end: File offset after its last opcode that was understood.
        stopped: Whether it ended with STOP, as a whole stream does.
        protocol: What PROTO said, or None.
        value: The symbolic value that the stream leaves, or None.
        globals: Every name it imports.
        issues: What was noticed.
        runs: The runs of tensor records that were taken whole.
        loose_storages: Every storage it names outside of them.
        loose_suspects: Strings outside of them that may hold another pickle, with their file offsets.
        foreign: The first opcode that torch's ``weights_only`` unpickler does not know, with its offset.
    """

    __slots__ = (
        "end",
        "foreign",
        "globals",
        "issues",
        "loose_storages",
        "loose_suspects",
        "protocol",
        "runs",
        "start",
        "stopped",
        "value",
    )

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.stopped = False
        self.protocol: int | None = None
        self.value: Any = None
        self.globals: list[GlobalUse] = []
        self.issues: list[Issue] = []
        self.runs: list[TensorRun] = []
        self.loose_storages: list[Storage] = []
        self.loose_suspects: list[Suspect] = []
        self.foreign: tuple[str, int] | None = None

    @property
    def storages(self) -> list[Storage]:
        """Every storage it names, in order."""
        within = [one for run in self.runs for one in run.storages]
        return sorted([*self.loose_storages, *within], key=attrgetter("offset"))

    @property
    def suspects(self) -> list[Suspect]:
        """Every string that may hold another pickle, with its file offset, in order."""
        within = [one for run in self.runs for one in run.suspects]
        return sorted([*self.loose_suspects, *within], key=itemgetter(0))
