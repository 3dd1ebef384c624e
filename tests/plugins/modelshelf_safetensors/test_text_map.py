from __future__ import annotations

import pytest

from modelshelf.model import Severity
from modelshelf_safetensors import text_map
from modelshelf_safetensors.findings import MOST_NAMED, BoundedFindings
from modelshelf_safetensors.text_map import LONGEST_READ, LONGEST_VALUE, MOST_DETAILS, TextMap
from tests.plugins.modelshelf_safetensors.raw import TENSOR, strictly


def read(*parts: dict[str, str] | list[tuple[str, str]]) -> TextMap:
    """A map of these entries, added part by part."""
    entries = TextMap(BoundedFindings("header"))
    for part in parts:
        keys, values = zip(*(part.items() if isinstance(part, dict) else part), strict=True)
        entries.add(keys, values)
    return entries


def codes(entries: TextMap) -> list[str]:
    return [one.code for one in entries.findings.all()]


def test_the_first_entries_are_kept_and_those_that_name_a_thing():
    entries = read({f"k{at}": "v" for at in range(100)}, {"license": "MIT"}, {"k3": "w", "k99": "w"})
    assert list(entries.kept) == [*(f"k{at}" for at in range(MOST_DETAILS)), "license"]
    assert (entries.kept["k3"], entries.kept["license"]) == ("w", "MIT")


def test_of_a_value_the_beginning_is_kept():
    assert read({"k": "v" * 10_000}).kept == {"k": "v" * LONGEST_READ}


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_a_repeated_key_is_named_however_it_comes(parts):
    pairs = [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("b", "5"), ("a", "6")]
    step = -(-len(pairs) // parts)
    entries = read(*(pairs[at : at + step] for at in range(0, len(pairs), step)))
    assert codes(entries) == ["duplicate-metadata-key"] * 3
    assert entries.kept == {"a": "6", "b": "5", "c": "4"}


def test_many_repeated_keys_are_counted():
    entries = read([("k", "v")] * 500, [("k", "v")] * 500)
    assert codes(entries) == ["duplicate-metadata-key"] * (MOST_NAMED + 1)
    assert f"{999 - MOST_NAMED} more" in entries.findings.all()[-1].message


@pytest.mark.parametrize("step", [1, 3, 10, 11, 40])
def test_that_later_keys_are_not_compared_is_a_warning(monkeypatch, step):
    monkeypatch.setattr(text_map, "MOST_COMPARED", 10)
    pairs = [(f"k{at // 2}", "v") for at in range(40)]
    entries = read(*(pairs[at : at + step] for at in range(0, 40, step)))
    assert sorted(codes(entries)) == ["duplicate-metadata-key"] * 5 + ["metadata-not-judged"]
    assert {one.severity for one in entries.findings.all()} == {Severity.WARNING}
    assert codes(read(pairs[:10])).count("metadata-not-judged") == 0


@pytest.mark.parametrize("text", ["<script>", "a<IMG src=x>", "JavaScript:x"])
def test_markup_is_found_in_any_value(text):
    assert read({"a": "b"}, {"c": "d<e", "f": text, "g": text}).hostile.markup == "f"


@pytest.mark.parametrize(("key", "value"), [("\x1b", "v"), ("k", "\u202e"), ("k", "\x00")])
def test_controls_are_found_in_keys_and_values(key, value):
    assert read({"a": "b\n\t"}, {"c": "d", key: value}).hostile.controls
    assert not read({"a": "b\n\t"}).hostile.controls


def with_metadata(value: str) -> bytes:
    return b'{"__metadata__":{"title":"%s","k":"v"},%s' % (value.encode(), TENSOR[1:])


@pytest.mark.parametrize("unit", ["v", "é", "📦", "\\\\", "\\u00e9", "\\ud83d\\ude00"])
def test_a_value_past_a_mebibyte_is_not_kept_and_an_info_says_so(unit):
    header = strictly(with_metadata(unit * (LONGEST_VALUE // len(unit))))
    assert (header.findings, list(header.metadata)) == ((), ["title", "k"])
    header = strictly(with_metadata(unit * (LONGEST_VALUE // len(unit)) + "x" * len(unit)))
    (finding,) = header.findings
    assert (finding.code, finding.severity) == ("long-metadata-value", Severity.INFO)
    assert "'title'" in finding.message
    assert header.metadata == {"k": "v"}


def test_what_is_hostile_at_the_beginning_of_a_long_value_is_found():
    assert strictly(with_metadata("<script>" + "v" * LONGEST_VALUE)).hostile.markup == "title"
    assert strictly(with_metadata("v" * LONGEST_VALUE + "<script>")).hostile.markup is None


def test_a_key_past_a_mebibyte_is_not_kept():
    header = strictly(with_metadata("").replace(b"title", b"t" * (LONGEST_VALUE + 1)))
    assert [one.code for one in header.findings] == ["long-metadata-value"]
    assert header.metadata == {"k": "v"}
