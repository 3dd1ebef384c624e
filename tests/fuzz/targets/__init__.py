"""Entry points for a fuzzer that is guided by coverage: each module has ``one(content)`` and ``SEEDS``."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.formats import Case
from tests.fuzz.judge import Judge


def scanned_as(name: str) -> Callable[[bytes], None]:
    """What reads bytes as a scan reads a file of this name, and raises what should not have been raised."""
    judge = Judge()

    def one(content: bytes) -> None:
        verdict = judge.verdict(Case(name, content))
        if verdict.exceptions:
            raise AssertionError("; ".join(verdict.exceptions))

    return one
