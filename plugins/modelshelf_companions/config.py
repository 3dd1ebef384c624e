"""The JSON files beside the weights: ``config.json`` and its kin.

Keys are those that transformers' configuration classes write, under their older names too, Mistral's and
Meta's ``params.json``, diffusers' ``model_index.json`` and PEFT's ``adapter_config.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelshelf.model import ModelMetadata, Origin, Provenance
from modelshelf.model.kind import Kind, capabilities_of_template
from modelshelf.model.usual import with_likely
from modelshelf_companions.dimensions import context_of, kv_heads_of, memory_details
from modelshelf_companions.documents import count_of, text_of, texts_of
from modelshelf_companions.kinds import adapter_details, kind_of_config, kind_of_diffusers, likely_kind

Members = Mapping[str, Any]

COUNTS: dict[str, tuple[str, ...]] = {
    "context_length": (
        "max_position_embeddings",
        "n_positions",
        "max_sequence_length",
        "max_seq_len",
        "seq_length",
        "max_seq_length",
        "n_ctx",
    ),
    "embedding_length": ("hidden_size", "n_embd", "d_model", "dim"),
    "block_count": ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers"),
    "head_count": ("num_attention_heads", "n_head", "num_heads", "n_heads", "decoder_attention_heads"),
    "head_count_kv": (
        "num_key_value_heads",
        "n_kv_heads",
        "num_kv_heads",
        "n_head_kv",
        "multi_query_group_num",
    ),
    "vocab_size": ("vocab_size", "padded_vocab_size"),
}
"""The keys of each field that is a count, the most common key first."""

_NESTED = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where multimodal models have the language model's part."""

_QUANTIZATIONS = ("quantization", "quantization_config", "compression_config")


def from_config(members: Members, file: str) -> ModelMetadata:
    """Read ``config.json`` or ``params.json``."""
    parts = _language_parts(members)
    values: dict[str, Any] = {}
    keys: dict[str, str] = {}
    for name, candidates in COUNTS.items():
        found = next(
            ((key, number) for part in parts for key in candidates if (number := count_of(part.get(key)))),
            None,
        )
        if found is not None:
            keys[name], values[name] = f"{file} {found[0]}", found[1]
    for name, found in (("context_length", context_of(parts)), ("head_count_kv", kv_heads_of(parts))):
        if found is not None:
            keys[name], values[name] = f"{file} {found[0]}", found[1]
    # A diffusers component and its pipeline name their class instead.
    classes = texts_of(members.get("architectures")) or texts_of(members.get("_class_name")) or (None,)
    dtypes = (text_of(part.get("torch_dtype")) or text_of(part.get("dtype")) for part in parts)
    dtype = next(filter(None, dtypes), None)
    details: dict[str, Any] = {
        "torch_dtype": dtype,
        "transformers_version": text_of(members.get("transformers_version")),
    }
    details |= memory_details(parts)
    kind = kind_of_config(members)
    metadata = ModelMetadata.partial(
        Origin.CONFIG,
        file,
        architecture=text_of(members.get("model_type")) or classes[0],
        quantization=_quantization(parts),
        **kind,
        details={key: value for key, value in details.items() if value is not None},
        **values,
    ).cite(**keys)
    likely = None if "kind" in kind else likely_kind(members)
    return with_likely(metadata, likely, Provenance(Origin.CONFIG, f"{file} model_type"))


def from_tokenizer_config(members: Members, file: str) -> ModelMetadata:
    """Read ``tokenizer_config.json``; of a chat template only whether there is one."""
    template = members.get("chat_template")
    able = {word for text in texts_of_template(template) for word in capabilities_of_template(text)}
    return ModelMetadata.partial(
        Origin.CONFIG,
        file,
        tokenizer=text_of(members.get("tokenizer_class")),
        chat_template=True if isinstance(template, str | list) and template else None,
        capabilities=sorted(able) or None,
    )


def texts_of_template(template: Any) -> list[str]:
    """Return the texts of a chat template, or of a list of named ones."""
    several = template if isinstance(template, list) else [template]
    texts = [one.get("template") if isinstance(one, dict) else one for one in several]
    return [one for one in texts if isinstance(one, str)]


def from_adapter_config(members: Members, file: str) -> ModelMetadata:
    """Read PEFT's ``adapter_config.json``."""
    details = adapter_details(members)
    return ModelMetadata.partial(
        Origin.CONFIG,
        file,
        kind=Kind.ADAPTER.value if "adapter" in details else None,
        base_model=texts_of(members.get("base_model_name_or_path")) or texts_of(members.get("model")),
        details=details,
    )


def from_pipeline(members: Members, file: str) -> ModelMetadata:
    """Read diffusers' ``model_index.json``."""
    name = text_of(members.get("_class_name"))
    kind = kind_of_diffusers(name) if name else {}
    return ModelMetadata.partial(Origin.CONFIG, file, architecture=name, **kind)


def from_sentence_transformers(members: Members, file: str) -> ModelMetadata:
    """Read ``config_sentence_transformers.json``, which every model of that library has."""
    is_pair = members.get("model_type") == "CrossEncoder"
    return ModelMetadata.partial(
        Origin.CONFIG, file, kind=(Kind.RERANKER if is_pair else Kind.EMBEDDING).value
    )


def from_nothing(_: Members, file: str) -> ModelMetadata:
    """Read nothing of a file that is only checked to be sound."""
    return ModelMetadata.partial(Origin.CONFIG, file)


READERS: dict[str, Callable[[Members, str], ModelMetadata]] = {
    "config_sentence_transformers.json": from_sentence_transformers,
    "config.json": from_config,
    "params.json": from_config,
    "model_index.json": from_pipeline,
    "adapter_config.json": from_adapter_config,
    "tokenizer_config.json": from_tokenizer_config,
    "generation_config.json": from_nothing,
}
"""What reads each JSON companion, the one that is believed most at the top."""


def wrong_types(members: Members) -> tuple[str, ...]:
    """List the keys of a ``config.json`` that should be a count or a text and are something else."""
    counts = {key for keys in COUNTS.values() for key in keys}
    return tuple(
        key
        for key, value in members.items()
        if value is not None
        and (
            (key in counts and (isinstance(value, bool) or not isinstance(value, int | list)))
            or (key == "model_type" and not isinstance(value, str))
        )
    )


def _language_parts(members: Members) -> list[Members]:
    """Return the object itself and its parts that describe a language model, outermost first."""
    parts = [members]
    for part in parts:
        parts += [inner for key in _NESTED if isinstance(inner := part.get(key), dict)]
    return parts


def _quantization(parts: list[Members]) -> str | None:
    """The config's word for the quantization; what reads it is imported only where there is one."""
    if not any(isinstance(part.get(key), dict) for part in parts for key in _QUANTIZATIONS):
        return None
    from modelshelf.packing import settings_in

    return settings_in(parts[0]).name
