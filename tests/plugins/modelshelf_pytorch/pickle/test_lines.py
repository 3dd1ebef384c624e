"""Arguments that end with a newline: what the C unpickler makes of them is what counts."""

from __future__ import annotations

import pickle

import pytest

from modelshelf_pytorch.pickle.audit import Verdict, audit
from modelshelf_pytorch.pickle.machine import Machine
from modelshelf_pytorch.readers import BytesReader
from tests.plugins.modelshelf_pytorch.forge import EVIL

LONG = 3 << 20


def run(data: bytes):
    return Machine(BytesReader(data), 0, len(data)).run()


@pytest.mark.parametrize(
    "line",
    [
        b"I1\0junk", b"I\0junk", b"I0x10", b"I010", b"I-01", b"I 1", b"I1 ", b"I1_0", b"I01", b"I00", b"I-1",
        b"L1\0junk", b"L0x1fL", b"L 1 L", b"L-5L",
    ],
)  # fmt: skip
def test_a_number_is_what_the_c_unpickler_reads(line):
    value = pickle.loads(line + b"\n.")  # noqa: S301 - a constant of this test
    outcome = run(line + b"\n.")
    assert (outcome.value, type(outcome.value)) == (value, type(value))


@pytest.mark.parametrize("line", [b"I", b"I1x", b"I08", b"L\0junk", b"L1L\0L", b"F\0junk", b"F1_0"])
def test_a_number_that_the_c_unpickler_refuses_is_refused(line):
    with pytest.raises((ValueError, pickle.UnpicklingError)):
        pickle.loads(line + b"\n.")  # noqa: S301 - a constant of this test
    assert not run(line + b"\n.").stopped


@pytest.mark.parametrize("memo", [b"Np0\0junk\ng0\0junk\n", b"Np+0\ng 0 \n"])
def test_memo_indices_are_c_strings_too(memo):
    assert pickle.loads(memo + b".") is None  # noqa: S301 - a constant of this test
    assert run(memo + b".").stopped


@pytest.mark.parametrize("start", [b"V", b"I1\0", b"F1\0", b"L1\0", b"S'"])
def test_a_line_of_any_length_is_passed_over_and_what_follows_is_judged(start):
    data = start + b"x" * LONG + (b"'" if start == b"S'" else b"") + b"\n0" + EVIL
    result = audit(data)
    assert result.verdict is Verdict.DANGEROUS
    assert [use.name for use in result.globals] == ["system"]


def test_a_call_is_found_whatever_names_follow_it():
    outcome = run(EVIL[:-1] + b"c\x01\n\x02\n.")
    assert outcome.convinces(at_start=False)
