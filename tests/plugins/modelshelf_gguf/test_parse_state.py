"""What one header may cost, counted in bytes; a small file that lies about a size costs no more."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from modelshelf.model import HealthStatus
from modelshelf_gguf.parse import parse_header
from modelshelf_gguf.parse_state import HeaderBudget
from tests.plugins.modelshelf_gguf import forge
from tests.plugins.modelshelf_gguf.forge import file, pair, save, string, tensor, verdict
from tests.plugins.modelshelf_gguf.variants import Near
from tests.support import reader_of

MEBI = 1024 * 1024


def strings(key, count, one):
    return string(key) + struct.pack("<IIQ", 9, 8, count) + one * count


def parsed_with_peak(path):
    with reader_of(path) as reader:
        tracemalloc.start()
        header = parse_header(reader.file())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return header, peak


def test_a_vocabulary_of_a_million_tokens_is_healthy_and_costs_no_memory(tmp_path):
    tokens = strings(b"tokenizer.ggml.tokens", 1_000_000, string(b"token"))
    merges = strings(b"tokenizer.ggml.merges", 2_000_000, string(b"to ken"))
    path = save(tmp_path, file([tokens, merges]))
    header, peak = parsed_with_peak(path)
    assert (header.fault, header.count("tokenizer.ggml.tokens")) == (None, 1_000_000)
    assert peak < 2 * MEBI


def test_ten_thousand_tensors_are_healthy(tmp_path):
    tensors = [tensor(b"blk.%d.weight" % index, (8,), 0, 32 * index) for index in range(10_000)]
    result = verdict(save(tmp_path, file([], tensors, b"\1" * 320_000)))
    assert (result.status, result.metadata.parameters) == (HealthStatus.HEALTHY, 80_000)


ABUSES = {
    "more strings than any vocabulary": file([strings(b"a", 4_000_001, bytes(8))]),
    "strings over many arrays": file([strings(b"k%d" % index, 1_000_000, bytes(8)) for index in range(5)]),
    "more tensors than any model": b"GGUF" + struct.pack("<IQQ", 3, 65_537, 0) + bytes(24 * 65_537),
    "more key-values than any model": b"GGUF" + struct.pack("<IQQ", 3, 0, 65_537) + bytes(16 * 65_537),
    "arrays of arrays": file([string(b"a") + struct.pack("<IIQ", 9, 9, 10_001) + bytes(12 * 10_001)]),
    "arrays nested deep": file([string(b"a") + b"\t\0\0\0" + struct.pack("<IQ", 9, 1) * 2_000 + bytes(12)]),
    "keys without end": file([pair(b"%05d" % index + b"k" * 65_000, forge.U8, 1) for index in range(300)]),
}


@pytest.mark.parametrize("case", ABUSES)
def test_a_header_made_to_waste_time_or_memory_is_refused(tmp_path, case):
    path = save(tmp_path, ABUSES[case])
    header, peak = parsed_with_peak(path)
    assert header.fault is not None
    assert header.fault.code == "header-too-large"
    assert peak < 64 * MEBI


def test_many_small_arrays_are_read_on_when_no_more_are_kept(tmp_path):
    arrays = [pair(b"k%d" % index, forge.ARRAY, (forge.F64, [0.5] * 500)) for index in range(1000)]
    header, peak = parsed_with_peak(save(tmp_path, file(arrays)))
    kept = sum(len(field.value or ()) for field in header.fields.values())
    assert (header.fault, len(header.fields)) == (None, 1000)
    assert 0 < kept <= HeaderBudget().items
    assert peak < 8 * MEBI


def test_texts_are_read_on_when_no_more_are_kept(tmp_path):
    texts = [pair(b"k%d" % index, forge.STRING, b"x" * 60_000) for index in range(400)]
    header, peak = parsed_with_peak(save(tmp_path, file(texts)))
    assert (header.fault, len(header.fields)) == (None, 400)
    assert header.fields["k399"].value is None
    assert peak < 20 * MEBI


@pytest.mark.parametrize("fields", [2**16, 2**32, 2**63, 2**64 - 1])
def test_a_lying_count_allocates_nothing(tmp_path, fields):
    path = save(tmp_path, b"GGUF" + struct.pack("<IQQ", 3, fields, fields) + bytes(900))
    header, peak = parsed_with_peak(path)
    assert header.fault is not None
    assert peak < MEBI


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

MAX_GROWTH = 256 * 1024


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
        assert peak < MAX_GROWTH, at
