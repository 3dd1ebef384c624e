"""What interpreting one pickle stream is asked to do, and what it gives."""

from __future__ import annotations

from enum import Enum
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from attrs import frozen

from modelshelf.model.status import NOT_JUDGED
from modelshelf_pytorch.pickle.allowlist import runs_code
from modelshelf_pytorch.pickle.symbols import Blob, Global, Storage
from modelshelf_pytorch.verdict import Issue, Verdict

if TYPE_CHECKING:
    from modelshelf_pytorch.pickle.tensor_run import TensorRun

LocatedString = tuple[int, bytes | str | Blob]
"""A string after its file offset."""


class Dialect(Enum):
    """Who wrote a pickle, which decides the globals that it may name beside torch's allowlist."""

    PYTHON = "python"
    """Python's pickler."""
    TORCHSCRIPT = "torchscript"
    """TorchScript's C++ pickler: it names classes that the archive itself defines."""


@frozen(kw_only=True, eq=False, repr=False)
class Limits:
    """How much of a stream is judged; one that needs more is not judged, which is no fault of the file.

    All are counted from the bytes, so that a verdict depends neither on the machine nor on its speed.

    Attributes:
        structure: Bytes of opcodes and short strings.
        memory: Bytes that the interpreter's values take, as an estimate.
        objects: Containers, calls and memo entries.
        depth: Marks open at once.
    """

    structure: int = 256 * 1024 * 1024
    memory: int = 144 * 1024 * 1024
    objects: int = 2_000_000
    depth: int = 100_000


class Outcome:
    """What interpreting one stream gave.

    Attributes:
        start: File offset of its first opcode.
        end: File offset after its last opcode that was interpreted.
        stopped: Whether it ended with STOP, as a whole stream does.
        protocol: The argument of PROTO, or None.
        value: The symbolic value that the stream leaves, or None.
        globals: Every global that it names.
        issues: What was noticed.
        runs: The runs of tensor records that were matched as a whole.
        loose_storages: Every storage that it names outside of them.
        loose_strings: Strings outside of them that may hold another pickle, with their file offsets.
        foreign: The first opcode or global that torch's ``weights_only`` unpickler does not know, with its
            file offset; or None.
    """

    __slots__ = (
        "end",
        "foreign",
        "globals",
        "issues",
        "loose_storages",
        "loose_strings",
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
        self.globals: list[Global] = []
        self.issues: list[Issue] = []
        self.runs: list[TensorRun] = []
        self.loose_storages: list[Storage] = []
        self.loose_strings: list[LocatedString] = []
        self.foreign: tuple[str, int] | None = None

    @property
    def storages(self) -> list[Storage]:
        """Every storage that it names, in order."""
        within = [storage for run in self.runs for storage in run.storages]
        return sorted([*self.loose_storages, *within], key=attrgetter("offset"))

    @property
    def strings(self) -> list[LocatedString]:
        """Every string that may hold another pickle, with its file offset, in order."""
        within = [string for run in self.runs for string in run.strings]
        return sorted([*self.loose_strings, *within], key=itemgetter(0))

    @property
    def opcode_bytes(self) -> int:
        """Bytes of the stream without its long strings."""
        long = sum(value.length for _, value in self.loose_strings if type(value) is Blob)
        return self.end - self.start - long

    @property
    def cut_short(self) -> bool:
        """Whether the bytes, or what may be judged of them, ended before the stream did."""
        return any(issue.code in {"pickle-truncated", NOT_JUDGED} for issue in self.issues)

    @property
    def names_code(self) -> bool:
        """Whether it names something of a module that runs code, called so far or not."""
        return any(_is_dotted_name(use.name) and runs_code(use.module) for use in self.globals)

    def convinces(self, *, at_start: bool) -> bool:
        """Return whether the bytes really are a pickle: random bytes happen to begin like one too.

        In mid-text it has to name something, and to call it unless PROTO comes first: the lines of a list
        (``cache``, ``build``, ``.git``) read as GLOBAL and STOP.

        Args:
            at_start: Whether the bytes are a file or a string from its beginning on.
        """
        if self.globals:
            if any(use.called and _is_dotted(use) for use in self.globals):
                return True  # whatever follows, it is called by then
            declared = at_start or self.protocol is not None
            return declared and self.stopped and all(map(_is_dotted, self.globals))
        if not at_start or not self.stopped:
            return False
        attack = any(issue.verdict is Verdict.DANGEROUS for issue in self.issues)
        return attack or self.protocol is not None


def _is_dotted(use: Global) -> bool:
    return _is_dotted_name(use.module) and _is_dotted_name(use.name)


def _is_dotted_name(name: str) -> bool:
    return bool(name) and all(part.isidentifier() for part in name.split("."))
