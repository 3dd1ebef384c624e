from __future__ import annotations

import math
from pathlib import Path

import pytest

from modelshelf.model import MemoryEstimate
from modelshelf_fit.llama_cpp import estimate
from tests.plugins.modelshelf_fit.truth import MIB, Row, absent, facts_of, rows

pytestmark = absent
HYBRID = {"lfm2_1b", "qwen35_27b"}
BOUNDS = dict.fromkeys([*HYBRID, "deepseek_v2_lite_mla", "mamba_2_8b", "bge_m3"], (0.75, 1.25))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("truth")


@pytest.fixture(params=rows(), ids=lambda row: f"{row.model} {row.settings}", name="row")
def _row(request: pytest.FixtureRequest) -> Row:
    return request.param


@pytest.fixture(name="answer")
def _answer(row: Row, folder: Path) -> MemoryEstimate:
    return estimate(facts_of(row.model, folder), row.request)


def test_the_caches_of_keys_and_values_are_the_engines(row: Row, answer: MemoryEstimate) -> None:
    given = {(one.cells, one.layers): (one.k_bytes / MIB, one.v_bytes / MIB) for one in answer.kv}
    for cells, layers, k, v in row.kv:
        assert given[cells, layers] == pytest.approx((k, v), abs=0.01)
    cached = (answer.kv_bytes + answer.state_bytes) / MIB
    assert math.floor(cached) == row.cached


def test_the_recurrent_state_is_the_engines(row: Row, answer: MemoryEstimate) -> None:
    assert answer.state_bytes / MIB == pytest.approx(row.state or 0, abs=0.01)


def test_the_weights_and_the_output_are_the_engines(row: Row, answer: MemoryEstimate) -> None:
    assert sum(answer.weights_bytes.values()) / MIB == pytest.approx(row.weights, abs=1)
    assert answer.output_bytes / MIB == pytest.approx(row.output, abs=0.01)


def test_the_middle_of_the_compute_buffers_is_near_the_engines(row: Row, answer: MemoryEstimate) -> None:
    middle = math.sqrt(answer.compute_low_bytes * answer.compute_high_bytes) / MIB
    low, high = BOUNDS.get(row.model, (0.90, 1.10))
    assert low <= middle / (row.compute or row.buffers) <= high


def test_the_engines_compute_buffers_lie_below_the_high_end(row: Row, answer: MemoryEstimate) -> None:
    assert (row.compute or row.buffers) <= answer.compute_high_bytes / MIB
