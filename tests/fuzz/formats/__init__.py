"""What is done to the files of each format, and the one way to ask for a case."""

from __future__ import annotations

from importlib import import_module
from random import Random
from typing import NamedTuple, Protocol

from modelshelf.model import Role
from tests.fuzz.seeds import Seed

NAMES = ("gguf", "safetensors", "pytorch", "indexes", "companions")


class Case(NamedTuple):
    """One artifact: the weight file, and what lies beside it as (name, bytes, role)."""

    name: str
    content: bytes
    beside: tuple[tuple[str, bytes, Role], ...] = ()


class Change(Protocol):
    """A format's own way to change seeds."""

    def __call__(self, draw: Random) -> Case: ...


class Cases:
    """The cases of one format by number: the same number and seeds give the same bytes."""

    def __init__(self, name: str, seeds: tuple[Seed, ...]) -> None:
        self._draw = Random()  # noqa: S311 - reproducible, not secret
        self._change: Change = import_module(f"tests.fuzz.formats.{name}").changer(seeds)

    def __getitem__(self, number: int) -> Case:
        self._draw.seed(number)
        return self._change(self._draw)
