from __future__ import annotations

import pytest

from modelshelf_foreign.advice import advice


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("m.gguf.part2of3", "cat m.gguf.part1of3 m.gguf.part2of3 m.gguf.part3of3 > m.gguf"),
        ("m.gguf.part01of02", "cat m.gguf.part01of02 m.gguf.part02of02 > m.gguf"),
        ("m.gguf.part1of11", "cat m.gguf.part1of11 m.gguf.part2of11 … m.gguf.part11of11 > m.gguf"),
        ("x/m-7B.Q4_1.gguf.part1of2", "cat m-7B.Q4_1.gguf.part1of2 m-7B.Q4_1.gguf.part2of2 > m-7B.Q4_1.gguf"),
        ("m.gguf.part02", "cat m.gguf* in the order of their names > m.gguf"),
        ("m.gguf-split-a", "cat m.gguf* in the order of their names > m.gguf"),
    ],
)
def test_pieces_want_joining_in_their_order(name: str, order: str) -> None:
    assert advice("split", name).endswith(order)


def test_what_is_compressed_wants_unpacking() -> None:
    assert "unpack it first" in advice("compressed", "m.pt.zst")
