from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.model import Origin, Provenance
from modelshelf_companions.card import MAX_BYTES, from_card, parse_card

CARD = b"""---
license: apache-2.0
language:
- en
- no
tags:
- text-generation
- llama
base_model: meta-llama/Llama-3.2-1B
pipeline_tag: text-generation
model_name: My Model
library_name: transformers
---
# My Model

---
license: mit
---
"""


def metadata_of(front: str):
    return from_card(parse_card(f"---\n{front}\n---\n".encode()), "README.md")


def test_a_card_tells_licence_tags_base_languages_task_and_title():
    metadata = from_card(parse_card(CARD), "README.md")
    assert (metadata.license, metadata.pipeline_tag, metadata.title) == (
        "apache-2.0",
        "text-generation",
        "My Model",
    )
    assert metadata.languages == ("en", "no")
    assert metadata.tags == ("text-generation", "llama")
    assert metadata.base_model == ("meta-llama/Llama-3.2-1B",)
    assert metadata.details == {"library_name": "transformers"}
    assert metadata.provenance["license"] == Provenance(Origin.CARD, "README.md")


@pytest.mark.parametrize("ending", [b"\r\n", b"\n"])
def test_line_endings_and_a_byte_order_mark_do_not_matter(ending):
    front = parse_card(b"\xef\xbb\xbf" + CARD.replace(b"\n", ending))
    assert front["license"] == "apache-2.0"


@pytest.mark.parametrize(
    ("front", "licence"),
    [
        ("license: other\nlicense_name: llama3.2", "llama3.2"),
        ("license: other", "other"),
        ("license: mit\nlicense_name: mine", "mit"),
        ("license_name: mine", "mine"),
        ("license: [mit, apache-2.0]", "mit, apache-2.0"),
        ("license: unknown", None),
        ("license: null", None),
        ("license:", None),
        ("license: {a: b}", None),
    ],
)
def test_a_licence_is_the_one_that_is_named(front, licence):
    assert metadata_of(front).license == licence


def test_the_title_may_stand_in_the_index_of_results():
    assert metadata_of("model-index:\n- name: Scored\n  results: []").title == "Scored"


@pytest.mark.parametrize("front", ["tags: x", "tags: [x, x, 1.5, [y], {z: z}]"])
def test_tags_are_texts_each_once(front):
    assert set(metadata_of(front).tags) <= {"x", "1.5"}
    assert metadata_of(front).tags[0] == "x"


@pytest.mark.parametrize("head", [b"", b"# Title", b"text\n---\nlicense: mit\n---\n", b"----\n", b"---"])
def test_a_card_without_front_matter_tells_nothing(head):
    assert parse_card(head) == {}


@pytest.mark.parametrize("front", ["", "# a comment", "{}", "~"])
def test_empty_front_matter_tells_nothing(front):
    assert metadata_of(front).fields_set() == ()


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("front", "fault"),
    [
        (BOMB, "aliases"),
        ("a: &a [*a]", "aliases"),
        # The YAML library has a limit of its own since 6.0.4, which it may come to first.
        ("a: " + "[" * 1000 + "]" * 1000, "too deep|nesting depth"),
        ("{" * 30_000, "too deep|nesting depth"),
        ("a: " + "[" * 200 + "]" * 200, "too deep"),
        ("- a\n- b", "no mapping"),
        ("just text", "no mapping"),
        ("a: [", "no YAML"),
        ("a: b: c", "no YAML"),
        ("\t- x", "no YAML"),
        ("? [a, b]\n: c", "no YAML"),
        ("a: \x01", "no YAML"),
        ("[a, b]", "no mapping"),
        ("a: *nothing", "aliases"),
    ],
)
def test_front_matter_that_is_hostile_or_broken_is_refused(front, fault):
    with pytest.raises(ValueError, match=fault):
        metadata_of(front)


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system", "!!python/name:os.system", "!unknown", "!!int"]
)
def test_tags_of_yaml_construct_nothing(tag):
    assert metadata_of(f"license: {tag} 'mit'").license == "mit"
    assert metadata_of(f"x: {tag} ['touch /tmp/x']\nlicense: mit").license == "mit"


def test_front_matter_that_does_not_end_is_refused():
    with pytest.raises(ValueError, match="does not end"):
        parse_card(b"---\n" + b"a: b\n" * MAX_BYTES)


def test_front_matter_that_is_not_utf8_is_refused():
    with pytest.raises(ValueError, match="UTF-8 at byte 7"):
        parse_card(b"---\na: \xff\n---\n")


@given(st.binary(max_size=200) | st.text(alphabet="-:[]{}&*!|>?'\"#%@`, \nab1~", max_size=80).map(str.encode))
@settings(deadline=None, max_examples=400)
def test_any_front_matter_is_read_or_refused(front):
    try:
        metadata = from_card(parse_card(b"---\n" + front + b"\n---\n"), "README.md")
    except ValueError:
        return
    assert all(isinstance(tag, str) for tag in metadata.tags or ())
