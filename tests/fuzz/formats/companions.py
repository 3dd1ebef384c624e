"""Configurations and model cards beside sound weights: tokens, lines and bytes changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from modelshelf.model import Role
from tests.fuzz.formats import Case
from tests.fuzz.json_tokens import changed_tokens, tokens_of
from tests.fuzz.mutate import TEXTS, changed, position
from tests.fuzz.seeds import Seed

_PIECES = (
    *(
        "- ",
        "? ",
        ": ",
        "&a ",
        "*a",
        "<<: *a",
        "!!python/object/apply:os.system [id]",
        "!!binary aaa",
        "|\n",
        ">-\n",
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        "#",
        "%YAML 9.9\n",
        "---",
        "...",
        "\t",
        "\n",
        "  ",
        "\u2028",
        "\ufeff",
        "\x85",
    ),
    *(
        "2024-99-99",
        "1_000",
        "0x1f",
        "1:30",
        ".inf",
        "~",
        "no",
        "=",
        "[" * 50,
        "{a: " * 30,
        "- " * 40,
        "\ud800",
    ),
)
_CARD_TOKEN = re.compile(r"\w+|\s+|.", re.DOTALL)


def _card(draw: Random, tokens: list[str]) -> bytes:
    mutated = tokens[:]
    for _ in range(draw.choice((1, 1, 2, 3))):
        at, kind = position(draw, mutated), draw.random()
        if kind < 0.6:
            mutated.insert(at, draw.choice(_PIECES))
        elif kind < 0.8:
            del mutated[at : at + draw.choice((1, 2, 5))]
        else:
            mutated[at:at] = mutated[at : at + draw.choice((1, 4, 12))] * draw.choice((1, 2, 30))
    return "".join(mutated).encode("utf-8", "surrogatepass")


class Changer:
    """Changes one or two companions of a sound model."""

    def __init__(self, seeds: tuple[Seed, ...]) -> None:
        self._weights, self._companions = seeds[0], seeds[1:]
        self._tokens = [
            (_CARD_TOKEN.findall if one.name == "README.md" else tokens_of)(one.content.decode())
            for one in self._companions
        ]

    def __call__(self, draw: Random) -> Case:
        chosen = {draw.randrange(len(self._companions)) for _ in range(draw.choice((1, 1, 2)))}
        beside = []
        for at in sorted(chosen):
            name, content = self._companions[at]
            kind = draw.random()
            if kind < 0.8 and name == "README.md":
                content = _card(draw, self._tokens[at])
            elif kind < 0.8:
                content = changed_tokens(draw, self._tokens[at]).encode("utf-8", "surrogatepass")
            if kind > 0.7:
                content = changed(draw, content)
            if kind < 0.02:
                content = draw.choice(TEXTS[:24]) * draw.choice((1, 1000))
            beside.append((name, content, Role.COMPANION))
        return Case(self._weights.name, self._weights.content, tuple(beside))


changer: Callable[[tuple[Seed, ...]], Changer] = Changer
