"""The verdict in the word that people see: by the worst finding's concern, in one precedence."""

from __future__ import annotations

import pytest

from modelshelf import Concern, Finding, HealthStatus, Location, ModelConfig
from modelshelf.model.health import not_judged, status_of, verdict_of
from modelshelf.model.status import VERDICTS


def finding(severity: str, concern: str | None = None, code: str = "odd") -> Finding:
    if concern is None:
        return Finding(code=code, severity=severity, message="m")
    return Finding(code=code, severity=severity, message="m", concern=concern)


def verdict(*findings: Finding) -> str:
    return verdict_of(findings, status_of(findings))


@pytest.mark.parametrize(
    ("concern", "word"),
    [
        ("safety", "unsafe"),
        ("damage", "damaged"),
        ("incomplete", "incomplete"),
        ("doubt", "doubtful"),
        ("foreign", "foreign"),
    ],
)
@pytest.mark.parametrize("severity", ["warning", "error"])
def test_the_worst_findings_concern_names_the_verdict(severity: str, concern: str, word: str) -> None:
    assert verdict(finding("info", "safety"), finding(severity, concern), not_judged("cut")) == word


def test_of_equally_severe_findings_the_first_in_precedence_counts() -> None:
    concerns = ["foreign", "doubt", "incomplete", "damage", "safety"]
    words = [verdict(*[finding("error", one) for one in concerns[: n + 1]]) for n in range(len(concerns))]
    assert words == ["foreign", "doubtful", "incomplete", "damaged", "unsafe"]
    assert [one for one in VERDICTS if one in words] == words[::-1]


def test_a_more_severe_finding_counts_before_a_graver_concern() -> None:
    assert verdict(finding("warning", "safety"), finding("error", "damage")) == "damaged"


def test_infos_leave_a_model_healthy_whatever_they_are_about() -> None:
    assert verdict(finding("info", "safety"), finding("info")) == "healthy"
    assert verdict() == "healthy"


def test_what_was_not_judged_is_not_healthy_and_a_foreign_file_is_foreign() -> None:
    assert verdict(not_judged("cut")) == "not judged"
    foreign = finding("info", "foreign")
    assert verdict(foreign, not_judged("cut")) == "foreign"
    assert status_of([foreign]) is HealthStatus.UNKNOWN


@pytest.mark.parametrize(
    ("severity", "code", "concern"),
    [
        ("error", "odd", Concern.DAMAGE),
        ("error", "truncated", Concern.INCOMPLETE),
        ("error", "missing-shard", Concern.INCOMPLETE),
        ("warning", "odd", Concern.DOUBT),
        ("info", "odd", None),
    ],
)
def test_a_finding_that_names_no_concern_has_the_usual_one(severity: str, code: str, concern: object) -> None:
    assert finding(severity, code=code).concern is concern


def test_a_status_that_a_server_set_decides_where_the_findings_do_not_explain_it() -> None:
    assert verdict_of((), HealthStatus.UNHEALTHY) == "damaged"
    assert verdict_of((finding("error", "safety"),), HealthStatus.HEALTHY) == "healthy"
    assert verdict_of((finding("error", "safety"),), HealthStatus.LOADING) == "unsafe"


def test_missing_and_offline_come_before_all_else() -> None:
    unsafe = finding("error", "safety", code="evil")
    gone = Location(path="/m/a.pt", folder="/m", missing=True)
    model = ModelConfig(id="a", findings=[unsafe], health_status=HealthStatus.UNHEALTHY, locations=[gone])
    assert model.current_verdict == model.verdict == "unsafe"
    missing = ModelConfig(id="a", findings=[unsafe], locations=[gone], missing_since=1)
    assert missing.current_verdict == "missing"
    away = Location(path="/m/a.pt", folder="/m", missing=True, offline=True)
    assert ModelConfig(id="a", locations=[away], missing_since=1).current_verdict == "offline"
