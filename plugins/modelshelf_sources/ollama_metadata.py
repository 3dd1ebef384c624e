"""What Ollama itself knows of a model, out of the small layers of its manifest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from modelshelf_sources.documents import (
    UnusableDocumentError,
    count_of,
    parse_json,
    parse_object,
    read_bytes,
    read_head,
    text_of,
    texts_of,
)
from modelshelf_sources.ollama_manifest import Layer, Manifest

_MOST_CONFIG_BYTES = 1024 * 1024

_MOST_TEXT_BYTES = 64 * 1024

_MOST_PARAMETERS = 64

_TEXTS = {"template": "template", "prompt": "template", "system": "system", "license": "license_text"}

BlobPath = Callable[[Layer], "str | None"]
"""The path of a layer's blob, or None where it is not there."""


def config_of(manifest: Manifest, path_of: BlobPath) -> dict[str, Any]:
    """The object that describes the model; empty where there is none that can be read."""
    path = None if manifest.config is None else path_of(manifest.config)
    if path is None:
        return {}
    try:
        return parse_object(read_bytes(path, _MOST_CONFIG_BYTES), path)
    except UnusableDocumentError:
        return {}


def facts_of(manifest: Manifest, config: dict[str, Any], path_of: BlobPath) -> dict[str, Any]:
    """What goes into the record; keys that are fields of `ModelMetadata` become those."""
    facts: dict[str, Any] = {
        "tag": text_of(manifest.full_name),
        "manifest_digest": manifest.digest,
        "total_bytes": manifest.size,
        "pulled_at": manifest.modified,
        "architecture": _word(config.get("model_family")),
        "parameter_count": _word(config.get("model_type")),
        "quantization": _word(config.get("file_type")),
        "context_length": count_of(config.get("context_length")),
        "embedding_length": count_of(config.get("embedding_length")),
        "model_format": _word(config.get("model_format")),
        "families": list(texts_of(config.get("model_families"))) or None,
        "capabilities": list(texts_of(config.get("capabilities"))) or None,
    }
    for key, text in _texts(manifest, path_of):
        facts.setdefault(key, text)
    if "license_text" in facts:
        facts["license"] = licence_name(facts["license_text"])
    if "template" in facts:
        facts["chat_template"] = True
    for layer in manifest.of_kind("params"):
        facts["parameters_set"] = _parameters(layer, path_of)
    for layer in manifest.of_kind("messages"):
        facts["messages"] = _messages(layer, path_of)
    return {key: value for key, value in facts.items() if value not in (None, "", [])}


def _word(value: object) -> str | None:
    text = text_of(value, 100)
    return None if text is None or text.lower() == "unknown" else text


def _texts(manifest: Manifest, path_of: BlobPath) -> Iterator[tuple[str, str]]:
    for layer in manifest.of_kind(*_TEXTS):
        path = path_of(layer)
        if path is None:
            continue
        try:
            text = text_of(read_head(path, _MOST_TEXT_BYTES).decode("utf-8", "replace"))
        except UnusableDocumentError:
            continue
        if text is not None:
            yield _TEXTS[layer.kind], text


def _parameters(layer: Layer, path_of: BlobPath) -> list[str] | None:
    """The parameters that the model is run with, as ``ollama show`` writes them: ``stop <|eot|>``."""
    content = _json(layer, path_of)
    if not isinstance(content, dict):
        return None
    pairs = [
        (key, one)
        for key, value in content.items()
        for one in (value if isinstance(value, list) else [value])
        if isinstance(one, str | int | float | bool)
    ]
    return [text for key, value in pairs[:_MOST_PARAMETERS] if (text := text_of(f"{key} {value}", 256))]


def _messages(layer: Layer, path_of: BlobPath) -> list[str] | None:
    content = _json(layer, path_of)
    if not isinstance(content, list):
        return None
    told = [one for one in content[:_MOST_PARAMETERS] if isinstance(one, dict)]
    return [text for one in told if (text := text_of(f"{one.get('role')}: {one.get('content')}", 1024))]


def _json(layer: Layer, path_of: BlobPath) -> Any:
    path = path_of(layer)
    if path is None:
        return None
    try:
        return parse_json(read_bytes(path, _MOST_CONFIG_BYTES), path)
    except UnusableDocumentError:
        return None


_LOOKED_AT = 2000  # characters

# The first that matches stands: a community licence quotes others further down.
_TITLES = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"llama\s+(\d(?:\.\d)?)\s+community\s+license", r"llama\1"),
        (r"apache\s+license\s*,?\s*version\s+2\.0", "apache-2.0"),
        (r"gemma\s+terms\s+of\s+use", "gemma"),
        (r"tongyi\s+qianwen|qwen\s+license|qwen\s+research\s+license", "qwen"),
        (r"deepseek\s+license\s+agreement", "deepseek"),
        (r"\bmit\s+license\b|permission is hereby granted, free of charge, to any person", "mit"),
        (r"gnu\s+affero\s+general\s+public\s+license", "agpl-3.0"),
        (r"gnu\s+lesser\s+general\s+public\s+license", "lgpl-3.0"),
        (r"gnu\s+general\s+public\s+license", "gpl-3.0"),
        (r"attribution-noncommercial\s+4\.0|cc[- ]by[- ]nc[- ]4\.0", "cc-by-nc-4.0"),
        (r"attribution\s+4\.0|cc[- ]by[- ]4\.0", "cc-by-4.0"),
        (r"redistribution and use in source and binary forms", "bsd"),
    )
)


def licence_name(text: str) -> str | None:
    """The licence that a text is, as the Hub names it; None where its title is not known."""
    head = " ".join(text[:_LOOKED_AT].split())
    found = [(match.start(), match.expand(name)) for title, name in _TITLES if (match := title.search(head))]
    return min(found)[1] if found else None
