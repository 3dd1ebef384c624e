"""What is examined comes together for one commit, and never waits long for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelshelf.model import Artifact, ArtifactFile
from modelshelf.scan import batches
from modelshelf.scan.batches import Examined, batched, gathered
from modelshelf.scan.examine import Examination

PAIR = (Artifact(folder="/models", primary="a.gguf", files=()), Examination())


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(batches.time, "monotonic", lambda: self.now)

    def parts(self, *seconds: float) -> Iterator[Examined]:
        """One part after another, each after so many seconds of work."""
        for taken in seconds:
            self.now += taken
            yield [PAIR] * 32


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_what_comes_together_quickly_is_one_commit_up_to_a_bound(clock: Clock) -> None:
    assert [len(some) for some in gathered(clock.parts(*[0.001] * 20))] == [512, 128]


def test_what_takes_long_does_not_wait_for_more(clock: Clock) -> None:
    assert [len(some) for some in gathered(clock.parts(0.6, 0.6, 0.3, 0.3, 0.1))] == [32, 32, 64, 32]


def test_nothing_is_no_commit(clock: Clock) -> None:
    assert list(gathered(clock.parts())) == []


def test_what_was_examined_before_a_failure_is_given_first(clock: Clock) -> None:
    def failing() -> Iterator[Examined]:
        yield from clock.parts(0.6)
        raise KeyboardInterrupt

    some = gathered(failing())
    assert len(next(some)) == 32
    with pytest.raises(KeyboardInterrupt):
        next(some)


def test_large_files_share_a_call_with_few_others() -> None:
    def artifact(size: int) -> Artifact:
        one = ArtifactFile(name="a.gguf", size=size, mtime_ns=0)
        return Artifact(folder="/models", primary=one.name, files=(one,))

    assert [len(batch) for batch in batched([artifact(100)] * 70)] == [32, 32, 6]
    assert [len(batch) for batch in batched([artifact(1 << 40)] * 20)] == [8, 8, 4]
