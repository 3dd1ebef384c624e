"""A small file that lies about a size costs what a small file costs: counted in bytes, not in time."""

from __future__ import annotations

import contextlib
import re
import tracemalloc

import pytest

from modelshelf.errors import ReadError
from modelshelf_safetensors.header import read_header
from modelshelf_safetensors.health import file_findings
from tests.plugins.modelshelf_safetensors.raw import whole
from tests.plugins.modelshelf_safetensors.test_differential import GOOD, HEADER_END, InMemory

MOST_GROWTH = 256 * 1024
HEADER = GOOD[8:HEADER_END].rstrip()


def cost(content: bytes) -> tuple[int, int]:
    """Bytes that reading a header and its findings takes, and the most memory that it holds."""
    file = InMemory(content)
    tracemalloc.start()
    with contextlib.suppress(ReadError):
        list(file_findings(read_header(file), file))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return file._budget.spent, peak


@pytest.mark.parametrize("lie", [10**7, 2**32, 2**63, 2**64 - 1, 10**30])
def test_no_number_that_lies_makes_a_small_file_cost_more_than_an_honest_one(lie):
    lies = [
        whole(HEADER[: at.start()] + str(lie).encode() + HEADER[at.end() :], GOOD[HEADER_END:])
        for at in re.finditer(rb"[0-9]+", HEADER)
    ]
    lies += [min(lie, 2**64 - 1).to_bytes(8, "little") + GOOD[8:]]
    assert len(GOOD) < 1000
    cost(GOOD)
    honest, _ = cost(GOOD)
    for content in lies:
        read, peak = cost(content)
        assert read <= 2 * honest
        assert peak < MOST_GROWTH
