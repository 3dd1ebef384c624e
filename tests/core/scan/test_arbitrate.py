from __future__ import annotations

import itertools

from modelshelf.model import Detection
from modelshelf.scan.examine import Vote, arbitrate


def vote(name: str, confidence: float, plugin: str = "p") -> Vote:
    return Vote(plugin=plugin, detection=Detection(format=name, confidence=confidence))


def test_the_highest_confidence_wins_in_any_order() -> None:
    votes = [vote("a", 0.2), vote("b", 0.9), vote("c", 0.5)]
    for order in itertools.permutations(votes):
        chosen = arbitrate(order, frozenset({"a"}))
        assert chosen is not None
        assert chosen.detection.format == "b"


def test_a_tie_goes_to_the_format_of_the_ending_then_to_the_first_name() -> None:
    votes = [vote("b", 0.5), vote("a", 0.5), vote("c", 0.5)]
    for order in itertools.permutations(votes):
        by_suffix, by_name = arbitrate(order, frozenset({"c"})), arbitrate(order, frozenset())
        assert by_suffix is not None
        assert by_name is not None
        assert (by_suffix.detection.format, by_name.detection.format) == ("c", "a")


def test_nobodys_and_zero_votes_win_nothing() -> None:
    assert arbitrate([], frozenset()) is None
    assert arbitrate([vote("a", 0.0)], frozenset({"a"})) is None
