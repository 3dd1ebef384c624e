"""Mutated headers in great numbers: what is called healthy the format's own library loads.

``MODELSHELF_DIFFERENTIAL`` asks for another number of cases; ``python -m tests.fuzz`` runs millions.
"""

from __future__ import annotations

import os
from functools import cache

import pytest

from tests.fuzz.campaign import Plan, Runner
from tests.fuzz.seeds import made

COUNT = int(os.environ.get("MODELSHELF_DIFFERENTIAL", "100000"))
SHARES = {"safetensors": 70, "gguf": 15, "pytorch": 15}  # per cent; the other two libraries are slow
SHARDS = 10  # of each format, so that every process of a test run has its part


@cache
def runner(format: str) -> Runner:
    return Runner(Plan(format=format, seeds=made(format), judged=True))


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("format", SHARES)
def test_what_is_called_healthy_the_formats_own_library_loads(format, shard):
    size = COUNT * SHARES[format] // 100 // SHARDS
    counted = runner(format).run(shard * size, (shard + 1) * size)
    failed = [
        f"python -m tests.fuzz {format} --replay {one.number}: {one.kind}: {one.message}"
        for one in counted.failures
        if one.kind in {"exception", "refused"}
    ]
    assert failed == []
    assert counted.counts["total"] == size
    assert counted.counts["judged"] > size // 20  # enough stays healthy for the comparison to mean something


def test_a_number_tells_the_same_case_every_time():
    from tests.fuzz.formats import NAMES, Cases

    for format in NAMES:
        seeds = made(format)
        one, other = Cases(format, seeds), Cases(format, seeds)
        assert [one[number] for number in (7, 3, 7)] == [other[number] for number in (7, 3, 7)]
        assert len({one[number] for number in range(200)}) > 150
