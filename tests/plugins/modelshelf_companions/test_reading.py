from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelshelf.model import Depth, Finding, ModelMetadata, Origin, Severity, merge_metadata
from modelshelf_companions import modelshelf_extract_metadata, modelshelf_probe_health
from tests.support import reader_of

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "max_position_embeddings": 131072,
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "torch_dtype": "bfloat16",
}
CARD = """---
license: other
license_name: llama3.2
tags: [facebook, llama-3]
base_model: meta-llama/Llama-3.2-1B
language: [en, no, de]
pipeline_tag: text-generation
---
# A card
"""


def read(folder: Path, **files: Any) -> tuple[ModelMetadata, list[Finding]]:
    """Merged metadata and findings of a model with these companions beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "model.safetensors"
    weights.write_bytes(b"x")
    companions = []
    for name, content in files.items():
        path = folder / {"card": "README.md", "template": "chat_template.jinja"}.get(name, f"{name}.json")
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        companions.append(path)
    with reader_of(weights, companions=tuple(companions)) as reader:
        return merge_metadata(modelshelf_extract_metadata(reader)), list(
            modelshelf_probe_health(reader, Depth.HEADER)
        )


def test_a_configuration_tells_the_architecture_and_its_numbers(tmp_path: Path) -> None:
    metadata, findings = read(tmp_path, config=LLAMA)
    assert (metadata.architecture, metadata.context_length, metadata.embedding_length) == (
        "llama",
        131072,
        2048,
    )
    assert (metadata.block_count, metadata.head_count, metadata.head_count_kv) == (16, 32, 8)
    assert metadata.vocab_size == 128256
    assert metadata.provenance["context_length"].origin is Origin.CONFIG
    assert metadata.provenance["context_length"].detail.startswith("config.json")
    assert findings == []


def test_a_multimodal_configuration_tells_its_language_models_numbers(tmp_path: Path) -> None:
    metadata, _ = read(
        tmp_path, config={"model_type": "llava", "text_config": {"hidden_size": 4096, "vocab_size": 32000}}
    )
    assert (metadata.architecture, metadata.embedding_length, metadata.vocab_size) == ("llava", 4096, 32000)


def test_a_card_tells_licence_tags_base_model_and_languages(tmp_path: Path) -> None:
    metadata, findings = read(tmp_path, card=CARD)
    assert (metadata.license, metadata.pipeline_tag) == ("llama3.2", "text-generation")
    assert metadata.tags == ("facebook", "llama-3")
    assert metadata.base_model == ("meta-llama/Llama-3.2-1B",)
    assert metadata.languages == ("en", "no", "de")  # YAML 1.1 reads a bare `no` as false
    assert metadata.provenance["license"].origin is Origin.CARD
    assert findings == []


def test_a_card_without_front_matter_tells_nothing(tmp_path: Path) -> None:
    metadata, findings = read(tmp_path, card="# only text\n---\nlicense: mit\n")
    assert metadata.license is None
    assert findings == []


def test_the_name_ranks_below_everything_and_is_marked(tmp_path: Path) -> None:
    metadata, _ = read(tmp_path / "Llama-3.2-1B-Instruct", config=LLAMA)
    assert metadata.parameter_count == "1B"
    assert metadata.provenance["parameter_count"].origin is Origin.FILENAME
    assert metadata.details["name_version"] == "3.2.0"


def test_a_template_file_and_an_adapters_base_model_are_reported(tmp_path: Path) -> None:
    metadata, _ = read(
        tmp_path,
        template="{{ x }}",
        adapter_config={"peft_type": "LORA", "base_model_name_or_path": "org/base"},
    )
    assert metadata.chat_template is True
    assert metadata.base_model == ("org/base",)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{",
        b"[1]",
        b'"x"',
        b"\xff\xfe\x00",
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b'{"vocab_size": ' + b"9" * 5_000 + b"}",
    ],
)
def test_a_broken_configuration_is_a_warning_and_never_an_exception(tmp_path: Path, broken: bytes) -> None:
    metadata, findings = read(tmp_path, config=broken)
    assert metadata.architecture is None
    assert [(one.severity, one.file) for one in findings] == [(Severity.WARNING, "config.json")]


@pytest.mark.parametrize("value", [-1, 0, 1.5, "4096", True, None, [4096], {}, float("nan")])
def test_a_number_of_the_wrong_type_is_unknown(tmp_path: Path, value: object) -> None:
    metadata, _ = read(tmp_path, config={"vocab_size": value, "model_type": "llama"})
    assert (metadata.vocab_size, metadata.architecture) == (None, "llama")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "front", [BOMB, "a: [", "- list", "!!python/object/apply:os.system [x]", "\x00", "? {[}"]
)
def test_a_broken_or_hostile_card_is_an_info_and_never_an_exception(tmp_path: Path, front: str) -> None:
    metadata, findings = read(tmp_path, card=f"---\n{front}\n---\n")
    assert metadata.license is None
    assert [(one.severity, one.file) for one in findings] == [(Severity.INFO, "README.md")]
