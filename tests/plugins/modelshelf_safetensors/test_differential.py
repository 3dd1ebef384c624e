"""Mutated headers: what we call healthy the reference loads, and what it refuses we never call healthy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from modelshelf.errors import ReadError
from modelshelf.model import HealthStatus
from modelshelf.model.health import status_of
from modelshelf.reader import Budget, FileReader
from modelshelf_safetensors.header import read_header
from modelshelf_safetensors.health import file_findings
from tests.plugins.modelshelf_safetensors.raw import fault_of_reference

GOOD = save(
    {
        "layer.weight": np.zeros((2, 3), np.float32),
        "layer.bias": np.zeros(3, np.float16),
        "mask": np.zeros((0, 7), np.bool_),
        "ids": np.zeros((), np.int64),
    },
    {"format": "pt", "note": 'a "quoted" \\ té'},
)
HEADER_END = 8 + int.from_bytes(GOOD[:8], "little")

# Where we are stricter than the reference on purpose.
STRICTER = {
    "duplicate-tensor",
    "duplicate-metadata-key",
    "leading-whitespace",
    "null-metadata",
    "unknown-tensor-field",
}

PIECES = st.sampled_from(
    b'" { } [ ] , : 0 1 24 -0 1.0 null NaN \\ud800 \\n \t \0 \xff F32 F16 BF16 F4 U8 dtype shape data_offsets'
    b' "x":1, "__metadata__":{}, "mask": [0,7] [2,3] \xc3\xa9 18446744073709551616'.split(b" ")
) | st.just(b" ")


class InMemory(FileReader):
    def __init__(self, content: bytes) -> None:
        super().__init__("model.safetensors", Budget())
        self.content = content
        self.size = len(content)

    def _fetch(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]

    def close(self) -> None:
        pass


def verdict(content: bytes) -> tuple[HealthStatus, set[str]]:
    file = InMemory(content)
    try:
        findings = list(file_findings(read_header(file), file))
    except ReadError as error:
        return HealthStatus.UNHEALTHY, {error.code}
    return status_of(findings), {finding.code for finding in findings}


def agrees(content: bytes) -> None:
    status, codes = verdict(content)
    fault = fault_of_reference(content)
    if status is HealthStatus.HEALTHY:
        assert fault is None, (codes, fault)
    elif fault is None:
        assert status is HealthStatus.DEGRADED
        assert codes & STRICTER


@st.composite
def mutated_headers(draw):
    header = GOOD[8:HEADER_END].rstrip(b" ")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(header)))
        cut = draw(st.integers(0, 4))
        header = header[:at] + draw(PIECES | st.binary(max_size=2)) + header[at + cut :]
    return len(header).to_bytes(8, "little") + header + GOOD[HEADER_END:]


@given(mutated_headers())
@settings(deadline=None, max_examples=600)
def test_mutated_headers_get_the_verdict_of_the_reference(content):
    agrees(content)


@st.composite
def mutated_values(draw):
    """Headers that are good JSON with one value another: what random bytes hardly ever make."""
    header = GOOD[8:HEADER_END].decode()
    old = draw(st.sampled_from(["[2,3]", "[3]", "[0,7]", "[]", "[0,8]", '"F32"', '"F16"', '"BOOL"', '"I64"']))
    numbers = st.integers(0, 40) | st.sampled_from([2**32, 2**63, 2**64 - 1, 2**64])
    new = draw(st.lists(numbers, max_size=4).map(str) | st.sampled_from(['"U8"', '"F4"', '"C64"', '"BF16"']))
    raw = header.replace(old, new, 1).encode()
    return len(raw).to_bytes(8, "little") + raw + GOOD[HEADER_END:]


@given(mutated_values())
@settings(deadline=None, max_examples=300)
def test_changed_values_get_the_verdict_of_the_reference(content):
    agrees(content)


@given(st.binary(max_size=120))
@settings(deadline=None, max_examples=300)
def test_random_bytes_raise_nothing_but_read_errors(content):
    agrees(content)
    agrees(len(content).to_bytes(8, "little") + content)


@given(st.integers(0, len(GOOD) - 1))
@settings(deadline=None, max_examples=100)
def test_a_file_cut_anywhere_is_unhealthy(length):
    assert verdict(GOOD[:length])[0] is HealthStatus.UNHEALTHY
