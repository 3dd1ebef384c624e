"""What follows from a model's kind where no place says more; a kind that counts where none says one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from modelshelf.model.kind import USUAL, Kind, joined_capabilities

if TYPE_CHECKING:
    from modelshelf.model.metadata import ModelMetadata, Provenance

LIKELY_KIND = "likely_kind"
"""A detail that names the kind where no place says one: what tensor names hint at ranks below every word."""

_BY_KIND: dict[str, tuple[str, ...]] = {Kind.EMBEDDING: ("embedding",), Kind.RERANKER: ("rerank",)}
_OF_TALK = frozenset({"chat", "tools", "thinking", "vision", "audio"})
"""What only a model that writes text can do; a template that was copied along shows nothing."""


def with_likely(metadata: ModelMetadata, kind: str | None, place: Provenance) -> ModelMetadata:
    """The same partial metadata with a kind that counts only where no place says one, and who hints at it."""
    if kind is None:
        return metadata
    return attrs.evolve(
        metadata,
        details={**metadata.details, LIKELY_KIND: kind},
        provenance={**metadata.provenance, f"details.{LIKELY_KIND}": place},
    )


def with_usual(metadata: ModelMetadata) -> ModelMetadata:
    """The same metadata with what follows from its kind, where nothing was read: modalities, capabilities.

    Each such value has the provenance of what it follows from. Without a kind nothing follows, and nobody
    can tell what a template that was copied along shows.
    """
    values: dict[str, Any] = {}
    provenance = dict(metadata.provenance)
    kind = metadata.kind
    if LIKELY_KIND in metadata.details:
        details = dict(metadata.details)
        likely, values["details"] = details.pop(LIKELY_KIND), details
        place = provenance.pop(f"details.{LIKELY_KIND}", None)
        if kind is None:
            kind = values["kind"] = likely
            _cite(provenance, "kind", place)
    inputs = metadata.input_modalities
    usual = USUAL.get(kind or "")
    if usual is not None:
        inputs = inputs or usual.input
        for name, words in (("input_modalities", usual.input), ("output_modalities", usual.output)):
            if words is not None and getattr(metadata, name) is None:
                values[name] = words
                _cite(provenance, name, provenance.get("kind"))
    able, source = _able_to(metadata, kind, inputs or ())
    if able != (metadata.capabilities or ()):
        values["capabilities"] = able or None
        _cite(provenance, "capabilities", provenance.get("capabilities") or provenance.get(source))
        if not able:
            provenance.pop("capabilities", None)
    if not values:
        return metadata
    return attrs.evolve(metadata, **values, provenance=provenance)


def _cite(provenance: dict[str, Provenance], name: str, place: Provenance | None) -> None:
    if place is not None:
        provenance[name] = place


def _able_to(
    metadata: ModelMetadata, kind: str | None, inputs: tuple[str, ...]
) -> tuple[tuple[str, ...], str]:
    """What a model can do, and the field that shows what is new of it."""
    read = metadata.capabilities or ()
    place = metadata.provenance.get("capabilities")
    if place is not None and str(place.origin) == "user":
        return read, "capabilities"
    if kind != Kind.TEXT_GENERATION:
        more = _BY_KIND.get(kind or "", ())
        return joined_capabilities(tuple(word for word in read if word not in _OF_TALK), more), "kind"
    chat = ("chat",) if metadata.chat_template else ()
    vision = ("vision",) if "image" in inputs else ()
    audio = ("audio",) if "audio" in inputs else ()
    return joined_capabilities(read, chat, vision, audio), "chat_template" if chat else "input_modalities"
