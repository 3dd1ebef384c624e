"""A small file that lies about a size costs what a small file costs: counted in bytes, not in time."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from modelshelf_gguf.parse import parse_header
from tests.plugins.modelshelf_gguf import forge
from tests.plugins.modelshelf_gguf.forge import file, pair, tensor
from tests.plugins.modelshelf_gguf.variants import Near

HONEST = file(
    [
        pair(b"general.architecture", forge.STRING, b"llama"),
        pair(b"llama.context_length", forge.U32, 8192),
        pair(b"tokenizer.ggml.tokens", forge.ARRAY, (forge.STRING, [b"a", b"bc", b""] * 4)),
        pair(b"tokenizer.ggml.scores", forge.ARRAY, (forge.F32, [0.5] * 12)),
        pair(b"nested", forge.ARRAY, (forge.ARRAY, [(forge.U8, [1, 2]), (forge.STRING, [b"x"])])),
    ],
    [tensor(b"blk.0.weight", (8, 4), 0, 0), tensor(b"norm", (8,), 0, 128)],
    b"\1" * 160,
)
MOST_GROWTH = 256 * 1024


def cost(content: bytes) -> tuple[int, int]:
    """Bytes that parsing a header reads, and the most memory that it holds."""
    one = Near(content)
    tracemalloc.start()
    parse_header(one)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return one._budget.spent, peak


@pytest.mark.parametrize("lie", [2**24, 2**32, 2**40, 2**63, 2**64 - 1])
def test_no_number_that_lies_makes_a_small_file_cost_more_than_an_honest_one(lie):
    assert len(HONEST) < 1000
    parse_header(Near(HONEST))
    honest, _ = cost(HONEST)
    for at in range(8, len(HONEST) - 8, 3):
        read, peak = cost(HONEST[:at] + struct.pack("<Q", lie) + HONEST[at + 8 :])
        assert read <= 2 * honest, at
        assert peak < MOST_GROWTH, at
