"""The memo with runs of tensor records in it answers as a dict of all their values would."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_pytorch.pickle.tensor_run import Memo

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 60)),
        st.tuples(st.just("run"), st.integers(1, 9), st.integers(0, 5)),
        st.tuples(st.just("get"), st.integers(0, 80)),
        st.tuples(st.just("size")),
    ),
    max_size=40,
)


class Run:
    """Stands for a run of records; only the memo's side of it is asked for."""

    def __init__(self, first_index: int, index_count: int) -> None:
        self.first_index, self.index_count = first_index, index_count

    def memo_values(self) -> list[object]:
        return [("of a run", index) for index in range(self.first_index, self.first_index + self.index_count)]


@given(STEPS)
@settings(deadline=None)
def test_runs_are_entries_like_others(steps: list[tuple]) -> None:
    memo, expected = Memo(), {}
    for kind, *arguments in steps:
        if kind == "put":
            memo[arguments[0]] = expected[arguments[0]] = "put"
        elif kind == "run":
            run = Run(memo.next_free + arguments[1], arguments[0])
            memo.add(run)
            expected.update(enumerate(run.memo_values(), run.first_index))
        elif kind == "get":
            if arguments[0] in expected:
                assert memo[arguments[0]] == expected[arguments[0]]
            else:
                with pytest.raises(KeyError):
                    memo[arguments[0]]
        else:
            assert memo.size == len(expected)
            assert not memo.runs
        assert memo.next_free == max(expected, default=-1) + 1
        set_again = sum(
            index in memo
            for run in memo.runs
            for index in range(run.first_index, run.first_index + run.index_count)
        )
        assert memo.size_at_most == len(expected) + set_again


def calls_of(work: Callable[[], object]) -> int:
    """How many Python functions it calls, generators that go on included."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def test_what_the_memo_is_asked_costs_alike_however_many_runs_there_are() -> None:
    def ask(runs: int) -> int:
        memo = Memo()
        for _ in range(runs):
            memo.add(Run(memo.next_free, 9))
        memo[memo.next_free] = "put"
        return calls_of(
            lambda: (memo.size_at_most, memo.next_free, memo[9 * (runs // 2)], memo[memo.next_free - 1])
        )

    assert ask(1000) <= ask(10) + 20
