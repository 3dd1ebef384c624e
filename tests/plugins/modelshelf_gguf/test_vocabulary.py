from __future__ import annotations

import os
import random
from collections import Counter

import attrs
import pytest

from modelshelf.model import Depth, HealthStatus
from modelshelf_gguf import vocabulary
from modelshelf_gguf.parse import parse_header
from modelshelf_gguf.vocabulary import VocabularyMemo
from tests.plugins.modelshelf_gguf.forge import save, verdict
from tests.plugins.modelshelf_gguf.variants import (
    ALTERED_IN_PLACE,
    MERGES,
    REGIONS,
    SOUND,
    TOKENS,
    VARIANTS,
    InMemory,
    model,
)

COUNT = int(os.environ.get("MODELSHELF_MEMO_VARIANTS", "330"))


def variant(kind, number):
    return VARIANTS[kind](random.Random(number))  # noqa: S311 - no secret


def read(content, memo=None):
    """A header as plain values, its fault told."""
    header = parse_header(InMemory(content), memo)
    fault = header.fault
    told = None if fault is None else (type(fault), fault.code, str(fault), fault.offset)
    return {**attrs.asdict(header, recurse=False), "fault": told}


def taught(*contents):
    memo = VocabularyMemo()
    for content in contents:
        read(content, memo)
    return memo


def with_learnt_arrays(content):
    """The same file with the strings of the file that was learnt from."""
    for begin, end in REGIONS:
        content = content[:begin] + SOUND[begin:end] + content[end:]
    return content


@pytest.mark.timeout(3600)  # as many variants as were asked for
def test_variants_of_a_remembered_file_read_as_they_read_when_walked():
    memo, kinds, unlike = taught(SOUND), list(VARIANTS), Counter()
    for number in range(COUNT):
        kind = kinds[number % len(kinds)]
        content = variant(kind, number)
        by_memo, walked = read(content, memo), read(content)
        if by_memo == walked:
            continue
        # Between the places that are looked at only these can differ, and only as the memo's page says.
        assert kind in ALTERED_IN_PLACE, number
        assert by_memo == read(with_learnt_arrays(content)), number
        assert by_memo["fault"] is None
        unlike[kind] += 1
    assert memo.tally.jumped > COUNT / 10
    assert memo.tally.refuted + unlike.total() > COUNT / 50


def test_a_repeated_vocabulary_is_jumped_over():
    memo = taught(SOUND)
    other = model(rows=7)
    file = InMemory(other)
    assert read(other, memo) == read(other)
    parse_header(file, memo)
    assert (memo.tally.headers, memo.tally.jumped, memo.tally.refuted) == (3, 2, 0)
    assert file._budget.spent < len(other) / 2


def test_a_long_repeated_vocabulary_costs_a_tenth_of_its_bytes():
    tokens = [one + b"y" * 60 for one in TOKENS * 3]
    content = model(tokens)
    memo = taught(content)
    file = InMemory(content)
    assert parse_header(file, memo).fault is None
    assert memo.tally.jumped == 1
    assert file._budget.spent < len(content) / 10


def test_revisions_of_a_vocabulary_that_end_otherwise_are_all_remembered():
    revisions = [model([*TOKENS[:-3], b"reserved" * number, b"x", b"y"]) for number in range(1, 4)]
    memo = taught(*revisions)
    before = memo.tally.jumped
    for content in revisions:
        assert read(content, memo) == read(content)
    assert memo.tally.jumped == before + 3


def test_a_hole_as_large_as_two_stretches_is_always_seen():
    begin, end = REGIONS[0]
    content = (
        SOUND[: begin + 4096] + bytes((end - begin) // 4 + 1024) + SOUND[begin + 5120 + (end - begin) // 4 :]
    )
    assert len(content) == len(SOUND)
    for _ in range(20):
        assert read(content, taught(SOUND)) == read(content)


def test_nothing_is_learnt_from_a_file_with_a_fault_or_with_bytes_to_spare():
    for content in (SOUND[:-40], SOUND + bytes(100), SOUND.replace(b"blk.0", b"\xff\xfe.0")):
        memo = taught(content, content)
        assert memo.tally.jumped == 0


def test_the_least_used_vocabularies_are_forgotten(monkeypatch):
    monkeypatch.setattr(vocabulary, "_MOST_KEYS", 4)
    memo = VocabularyMemo()
    contents = [model([b"%d" % number, *TOKENS[1:]], [b"%d" % number, *MERGES[1:]]) for number in range(5)]
    for content in contents:
        read(content, memo)
    assert len(memo._reaches) == 4
    read(contents[4], memo)
    assert memo.tally.jumped == 1
    read(contents[0], memo)
    assert memo.tally.jumped == 1


def disguised():
    """A file that a fresh memo takes for another; where the places are drawn decides, so it is tried anew."""
    for number in range(200):
        content = variant("a rest hidden in a string", number)
        memo = taught(SOUND)
        if read(content, memo) != read(content):
            return content, memo
    raise AssertionError("no jump was misled")


def test_a_disguised_file_is_named_at_full_depth(tmp_path, monkeypatch):
    content, memo = disguised()
    monkeypatch.setattr(vocabulary, "MEMO", memo)
    path = save(tmp_path, content)
    assert verdict(path).status is HealthStatus.HEALTHY
    result = verdict(path, depth=Depth.FULL)
    assert result.status is HealthStatus.UNHEALTHY
    assert "disguised-header" in result.codes


def test_an_altered_length_that_a_jump_passed_is_found_at_full_depth(tmp_path, monkeypatch):
    for number in range(200):
        content = variant("a length altered in place", number)
        memo = taught(SOUND)
        if read(content, memo)["fault"] is None and read(content)["fault"] is not None:
            break
    monkeypatch.setattr(vocabulary, "MEMO", memo)
    result = verdict(save(tmp_path, content), depth=Depth.FULL)
    assert result.status is HealthStatus.UNHEALTHY


@pytest.mark.parametrize("depth", [Depth.HEADER, Depth.FULL])
def test_a_remembered_file_is_as_healthy_the_second_time(tmp_path, monkeypatch, depth):
    monkeypatch.setattr(vocabulary, "MEMO", VocabularyMemo())
    path = save(tmp_path, SOUND)
    first, second = verdict(path, depth=depth), verdict(path, depth=depth)
    assert first.status is second.status is HealthStatus.HEALTHY
    assert first.metadata == second.metadata
    assert vocabulary.MEMO.tally.jumped >= 1
