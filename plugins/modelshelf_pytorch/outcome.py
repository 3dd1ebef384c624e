"""What interpreting one pickle stream is told to do, and what it told."""

from __future__ import annotations

from enum import Enum
from typing import Any

from attrs import define, field, frozen

from modelshelf_pytorch.symbols import Blob, GlobalUse, Storage
from modelshelf_pytorch.verdict import Issue


class Dialect(Enum):
    """Whose pickle it is, which decides the globals it may name beside torch's allowlist."""

    PLAIN = "plain"
    """Written by Python."""
    TORCHSCRIPT = "torchscript"
    """Written by TorchScript's C++ pickler: names classes that the archive itself defines."""


@frozen(kw_only=True)
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


@define(eq=False)
class Outcome:
    """What interpreting one stream told.

    Attributes:
        start: File offset of its first opcode.
        end: File offset after its last opcode that was understood.
        stopped: Whether it ended with STOP, as a whole stream does.
        protocol: What PROTO said, or None.
        value: The symbolic value that the stream leaves, or None.
        globals: Every name it imports.
        storages: Every storage it names.
        issues: What was noticed.
        suspects: Strings that may hold another pickle, with their file offsets.
        foreign: The first opcode that torch's ``weights_only`` unpickler does not know, with its offset.
    """

    start: int
    end: int
    stopped: bool = False
    protocol: int | None = None
    value: Any = None
    globals: list[GlobalUse] = field(factory=list)
    storages: list[Storage] = field(factory=list)
    issues: list[Issue] = field(factory=list)
    suspects: list[tuple[int, bytes | str | Blob]] = field(factory=list)
    foreign: tuple[str, int] | None = None
