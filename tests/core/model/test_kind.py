"""What follows from a model's kind, and what a template shows by its text."""

from __future__ import annotations

import pytest

from modelshelf.model import Kind, ModelMetadata, Origin, Provenance, merge_metadata
from modelshelf.model.kind import Modalities, capabilities_of_template
from modelshelf.model.usual import LIKELY_KIND, with_likely, with_usual


def read(origin: Origin = Origin.HEADER, place: str = "key", **values: object) -> ModelMetadata:
    return ModelMetadata.partial(origin, place, **values)


def test_a_whole_stands_alone_and_a_part_does_not() -> None:
    assert Kind.TEXT_GENERATION.stands_alone
    assert Kind("reranker").stands_alone
    parts = {one for one in Kind if not one.stands_alone}
    assert {"adapter", "projector", "draft", "denoiser", "vae", "optimizer-state"} < parts


def test_a_kind_says_what_goes_in_and_comes_out_where_nothing_else_does() -> None:
    metadata = with_usual(read(kind="text-to-speech"))
    assert metadata.modalities == Modalities(("text",), ("audio",))
    assert metadata.provenance["output_modalities"] == Provenance(Origin.HEADER, "key")
    seeing = with_usual(read(kind="text-generation", input_modalities=("text", "image")))
    assert seeing.modalities == Modalities(("text", "image"), ("text",))
    assert seeing.capabilities == ("vision",)


def test_nothing_follows_without_a_kind_nor_from_one_of_a_part() -> None:
    for one in (ModelMetadata(), read(kind="vae"), read(kind="of my own")):
        assert with_usual(one) == one


@pytest.mark.parametrize(
    ("kind", "capabilities"),
    [
        ("text-generation", ("chat", "tools")),
        ("embedding", ("embedding",)),
        ("reranker", ("rerank",)),
        ("adapter", None),
    ],
)
def test_a_template_that_was_copied_along_makes_nothing_a_chat_model(
    kind: str, capabilities: tuple[str, ...] | None
) -> None:
    metadata = with_usual(read(kind=kind, chat_template=True, capabilities=("tools",)))
    assert metadata.capabilities == capabilities
    assert ("capabilities" in metadata.provenance) == (capabilities is not None)


def test_capabilities_of_several_places_come_together_but_for_those_of_a_person() -> None:
    tool, header = read(Origin.SOURCE, "ollama", capabilities=("vision",)), read(capabilities=("thinking",))
    merged = merge_metadata([tool, header])
    assert merged.capabilities == ("vision", "thinking")
    assert merged.provenance["capabilities"].origin is Origin.HEADER
    mine = merge_metadata([tool, header, read(Origin.USER, "", capabilities=("chat",))])
    assert mine.capabilities == ("chat",)
    assert with_usual(mine).capabilities == ("chat",)


def test_a_likely_kind_counts_only_where_no_place_says_one() -> None:
    hint = with_likely(read(format="gguf"), "embedding", Provenance(Origin.HEADER, "tensor names"))
    alone = with_usual(merge_metadata([hint]))
    assert alone.kind == "embedding"
    assert alone.provenance["kind"] == Provenance(Origin.HEADER, "tensor names")
    beside = with_usual(merge_metadata([hint, read(Origin.CARD, "README.md", kind="reranker")]))
    assert beside.kind == "reranker"
    for one in (alone, beside):
        assert LIKELY_KIND not in one.details
        assert f"details.{LIKELY_KIND}" not in one.provenance


@pytest.mark.parametrize(
    ("template", "capabilities"),
    [
        ("{% for message in messages %}{{ message.content }}{% endfor %}", ()),
        ("{%- if tools %}{{ tools | tojson }}{% endif %}", ("tools",)),
        ("{% for t in message.tool_calls %}{{ t }}{% endfor %}", ("tools",)),
        ("{%- if .Tools }}{{ .Tools }}{{ end }}", ("tools",)),
        ("{% if not enable_thinking %}<think></think>{% endif %}", ("thinking",)),
        ("Reasoning: {{ reasoning_effort }}", ("thinking",)),
        ("{{ tools is defined }}{{ message.reasoning_content }}", ("tools", "thinking")),
    ],
)
def test_a_template_shows_tools_and_thoughts(template: str, capabilities: tuple[str, ...]) -> None:
    assert capabilities_of_template(template) == capabilities
