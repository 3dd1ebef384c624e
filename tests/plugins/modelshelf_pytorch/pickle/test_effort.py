"""Strings made to be searched for ever: the search is bounded, and reports that it was."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.model import Depth
from modelshelf_pytorch.containers.issues import examine
from modelshelf_pytorch.pickle.audit import audit
from modelshelf_pytorch.pickle.embedded import Effort, find_call, find_hidden
from modelshelf_pytorch.readers import BytesReader
from tests.plugins.modelshelf_pytorch.forge import EVIL, EVIL_4, Entry, archive

MANY = (b"\x80\x02" + b"N0" * 100) * 20  # each beginning goes on to the end


def codes(data: bytes) -> list[str]:
    return [issue.code for issue in examine(BytesReader(data), Depth.HEADER)]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([MANY + b"%d" % number for number in range(100)], id="strings"),
        pytest.param(MANY * 60, id="one long string"),
    ],
)
def test_strings_that_could_be_searched_for_ever_are_reported_once(value):
    result = audit(pickle.dumps(value))
    assert [issue.code for issue in result.issues] == ["not-judged"]


def test_all_streams_and_all_members_share_one_effort():
    stream = pickle.dumps(MANY)
    assert codes(stream * 90).count("not-judged") == 1
    assert "not-judged" not in codes(stream)
    members = [Entry(name=b"a/%d.txt" % number, content=MANY) for number in range(90)]
    assert codes(archive(*members)).count("not-judged") == 1
    assert "not-judged" not in codes(archive(members[0]))
    inner = [Entry(name=b"a/%d.zip" % number, content=archive(members[0])) for number in range(90)]
    assert codes(archive(*inner)).count("not-judged") == 1


def test_an_effort_that_is_spent_ends_the_search_and_says_so():
    effort = Effort(1000)
    assert list(find_hidden(MANY, effort=effort)) == []
    assert effort.spent
    enough = Effort()
    assert len(list(find_hidden(b"some text " + EVIL_4, effort=enough))) == 1
    assert not enough.spent


@pytest.mark.parametrize("before", [b"", b"text\n", b"c" * 5000, b"(" * 20 + b"cc", b"x\ny\nz\n" * 9])
def test_a_pickle_that_names_a_global_by_lines_is_found_behind_anything(before):
    found = [use.name for hidden in find_hidden(before + EVIL) for use in hidden.outcome.globals]
    assert "system" in found


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')",
        "x = eval ( x )",
        "eval\n('1')",
        "eval(((((1)",
        "(eval((eval((eval('x')",
        "eval()\nos.system('ls') # (",
        "subprocess.run(['ls'], check=True)",
    ],
)
def test_a_call_with_an_argument_is_code(text):
    assert find_call(text.encode()) is not None


@pytest.mark.parametrize(
    "text", ["eval()", "eval(((", "eval(\n'1')", "medieval('1')", "eval(''", "(eval(" * 20_000]
)
def test_a_call_without_an_argument_or_an_end_is_not(text):
    assert find_call(text.encode()) is None


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(["eval", "(", ")", "\n", "'", " ", "x", "os.system", ","]), max_size=25))
def test_code_is_found_as_one_expression_would_find_it(parts):
    import re

    text = "".join(parts).encode()
    whole = re.search(rb"(?:^|[;\n\s=(,'\"])(?:eval|os\.system)\s*\([^)\n]*['\"\w][^\n]*\)", text)
    assert (find_call(text) is None) == (whole is None)
