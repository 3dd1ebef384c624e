"""The memo that keeps what runs of tensor records set: it answers as a dict that holds everything would."""

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
        st.tuples(st.just("entries")),
    ),
    max_size=40,
)


class Run:
    """Stands for a run of records; only the memo's side of it is asked for."""

    def __init__(self, slot: int, slots: int) -> None:
        self.slot, self.slots = slot, slots

    def memo(self) -> list[object]:
        return [("of a run", slot) for slot in range(self.slot, self.slot + self.slots)]


@given(STEPS)
@settings(deadline=None)
def test_runs_are_entries_like_others(steps: list[tuple]) -> None:
    memo, plain = Memo(), {}
    for kind, *told in steps:
        if kind == "put":
            memo[told[0]] = plain[told[0]] = "put"
        elif kind == "run":
            run = Run(memo.free + told[1], told[0])
            memo.add(run)
            plain.update(enumerate(run.memo(), run.slot))
        elif kind == "get":
            if told[0] in plain:
                assert memo[told[0]] == plain[told[0]]
            else:
                with pytest.raises(KeyError):
                    memo[told[0]]
        else:
            assert memo.entries == len(plain)
            assert not memo.runs
        assert memo.free == max(plain, default=-1) + 1
        set_again = sum(slot in memo for run in memo.runs for slot in range(run.slot, run.slot + run.slots))
        assert memo.held == len(plain) + set_again


def calls_of(work: Callable[[], object]) -> int:
    """How many Python functions it calls, generators that go on included."""
    calls = 0

    def count(_frame: object, event: str, _told: object) -> None:
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
            memo.add(Run(memo.free, 9))
        memo[memo.free] = "put"
        return calls_of(lambda: (memo.held, memo.free, memo[9 * (runs // 2)], memo[memo.free - 1]))

    assert ask(1000) <= ask(10) + 20
