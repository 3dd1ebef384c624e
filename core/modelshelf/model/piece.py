"""Pieces of a file that was cut by bytes, for want of room in one file: none of them is a file by itself."""

from __future__ import annotations

import re

from attrs import frozen

_NAME = re.compile(
    r"(?i)(?P<whole>.+\.(?:gguf|safetensors|sft|bin|pth?|ckpt|onnx|zip|tar|7z))[.-]"
    r"(?:part[-_.]?(?P<number>\d{1,5})(?:[-_.]?of[-_.]?(?P<total>\d{1,5}))?"
    r"|split[-_.]?(?P<letters>[a-z]{1,3})|(?P<counted>\d{3}))",
    re.DOTALL,
)


@frozen(kw_only=True)
class Piece:
    """What a name tells of a piece.

    Attributes:
        whole: The name of the file that the pieces make.
        number: Which piece it is, as its name counts; None where it counts with letters.
        total: How many there are, where the name says so.
    """

    whole: str
    number: int | None = None
    total: int | None = None


def piece_of(name: str) -> Piece | None:
    """What the name of a piece tells, as in ``x.gguf.part1of2`` or ``x.gguf-split-a``; None of another name.

    Shards that are files by themselves, ``x-00001-of-00002.gguf``, are none.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    number = match["number"] or match["counted"]
    return Piece(
        whole=match["whole"],
        number=None if number is None else int(number),
        total=None if match["total"] is None else int(match["total"]),
    )
