"""What a loader would do with a file never passes for healthy: the loaders' own readers are the judges."""

from __future__ import annotations

import io
import os
import pickle
from collections import Counter

import pytest
import torch

from modelshelf_pytorch.pickle.audit import PickleAudit
from tests.fuzz import differential
from tests.fuzz.differential import PickleStreams, ZipMembers, refused, run_apart

STREAMS = int(os.environ.get("MODELSHELF_FUZZ_STREAMS", "100000"))
ARCHIVES = int(os.environ.get("MODELSHELF_FUZZ_ARCHIVES", "4000"))
PARTS = 2


@pytest.mark.timeout(1800)  # a minute of processor time, which may be long by the clock
@pytest.mark.parametrize("part", range(PARTS))
def test_no_stream_by_which_the_c_unpickler_comes_to_foreign_code_is_clean(part):
    size = STREAMS // PARTS
    result = run_apart("pickle-streams", range(part * size, (part + 1) * size))
    assert result.failures == []
    assert result.counts["total"] == size
    assert min(result.counts["reached"] / 3, result.counts["clean"]) > size // 25


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_archive_of_which_torch_reads_other_bytes_is_healthy(part):
    size = ARCHIVES // PARTS
    result = run_apart("zip-members", range(part * size, (part + 1) * size))
    assert result.failures == []
    assert min(result.counts["reached"], result.counts["clean"]) > size // 25


@pytest.fixture(scope="module")
def streams() -> PickleStreams:
    return PickleStreams()


def test_a_case_is_the_same_by_its_number(streams):
    cases = [streams.case(number) for number in range(50)]
    assert [streams.case(number) for number in range(49, -1, -1)] == cases[::-1]


@pytest.mark.parametrize(
    "stream",
    [
        b"cos\nsystem\n.",
        b"(S'id'\nios\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93)R.",
        b"N.cos\nsystem\n.",
    ],
)
def test_the_judge_sees_a_global_by_whatever_route_and_calls_nothing(stream):
    assert refused(stream) == [("os", "system")]


def test_the_judge_finds_nothing_in_what_torch_allows():
    assert refused(pickle.dumps({"a": [1, 2.5, None, b"x", {1}]}, protocol=2)) == []


def test_a_disagreement_is_told(streams, monkeypatch):
    """A reading that finds everything clean disagrees with the judge, or the comparison proves nothing."""
    monkeypatch.setattr(differential, "audit", lambda _: PickleAudit(name="none"))
    assert streams.compare(b"cos\nsystem\n.", Counter()) is not None


def test_an_archive_with_other_bytes_for_torch_is_told(monkeypatch):
    raw = io.BytesIO()
    torch.save({"a": torch.ones(2)}, raw)
    members = ZipMembers()
    assert members.compare(raw.getvalue(), Counter()) is None
    monkeypatch.setattr(differential, "_ours", lambda _content, _name: b"other")
    assert "another data.pkl" in str(members.compare(raw.getvalue(), Counter()))
