from __future__ import annotations

import struct
import tracemalloc

import pytest

from modelshelf.model import HealthStatus
from modelshelf_gguf.limits import Allowance
from modelshelf_gguf.parse import parse_header
from tests.plugins.modelshelf_gguf import forge
from tests.plugins.modelshelf_gguf.forge import file, pair, save, string, tensor, verdict
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
    assert 0 < kept <= Allowance().items
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
