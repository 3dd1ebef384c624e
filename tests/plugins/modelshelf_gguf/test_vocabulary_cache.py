from __future__ import annotations

import os
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.model import Depth, HealthStatus
from modelshelf.model.health import status_of
from modelshelf.reader import ArtifactReader, LocalFile
from modelshelf_gguf import modelshelf_probe_health, vocabulary_cache
from modelshelf_gguf.parse import parse_header
from modelshelf_gguf.vocabulary_cache import VocabularyCache
from tests.plugins.modelshelf_gguf.forge import save, verdict
from tests.plugins.modelshelf_gguf.variants import (
    ALTERED_IN_PLACE,
    MERGES,
    REGIONS,
    SOUND,
    TOKENS,
    VARIANTS,
    Far,
    Near,
    model,
)
from tests.support import artifact_of

COUNT = int(os.environ.get("MODELSHELF_MEMO_VARIANTS", "330"))


def variant(kind, number):
    return VARIANTS[kind](random.Random(number))  # noqa: S311 - no secret


def read(file, cache=None):
    """A header as a dict, its fault as values that can be compared."""
    header = parse_header(file, cache)
    fault = header.fault
    values = None if fault is None else (type(fault), fault.code, str(fault), fault.offset)
    return {**attrs.asdict(header, recurse=False), "fault": values}


def filled(*contents):
    cache = VocabularyCache()
    for content in contents:
        read(Near(content), cache)
    return cache


FILLED = filled(SOUND)


def with_cached_arrays(content):
    """The same file with the strings of the sound file."""
    for begin, end in REGIONS:
        content = content[:begin] + SOUND[begin:end] + content[end:]
    return content


def variants(count):
    kinds = list(VARIANTS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        yield number, kind, variant(kind, number)


@pytest.mark.timeout(3600)  # as many variants as were asked for
def test_variants_in_memory_of_a_cached_file_read_as_they_read_when_walked():
    cache = filled(SOUND)
    for number, kind, content in variants(COUNT):
        assert read(Near(content), cache) == read(Near(content)), (number, kind)
    assert cache.counters.hits > COUNT / 10
    assert cache.counters.sampled_hits == cache.counters.wrong_guesses == 0


@pytest.mark.timeout(3600)
def test_variants_to_be_fetched_read_as_when_walked_or_as_their_sound_twin():
    cache, unlike = filled(SOUND), Counter()
    for number, kind, content in variants(COUNT):
        by_cache, walked = read(Far(content), cache), read(Far(content))
        if by_cache == walked:
            continue
        # Between the places that are looked at only these can differ, and only as the cache's module says.
        assert kind in ALTERED_IN_PLACE, number
        assert by_cache == read(Far(with_cached_arrays(content))), number
        assert by_cache["fault"] is None
        unlike[kind] += 1
    assert cache.counters.sampled_hits > COUNT / 10
    assert cache.counters.wrong_guesses + unlike.total() > COUNT / 50


@settings(deadline=None, max_examples=100)
@given(number=st.integers(0, 10**9), flips=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 7))))
def test_any_bits_flipped_in_memory_read_as_when_walked(number, flips):
    content = bytearray(variant("another rest", number))
    for at, bit in flips:
        content[at % len(content)] ^= 1 << bit
    assert read(Near(bytes(content)), FILLED) == read(Near(bytes(content)))


@pytest.mark.parametrize("reader", [Near, Far])
def test_a_repeated_vocabulary_is_skipped(reader):
    cache = filled(SOUND)
    other = model(rows=7)
    assert read(reader(other), cache) == read(reader(other))
    parse_header(reader(other), cache)
    assert (cache.counters.headers, cache.counters.hits, cache.counters.wrong_guesses) == (3, 2, 0)
    assert cache.counters.sampled_hits == (2 if reader is Far else 0)


def test_what_is_in_memory_is_compared_in_full_and_counted():
    file = Near(SOUND)
    parse_header(file, filled(SOUND))
    assert file._budget.spent > sum(end - begin for begin, end in REGIONS)


def test_a_long_repeated_vocabulary_that_must_be_fetched_costs_a_tenth_of_its_bytes():
    tokens = [one + b"y" * 60 for one in TOKENS * 3]
    content = model(tokens)
    cache = filled(content)
    file = Far(content)
    assert parse_header(file, cache).fault is None
    assert cache.counters.sampled_hits == 1
    assert file._budget.spent < len(content) / 10


class HalfNear(Near):
    """A file whose end is in memory and whose beginning is not."""

    def matches_cached(self, offset, expected):
        return None if offset < self.size // 2 else super().matches_cached(offset, expected)


def test_a_file_that_is_in_memory_in_part_is_sampled():
    cache = filled(SOUND)
    assert read(HalfNear(SOUND), cache) == read(HalfNear(SOUND))
    assert cache.counters.sampled_hits == 1


@pytest.mark.parametrize("reader", [Near, Far])
def test_revisions_of_a_vocabulary_that_end_otherwise_are_all_cached(reader):
    revisions = [model([*TOKENS[:-3], b"reserved" * number, b"x", b"y"]) for number in range(1, 4)]
    cache = filled(*revisions)
    before = cache.counters.hits
    for content in revisions:
        assert read(reader(content), cache) == read(reader(content))
    assert cache.counters.hits == before + 3


def test_a_hole_of_a_whole_stretch_is_seen_by_samples():
    begin, end = REGIONS[0]
    content = SOUND[: begin + 4096] + bytes(end - begin - 4096) + SOUND[end:]
    assert len(content) == len(SOUND)
    for _ in range(20):
        assert read(Far(content), filled(SOUND)) == read(Far(content))


def test_samples_are_drawn_elsewhere_each_time():
    class Listening(Far):
        def _fetch(self, offset, length):
            fetched.add((offset, length))
            return super()._fetch(offset, length)

    cache, samples = filled(SOUND), []
    for _ in range(3):
        fetched = set()
        parse_header(Listening(SOUND), cache)
        samples.append(frozenset(fetched))
    assert len(set(samples)) == 3


def test_nothing_is_cached_of_a_file_with_a_fault_or_with_bytes_to_spare():
    for content in (SOUND[:-40], SOUND + bytes(100), SOUND.replace(b"blk.0", b"\xff\xfe.0")):
        cache = filled(content, content)
        assert cache.counters.hits == 0


def other_vocabulary(number):
    return model([b"%d" % number, *TOKENS[1:]], [b"%d" % number, *MERGES[1:]])


def kept(cache):
    return sum(array.size for arrays in (cache._new, cache._hit) for array in arrays)


def test_the_least_recently_used_vocabularies_are_removed(monkeypatch):
    size = sum(end - begin for begin, end in REGIONS)
    monkeypatch.setattr(vocabulary_cache, "MAX_NEW_BYTES", 3 * size)
    cache = VocabularyCache()
    contents = [other_vocabulary(number) for number in range(4)]
    for content in contents:
        read(Near(content), cache)
    assert 2 * size < kept(cache) <= 3 * size
    assert len(cache._by_key) == 6
    read(Near(contents[3]), cache)
    assert cache.counters.hits == 1
    read(Near(contents[0]), cache)
    assert cache.counters.hits == 1


def test_vocabularies_with_hits_outlive_any_number_of_others(monkeypatch):
    size = sum(end - begin for begin, end in REGIONS)
    monkeypatch.setattr(vocabulary_cache, "MAX_NEW_BYTES", 3 * size)
    monkeypatch.setattr(vocabulary_cache, "MAX_HIT_BYTES", 2 * size)
    cache = filled(SOUND, SOUND)
    for number in range(6):
        read(Near(other_vocabulary(number)), cache)
    read(Near(SOUND), cache)
    assert cache.counters.hits == 2
    for number in range(6, 9):
        twice = [Near(other_vocabulary(number)) for _ in range(2)]
        for file in twice:
            read(file, cache)
    assert kept(cache) <= 5 * size
    read(Near(SOUND), cache)
    assert cache.counters.hits == 5


def test_threads_that_remove_each_others_vocabularies_read_as_when_walked(monkeypatch):
    size = sum(end - begin for begin, end in REGIONS)
    monkeypatch.setattr(vocabulary_cache, "MAX_NEW_BYTES", 2 * size)
    monkeypatch.setattr(vocabulary_cache, "MAX_HIT_BYTES", 2 * size)
    cache, contents = VocabularyCache(), [other_vocabulary(number % 7) for number in range(70)]
    with ThreadPoolExecutor(8) as pool:
        by_cache = list(pool.map(lambda content: read(Near(content), cache), contents))
    assert by_cache == [read(Near(content)) for content in contents]
    assert kept(cache) <= 4 * size
    assert sum(map(len, cache._by_key.values())) == sum(
        1 for arrays in (cache._new, cache._hit) for _ in arrays
    )


def test_an_array_that_is_too_large_is_not_kept(monkeypatch):
    monkeypatch.setattr(vocabulary_cache, "MAX_NEW_BYTES", 50_000)
    cache = filled(SOUND, SOUND)
    assert kept(cache) == cache.counters.hits == 0


def test_a_string_longer_than_a_window_leaves_a_gap_that_is_compared_with_nothing():
    def long(sign):
        return model([*TOKENS[:4500], b"x" * 300_000 + sign + b"x" * 300_000, *TOKENS[4501:]])

    cache = filled(long(b"a"))
    assert kept(cache) < 400_000
    file = Near(long(b"b"))
    assert read(file, cache) == read(Near(long(b"b")))
    assert cache.counters.hits == 1
    cut = long(b"a")[:300_000]
    assert read(Near(cut), cache) == read(Near(cut))


class OnDisk(LocalFile):
    """A file on a disk, of which the page cache holds nothing."""

    def matches_cached(self, offset, expected):  # noqa: ARG002 - as the reader's
        return None


def fetched(path, depth, monkeypatch):
    """What is found in a file on a cold disk by a process that has SOUND in its cache."""
    monkeypatch.setattr(vocabulary_cache, "PROCESS_CACHE", filled(SOUND))
    with ArtifactReader(
        artifact_of(path), lambda _, one, budget: OnDisk(str(path), one.name, budget, one)
    ) as reader:
        findings = list(modelshelf_probe_health(reader.artifact, "gguf", reader, depth) or ())
    return status_of(findings), {finding.code for finding in findings}


def disguised():
    """Files that are taken for another where they must be fetched, as long as the samples miss the change."""
    for number in range(200):
        content = variant("a rest hidden in a string", number)
        if read(Far(content), filled(SOUND)) != read(Far(content)):
            yield content


def test_a_disguised_file_is_named_at_full_depth(tmp_path, monkeypatch):
    for content in disguised():
        status, codes = fetched(save(tmp_path, content), Depth.FULL, monkeypatch)
        assert ("disguised-header" in codes) == (vocabulary_cache.PROCESS_CACHE.counters.hits > 0)
        if "disguised-header" in codes:
            assert status is HealthStatus.UNHEALTHY
            return
    raise AssertionError("no guess was wrong")


def test_an_altered_length_behind_a_wrong_guess_is_found_at_full_depth(tmp_path, monkeypatch):
    passed = 0
    for number in range(20):
        content = variant("a length altered in place", number)
        if read(Far(content))["fault"] is None:
            continue
        path = save(tmp_path, content)
        passed += fetched(path, Depth.HEADER, monkeypatch)[0] is HealthStatus.HEALTHY
        assert fetched(path, Depth.FULL, monkeypatch)[0] is HealthStatus.UNHEALTHY
    assert passed


def test_a_disguised_file_in_memory_is_not_taken_for_another(tmp_path, monkeypatch):
    path = save(tmp_path, next(disguised()))
    monkeypatch.setattr(vocabulary_cache, "PROCESS_CACHE", filled(SOUND))
    assert "disguised-header" not in verdict(path, depth=Depth.FULL).codes
    assert vocabulary_cache.PROCESS_CACHE.counters.sampled_hits == 0


@pytest.mark.parametrize("depth", [Depth.HEADER, Depth.FULL])
def test_a_cached_file_is_as_healthy_the_second_time(tmp_path, monkeypatch, depth):
    monkeypatch.setattr(vocabulary_cache, "PROCESS_CACHE", VocabularyCache())
    path = save(tmp_path, SOUND)
    first, second = verdict(path, depth=depth), verdict(path, depth=depth)
    assert first.status is second.status is HealthStatus.HEALTHY
    assert first.metadata == second.metadata
    assert vocabulary_cache.PROCESS_CACHE.counters.hits >= 1
