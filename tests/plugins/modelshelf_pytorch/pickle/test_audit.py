from __future__ import annotations

import base64
import os
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_pytorch.pickle.audit import Verdict, audit
from modelshelf_pytorch.readers import BytesReader
from tests.fuzz.pickles import DANGEROUS, generate
from tests.plugins.modelshelf_pytorch.forge import EVIL, EVIL_4

HOSTILE = int(os.environ.get("MODELSHELF_FUZZ_PICKLES", "10000"))


def test_every_generated_route_to_a_call_is_dangerous():
    missed = [data for data in generate(HOSTILE) if audit(data).verdict is not Verdict.DANGEROUS]
    assert missed == []


@pytest.mark.parametrize("name", DANGEROUS)
def test_a_dangerous_global_is_named(name):
    """CVE-2025-1716, CVE-2025-10157 and their like: the verdict asks for no list of them."""
    module, _, attribute = name.partition(" ")
    result = audit(f"c{module}\n{attribute}\n.".encode())
    assert result.verdict is Verdict.DANGEROUS
    (use,) = result.globals
    assert f"{use.module}.{use.name}" in result.findings[0].message


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_give_a_verdict_and_no_exception(data):
    assert audit(data).verdict in Verdict


def test_the_findings_name_file_and_offset():
    result = audit(EVIL_4, name="model.pkl")
    assert [(one.file, one.offset, one.code) for one in result.findings] == [
        ("model.pkl", 17, "unsafe-global")
    ]


INNER = pickle.dumps({"inner": [1, 2]})


@pytest.mark.parametrize(
    "hidden",
    [
        EVIL_4,
        INNER,
        b"junk" + EVIL_4,
        EVIL,
        EVIL.decode(),
        EVIL_4.decode("latin-1"),
        base64.b64encode(EVIL_4).decode(),
        base64.b64encode(EVIL),
        base64.urlsafe_b64encode(EVIL_4).decode().rstrip("="),
        base64.encodebytes(EVIL_4 + EVIL_4).decode(),
        "data:application/octet-stream;base64," + base64.b64encode(EVIL_4).decode(),
        EVIL_4.hex(),
        EVIL.hex().upper(),
        base64.b64encode(EVIL_4.hex().encode()).decode(),
        bytes(70_000) + EVIL_4,
        "x " * 70_000 + base64.b64encode(EVIL_4).decode(),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_in_a_string_degrades(hidden, protocol):
    result = audit(pickle.dumps({"config": hidden}, protocol))
    assert result.verdict is Verdict.SUSPICIOUS
    assert "embedded-pickle" in {issue.code for issue in result.issues}


@pytest.mark.parametrize(
    "text",
    [
        "os.system('id')",
        "import os; os.system('id')",
        "__import__('os').popen('id')",
        "exec(open('x').read())",
    ],
)
def test_code_in_a_string_degrades_as_text_and_encoded(text):
    for one in (text, text.encode(), base64.b64encode(text.encode()).decode()):
        assert audit(pickle.dumps([one])).verdict is Verdict.SUSPICIOUS


@pytest.mark.parametrize(
    "text",
    [
        "model.layers.0.self_attn.q_proj.weight",
        "the system evaluates (and executes) prompts",
        "eval(",
        "exec",
        "deadbeef" * 40,
        "eyJoaWRkZW5fc2l6ZSI6IDc2OCwgIm51bV9sYXllcnMiOiAxMn0=",
        "ABCD1234" * 100,
        "evaluation (on the dev set)",
    ],
)
def test_ordinary_text_is_clean(text):
    assert audit(pickle.dumps({text: [text, text.encode()]})).verdict is Verdict.CLEAN


@settings(deadline=None, max_examples=100)
@given(st.binary(min_size=100, max_size=3000))
def test_random_bytes_in_a_string_are_clean(data):
    assert audit(pickle.dumps({"blob": b"\x01" + data})).verdict is Verdict.CLEAN


def test_numpy_arrays_are_a_warning_and_objects_in_them_are_judged():
    import numpy as np

    assert audit(pickle.dumps(np.ones(3))).verdict is Verdict.SUSPICIOUS
    assert audit(pickle.dumps(np.array([1, "a", None], dtype=object))).verdict is Verdict.SUSPICIOUS
    assert audit(pickle.dumps(np.array([print], dtype=object))).verdict is Verdict.DANGEROUS


@pytest.mark.parametrize("before", [1500, 4999])
def test_an_attack_behind_many_harmless_streams_is_named(before):
    result = audit(b"N." * before + EVIL)
    assert result.verdict is Verdict.DANGEROUS
    assert result.globals[-1].name == "system"


def test_more_streams_than_are_judged_are_not_healthy():
    result = audit(b"N." * 700_000 + EVIL)
    assert result.verdict is Verdict.NOT_JUDGED
    assert "not-judged" in {issue.code for issue in result.issues}


def test_many_streams_cost_little_more_than_their_bytes():
    streams = b"".join(pickle.dumps(list(range(number, number + 200))) for number in range(4000))
    reader = BytesReader(streams)
    assert audit(reader).issues == ()
    assert reader._budget.spent < 2 * len(streams)


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(b"U\x01\xff0" * 100, id="suspicious"),
        pytest.param(b"I010\n0" * 100, id="malformed"),
        pytest.param(b"".join(b"ctorch.device\n" + b"x%d\n0" % number for number in range(60)), id="named"),
        pytest.param(b"".join(b"(I%d\n]e0" % number for number in range(100)), id="many kinds"),
    ],
)
def test_no_number_of_other_issues_crowds_out_an_attack(noise):
    result = audit(b"\x80\x02" + noise + EVIL)
    assert result.verdict is Verdict.DANGEROUS
    assert any("os.system" in finding.message for finding in result.findings)


@pytest.mark.parametrize("junk", [b"\n", b"\0\0", b"xyz", b"\xff" * 7, bytes(60)])
@pytest.mark.parametrize(
    "attack",
    [EVIL, EVIL_4, EVIL_4[2:], b"\x80\x00" + EVIL_4[2:], b"]cos\nsystem\na.", b"}Va\ncos\nsystem\nQs."],
)
def test_junk_between_two_streams_hides_nothing(junk, attack):
    result = audit(pickle.dumps([1]) + junk + attack)
    assert result.verdict is Verdict.DANGEROUS
    assert any("system" in finding.message for finding in result.findings)


def test_an_issue_is_reported_once():
    result = audit(b"\x80\x02" + b"U\x01\xff0" * 9 + b"N.")
    assert [issue.code for issue in result.issues] == ["python2-bytes"]
