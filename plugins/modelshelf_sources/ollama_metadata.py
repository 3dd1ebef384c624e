"""Read what Ollama itself knows of a model, out of the small layers of its manifest.

Licenses are recognised by their titles: libraries compare with the texts of SPDX's list, which has none of
the models' own licenses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from modelshelf.model.kind import capabilities_of_template, joined_capabilities
from modelshelf_sources.documents import (
    UnusableDocumentError,
    count_of,
    parse_json,
    read_bytes,
    read_head,
    text_of,
    texts_of,
)
from modelshelf_sources.ollama_manifest import Layer, Manifest
from modelshelf_sources.tool_kinds import ollama_facts

_MAX_CONFIG_BYTES = 1024 * 1024

_MAX_TEXT_BYTES = 64 * 1024

_MAX_PARAMETERS = 64

_TEXTS = {"template": "template", "prompt": "template", "system": "system", "license": "license_text"}
_LICENSE_HEAD = 2000  # characters

# The first match in the text counts: a community license quotes others further down.
_LICENSE_TITLES = tuple(
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

_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
_CONFIG_COUNTS = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "head_count": "num_attention_heads",
    "head_count_kv": "num_key_value_heads",
    "vocab_size": "vocab_size",
}

BlobPath = Callable[[Layer], "str | None"]
"""Gives the path of a layer's blob, or None where it is not there."""


def read_config(manifest: Manifest, path_of: BlobPath) -> dict[str, Any]:
    """Read the model's configuration; empty where there is none that can be read."""
    content = None if manifest.config is None else _read_json(manifest.config, path_of)
    return content if isinstance(content, dict) else {}


def facts_of(manifest: Manifest, config: dict[str, Any], path_of: BlobPath) -> dict[str, Any]:
    """Collect what goes into the record; keys that are fields of `ModelMetadata` become those."""
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
        **ollama_facts(texts_of(config.get("capabilities"))),
    }
    for key, value in _of_tensors(manifest, path_of):
        facts[key] = facts.get(key) or value
    for key, text in _texts(manifest, path_of):
        facts.setdefault(key, text)
    if "license_text" in facts:
        facts["license"] = license_name(facts["license_text"])
    if "template" in facts:
        facts["chat_template"] = True
        able = capabilities_of_template(facts["template"])
        facts["capabilities"] = list(joined_capabilities(tuple(facts.get("capabilities") or ()), able))
    for layer in manifest.of_kind("params"):
        facts["parameters_set"] = _parameters(layer, path_of)
    for layer in manifest.of_kind("messages"):
        facts["messages"] = _messages(layer, path_of)
    return {key: value for key, value in facts.items() if value not in (None, "", [])}


def _of_tensors(manifest: Manifest, path_of: BlobPath) -> Iterator[tuple[str, Any]]:
    """Read the ``config.json`` that is a layer of a model of many blobs, one for each tensor."""
    for layer in manifest.of_kind("json"):
        content = _read_json(layer, path_of) if layer.name == "config.json" else None
        if not isinstance(content, dict):
            continue
        yield "architecture", _word(content.get("model_type"))
        parts = [content, *(one for key in _PARTS if isinstance(one := content.get(key), dict))]
        for field, key in _CONFIG_COUNTS.items():
            yield field, next((one for part in parts if (one := count_of(part.get(key)))), None)


def _word(value: object) -> str | None:
    text = text_of(value, 100)
    return None if text is None or text.lower() == "unknown" else text


def _texts(manifest: Manifest, path_of: BlobPath) -> Iterator[tuple[str, str]]:
    """Read the layers that are text, with the keys of their facts."""
    for layer in manifest.of_kind(*_TEXTS):
        path = path_of(layer)
        if path is None:
            continue
        try:
            text = text_of(read_head(path, _MAX_TEXT_BYTES).decode("utf-8", "replace"))
        except UnusableDocumentError:
            continue
        if text is not None:
            yield _TEXTS[layer.kind], text


def _parameters(layer: Layer, path_of: BlobPath) -> list[str] | None:
    """Read the parameters that the model is run with, as ``ollama show`` writes them: ``stop <|eot|>``."""
    content = _read_json(layer, path_of)
    if not isinstance(content, dict):
        return None
    pairs = [
        (key, item)
        for key, value in content.items()
        for item in (value if isinstance(value, list) else [value])
        if isinstance(item, str | int | float | bool)
    ]
    return [text for key, value in pairs[:_MAX_PARAMETERS] if (text := text_of(f"{key} {value}", 256))]


def _messages(layer: Layer, path_of: BlobPath) -> list[str] | None:
    content = _read_json(layer, path_of)
    if not isinstance(content, list):
        return None
    messages = [item for item in content[:_MAX_PARAMETERS] if isinstance(item, dict)]
    lines = (f"{message.get('role')}: {message.get('content')}" for message in messages)
    return [text for line in lines if (text := text_of(line, 1024))]


def _read_json(layer: Layer, path_of: BlobPath) -> Any:
    """Read the JSON value that a layer is; None where it cannot be read."""
    path = path_of(layer)
    if path is None:
        return None
    try:
        return parse_json(read_bytes(path, _MAX_CONFIG_BYTES), path)
    except UnusableDocumentError:
        return None


def license_name(text: str) -> str | None:
    """Name the license that a text is, as the Hub does, by its title; None where that is not known."""
    head = " ".join(text[:_LICENSE_HEAD].split())
    found = [
        (match.start(), match.expand(name))
        for title, name in _LICENSE_TITLES
        if (match := title.search(head))
    ]
    return min(found)[1] if found else None
