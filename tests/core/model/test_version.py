from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf import InvalidVersionError, ModelVersion

# The order that section 11 of SemVer 2.0.0 spells out.
ASCENDING = [
    "0.9.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "2.0.0",
    "2.1.0",
    "2.1.1",
]


@pytest.mark.parametrize(("older", "newer"), list(pairwise(ASCENDING)))
def test_precedence_is_that_of_semver(older: str, newer: str) -> None:
    a, b = ModelVersion.parse(older), ModelVersion.parse(newer)
    assert a.compare(b) < 0 < b.compare(a)
    assert a < b
    assert sorted([b, a]) == [a, b]


def test_build_metadata_does_not_count_for_precedence_but_tells_versions_apart() -> None:
    a, b = ModelVersion.parse("1.0.0+a"), ModelVersion.parse("1.0.0+b")
    assert a.compare(b) == 0
    assert a != b
    assert sorted([b, a]) == [a, b]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.2",
        "01.2.3",
        "1.2.3-",
        "1.2.3-01",
        "1.2.3+",
        "1.2.3 ",
        "v1.2.3",
        "-1.2.3",
        "1.2.3-a..b",
        "1.2.3-ä",
        "1.2.3\n",
        "1.2.³",
    ],
)
def test_what_is_no_version_is_refused_and_named(text: str) -> None:
    with pytest.raises(InvalidVersionError) as caught:
        ModelVersion.parse(text)
    assert caught.value.text == text
    assert repr(text) in str(caught.value)


def test_a_version_of_a_million_digits_is_refused_at_once() -> None:
    with pytest.raises(InvalidVersionError):
        ModelVersion.parse("1" * 1_000_000 + ".0.0")


@pytest.mark.parametrize("wrong", [-1, 1.0, True, "1"])
def test_a_part_that_is_no_whole_number_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidVersionError):
        ModelVersion(major=wrong)  # type: ignore[arg-type]


number = st.integers(0, 10**9)
identifier = st.from_regex(r"[A-Za-z-][0-9A-Za-z-]{0,5}", fullmatch=True)


@given(number, number, number, st.none() | identifier, st.none() | identifier)
def test_text_and_value_are_two_forms_of_one_thing(
    major: int, minor: int, patch: int, pre: str | None, build: str | None
) -> None:
    version = ModelVersion(major=major, minor=minor, patch=patch, prerelease=pre, build=build)
    assert ModelVersion.parse(str(version)) == version
    assert version.next_patch() > version
