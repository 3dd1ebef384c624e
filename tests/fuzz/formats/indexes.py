"""Indexes of shards: JSON tokens and bytes changed, the shards beside them sound."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random

from modelshelf.errors import FormatError
from modelshelf.model import Role
from modelshelf.scan.group import shard_names
from tests.fuzz.formats import Case
from tests.fuzz.json_tokens import STRINGS, changed_tokens, tokens_of
from tests.fuzz.mutate import changed
from tests.fuzz.seeds import Seed


class Changer:
    """Changes the index of a model of two shards."""

    def __init__(self, seeds: tuple[Seed, ...]) -> None:
        self._models = [seeds[at : at + 3] for at in range(0, len(seeds), 3)]
        self._tokens = [tokens_of(model[2].content.decode()) for model in self._models]
        self._strings = (*STRINGS, "a.weight", "b.weight", *(one.name for one in seeds))

    def __call__(self, draw: Random) -> Case:
        at = draw.randrange(len(self._models))
        first, second, index = self._models[at]
        content = index.content
        kind = draw.random()
        if kind < 0.9:
            text = changed_tokens(draw, self._tokens[at], self._strings)
            content = text.encode("utf-8", "surrogatepass")
        if kind > 0.85:
            content = changed(draw, content)
        with suppress(FormatError):  # the walk's own look at an index, before there is an artifact
            shard_names(content, index.name)
        beside = ((second.name, second.content, Role.WEIGHTS), (index.name, content, Role.INDEX))
        return Case(first.name, first.content, beside)


changer: Callable[[tuple[Seed, ...]], Changer] = Changer
