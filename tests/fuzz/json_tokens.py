"""JSON texts changed token by token, so that most of them stay JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from tests.fuzz.mutate import number

STRINGS = (
    "",
    "dtype",
    "shape",
    "data_offsets",
    "__metadata__",
    "format",
    "weight_map",
    "metadata",
    "total_size",
    "architectures",
    "model_type",
    "torch_dtype",
    "\\u0000",
    "\\ud800",
    "\\udc00",
    "\\ud83d\\ude00",
    "\\u00e9",
    "\\x",
    '\\"',
    "\\\\",
    "\\/",
    "é",
    "\u2028",
    "\u202e",
    "../up",
    "/etc/passwd",
    "a/b.safetensors",
    "a\\\\b",
    "..%2f",
    "=1+1",
    "x" * 300,
)
"""The insides of strings, escaped as they would stand in the text."""

_VALUES = (
    "null",
    "true",
    "false",
    "[]",
    "{}",
    '""',
    "[1]",
    '{"a":1}',
    "-0",
    "0.0",
    "1.0",
    "1e2",
    "-1",
    "1E99",
)
_FAULTS = (
    *("NaN", "Infinity", "-Infinity", "nul", "'a'", "//x", "1E400", "01", "+1", ".5", "1.", "0x1", "1_0"),
    *("9" * 25, "9" * 5000),
)
_SPACES = (" ", "\n", "\t", "\r\n", "\f", "\v", "\u00a0", "\ufeff", "\0", "/**/")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[-+.\deE]*|[a-zA-Z]+|\s+|.', re.DOTALL)


def tokens_of(text: str) -> list[str]:
    """The tokens of a text, white space included; joined they are the text."""
    return _TOKEN.findall(text)


def _other(draw: Random, token: str, strings: Sequence[str]) -> str:
    """What may stand in a token's place, mostly of its own kind."""
    kind = draw.random()
    if kind < 0.15:
        return draw.choice(_VALUES)
    if kind < 0.2:
        return draw.choice(_FAULTS)
    if token[0] == '"' or kind < 0.25:
        return f'"{draw.choice(strings)}"'
    if token[0].isdigit():
        old = int(token) if token.isdigit() and len(token) < 30 else 0
        return str(draw.choice((0, 1, 2, 3, 4, 8)) if draw.random() < 0.3 else number(draw, old))
    if token[0].isalpha():
        return draw.choice(_VALUES)
    return draw.choice('{}[],:"') if kind < 0.9 else token + draw.choice(_SPACES)


def _place(draw: Random, tokens: Sequence[str]) -> int:
    """Where to change something: mostly at a string, a number or a word."""
    at = int(draw.random() * len(tokens))
    if draw.random() < 0.92:
        for place in range(at, len(tokens)):
            if tokens[place][0] == '"' or tokens[place][0].isalnum():
                return place
    return at


def changed_tokens(draw: Random, tokens: Sequence[str], strings: Sequence[str] = STRINGS) -> str:
    """The text with one to three tokens or runs of tokens changed."""
    changed = list(tokens)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        at = _place(draw, changed)
        kind = draw.random()
        if kind < 0.65 and changed:
            key = changed[at][0] == '"' and changed[at + 1 : at + 2] == [":"]
            changed[at] = f'"{draw.choice(strings)}"' if key else _other(draw, changed[at], strings)
        elif kind < 0.7:
            del changed[at : at + draw.choice((1, 1, 2, 4))]
        elif kind < 0.75:
            changed[at:at] = changed[at : at + draw.choice((1, 2, 4, 17))]
        elif kind < 0.8:
            changed.insert(at, draw.choice(_SPACES))
        elif kind < 0.83:
            changed.insert(at, _other(draw, '"', strings))
        elif kind < 0.88 and changed:
            other = _place(draw, changed)
            changed[at], changed[other] = changed[other], changed[at]
        elif kind < 0.97:
            member = [f'"{draw.choice(strings)}"', ":", _other(draw, draw.choice('"1t'), strings), ","]
            changed[1:1] = member
        else:
            depth = draw.choice((2, 100, 126, 127, 128, 129, 3000))
            changed.insert(at, "[" * depth + "]" * (depth if draw.random() < 0.8 else 0))
    return "".join(changed)
