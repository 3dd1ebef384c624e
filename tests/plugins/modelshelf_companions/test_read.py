from __future__ import annotations

import json
import os

import attrs
import pytest

from modelshelf.model import Depth, Origin, Severity, merge_metadata
from modelshelf.model.health import NOT_JUDGED
from modelshelf.reader import ArtifactReader
from modelshelf_companions import modelshelf_extract_metadata, modelshelf_probe_health
from modelshelf_companions.card import MAX_BYTES
from tests.plugins.modelshelf_companions.test_config import LLAMA
from tests.support import artifact_of

CARD = b"""---
license: other
license_name: llama3.2
tags: [facebook, llama-3]
base_model: meta-llama/Llama-3.2-1B
language: [en, no, de]
pipeline_tag: text-generation
---
# A card
"""


@pytest.fixture
def model(tmp_path):
    """Writes a weight file and companions, and gives merged metadata and findings by file."""

    def build(folder="plain", file="model.safetensors", model_id=None, size=1 << 30, **companions):
        home = tmp_path / folder
        home.mkdir(parents=True)
        weights = home / file
        weights.write_bytes(b"weights")
        os.truncate(weights, size)  # a hole
        beside = []
        for name, content in companions.items():
            path = home / {"card": "README.md", "template": "chat_template.jinja"}.get(name, f"{name}.json")
            path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
            beside.append(path)
        artifact = attrs.evolve(artifact_of(weights, companions=tuple(beside)), model_id=model_id)
        with ArtifactReader(artifact) as reader:
            partials = list(modelshelf_extract_metadata(reader))
            findings = list(modelshelf_probe_health(reader, Depth.HEADER))
        return merge_metadata(partials), {finding.file: finding for finding in findings}

    return build


def test_config_card_and_names_are_ranked_in_this_order(model):
    metadata, findings = model(
        folder="Llama-3.2-1B-Instruct",
        config={"model_type": "llama", "max_position_embeddings": 131072},
        card=b"---\nlicense: llama3.2\nmodel_name: Llama\ntags: [chat]\n---\n",
    )
    assert findings == {}
    assert (metadata.architecture, metadata.context_length, metadata.license) == ("llama", 131072, "llama3.2")
    assert (metadata.title, metadata.tags, metadata.parameter_count) == ("Llama", ("chat",), "1B")
    assert metadata.details["name_version"] == "3.2.0"
    assert metadata.provenance["architecture"].origin is Origin.CONFIG
    assert metadata.provenance["title"].origin is Origin.CARD
    assert metadata.provenance["parameter_count"].origin is Origin.FILENAME
    assert metadata.provenance["parameter_count"].detail == "Llama-3.2-1B-Instruct"


@pytest.mark.parametrize(
    "name", ["config", "tokenizer_config", "adapter_config", "generation_config", "model_index"]
)
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"a":' + b"1" * 5000])
def test_broken_json_is_a_warning_and_the_rest_is_reported(model, name, content):
    metadata, findings = model(folder="phi-2", card=b"---\nlicense: mit\n---\n", **{name: content})
    finding = findings[f"{name}.json"]
    assert (finding.code, finding.severity) == ("malformed-config", Severity.WARNING)
    assert metadata.license == "mit"
    assert metadata.details["name_version"] == "2.0.0"


@pytest.mark.parametrize("content", [b"---\na: [", b"---\n\xff\n---\n", b"---\na: &a [*a]\n---\n"])
def test_a_broken_card_is_an_info(model, content):
    metadata, findings = model(card=content, config={"model_type": "bert"})
    assert (findings["README.md"].code, findings["README.md"].severity) == ("malformed-card", Severity.INFO)
    assert metadata.architecture == "bert"


def test_a_config_of_a_hundred_megabytes_is_not_read(tmp_path):
    weights, config = tmp_path / "model.bin", tmp_path / "config.json"
    weights.write_bytes(b"weights")
    config.touch()
    os.truncate(config, 100 << 20)
    with ArtifactReader(artifact_of(weights, companions=(config,))) as reader:
        (finding,) = modelshelf_probe_health(reader, Depth.HEADER)
        assert finding.code == NOT_JUDGED
        assert reader.bytes_read == 0


def test_of_a_long_card_only_the_beginning_is_read(tmp_path):
    weights, card = tmp_path / "model.bin", tmp_path / "README.md"
    weights.write_bytes(b"weights")
    card.write_bytes(b"---\nlicense: mit\n---\n" + b"x" * (10 << 20))
    with ArtifactReader(artifact_of(weights, companions=(card,))) as reader:
        assert merge_metadata(modelshelf_extract_metadata(reader)).license == "mit"
        assert reader.bytes_read <= MAX_BYTES


def test_a_companion_that_vanished_is_not_judged(tmp_path):
    weights, config = tmp_path / "model.bin", tmp_path / "config.json"
    weights.write_bytes(b"weights")
    config.write_text("{}")
    artifact = artifact_of(weights, companions=(config,))
    config.unlink()
    with ArtifactReader(artifact) as reader:
        (finding,) = modelshelf_probe_health(reader, Depth.HEADER)
    assert (finding.code, finding.file) == (NOT_JUDGED, "config.json")


def test_infinity_in_a_config_is_an_info_and_the_config_is_reported(model):
    metadata, findings = model(config=b'{"model_type": "mamba2", "time_step_limit": [0.0, Infinity]}')
    assert metadata.architecture == "mamba2"
    finding = findings["config.json"]
    assert (finding.code, finding.severity) == ("config-not-strict-json", Severity.INFO)


def test_a_config_value_of_the_wrong_type_is_an_info(model):
    metadata, findings = model(config={"model_type": "bert", "hidden_size": "big"})
    assert (findings["config.json"].code, findings["config.json"].severity) == (
        "config-value-ignored",
        Severity.INFO,
    )
    assert (metadata.architecture, metadata.embedding_length) == ("bert", None)


@pytest.mark.parametrize(
    ("companions", "present"),
    [
        ({}, None),
        ({"tokenizer_config": {}}, False),
        ({"tokenizer_config": {"chat_template": "x"}}, True),
        ({"tokenizer_config": {}, "template": b"{{ x }}"}, True),
        ({"chat_template": {"chat_template": "x"}}, True),
        ({"tokenizer_config": b"{"}, None),
    ],
)
def test_a_chat_template_is_present_absent_or_unknown(model, companions, present):
    assert model(**companions)[0].chat_template is present


@pytest.mark.parametrize(
    ("folder", "file", "model_id", "version", "title"),
    [
        ("Llama-3.2-1B", "model.safetensors", None, "3.2.0", "Llama-3.2-1B"),
        ("Llama-3.2-1B", "model.safetensors", "Llama-3.2-1B", "3.2.0", "Llama-3.2-1B"),
        (
            "0e9e39f249a16976918f6564b8830bc894c89659",
            "model.safetensors",
            "openai/whisper-v3",
            "3.0.0",
            "whisper-v3",
        ),
        ("Qwen2.5-0.5B-GGUF", "qwen2.5-0.5b-q4_0.gguf", None, "2.5.0", "Qwen2.5-0.5B-GGUF"),
        ("downloads-2", "phi-3.gguf", None, "3.0.0", "phi-3"),
        ("gguf", "ggml-vocab-gpt-2.gguf", "gguf:ggml-vocab-gpt-2", "2.0.0", "ggml-vocab-gpt-2"),
        ("models-v7", "lpips-v0.1-alex.pth", "models-v7:lpips-v0.1-alex", "0.1.0", "lpips-v0.1-alex"),
        ("plain", "model.safetensors", None, None, None),
        ("sdxl-base-1.0/unet", "diffusion_pytorch_model.safetensors", "unet", "1.0.0", "sdxl-base-1.0"),
    ],
)
def test_a_folder_tells_version_and_title_where_it_names_this_model(
    model, folder, file, model_id, version, title
):
    metadata, _ = model(folder=folder, file=file, model_id=model_id)
    assert metadata.details.get("name_version") == version
    assert metadata.title == title


def test_the_files_own_name_tells_the_quantization_before_the_folders(model):
    metadata, _ = model(folder="Qwen2.5-0.5B-FP16", file="qwen2.5-0.5b-q8_0.gguf")
    assert metadata.quantization == "Q8_0"


def test_quick_depth_opens_nothing(tmp_path):
    weights, config = tmp_path / "model.bin", tmp_path / "config.json"
    weights.write_bytes(b"weights")
    config.write_bytes(b"{")
    with ArtifactReader(artifact_of(weights, companions=(config,))) as reader:
        assert list(modelshelf_probe_health(reader, Depth.QUICK)) == []
        assert reader.budget.opened == 0


def test_a_configuration_tells_the_architecture_and_its_numbers(model):
    metadata, findings = model(config=LLAMA)
    assert (metadata.architecture, metadata.context_length, metadata.embedding_length) == (
        "llama",
        131072,
        2048,
    )
    assert (metadata.block_count, metadata.head_count, metadata.head_count_kv) == (16, 32, 8)
    assert metadata.vocab_size == 128256
    assert metadata.provenance["context_length"].origin is Origin.CONFIG
    assert metadata.provenance["context_length"].detail.startswith("config.json")
    assert findings == {}


def test_a_multimodal_configuration_tells_its_language_models_numbers(model):
    metadata, _ = model(
        config={"model_type": "llava", "text_config": {"hidden_size": 4096, "vocab_size": 32000}}
    )
    assert (metadata.architecture, metadata.embedding_length, metadata.vocab_size) == ("llava", 4096, 32000)


def test_a_card_tells_licence_tags_base_model_and_languages(model):
    metadata, findings = model(card=CARD)
    assert (metadata.license, metadata.pipeline_tag) == ("llama3.2", "text-generation")
    assert metadata.tags == ("facebook", "llama-3")
    assert metadata.base_model == ("meta-llama/Llama-3.2-1B",)
    assert metadata.languages == ("en", "no", "de")  # YAML 1.1 reads a bare `no` as false
    assert metadata.provenance["license"].origin is Origin.CARD
    assert findings == {}


def test_a_card_without_front_matter_tells_nothing(model):
    metadata, findings = model(card=b"# only text\n---\nlicense: mit\n")
    assert metadata.license is None
    assert findings == {}


def test_the_name_ranks_below_everything_and_is_marked(model):
    metadata, _ = model(folder="Llama-3.2-1B-Instruct", config=LLAMA)
    assert metadata.parameter_count == "1B"
    assert metadata.provenance["parameter_count"].origin is Origin.FILENAME
    assert metadata.details["name_version"] == "3.2.0"


def test_a_template_file_and_an_adapters_base_model_are_reported(model):
    metadata, _ = model(
        template=b"{{ x }}",
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
def test_a_broken_configuration_is_a_warning_and_never_an_exception(model, broken):
    metadata, findings = model(config=broken)
    assert metadata.architecture is None
    assert [(finding.severity, file) for file, finding in findings.items()] == [
        (Severity.WARNING, "config.json")
    ]


@pytest.mark.parametrize("value", [-1, 0, 1.5, "4096", True, None, [4096], {}, float("nan")])
def test_a_number_of_the_wrong_type_is_unknown(model, value):
    metadata, _ = model(config={"vocab_size": value, "model_type": "llama"})
    assert (metadata.vocab_size, metadata.architecture) == (None, "llama")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "front", [BOMB, "a: [", "- list", "!!python/object/apply:os.system [x]", "\x00", "? {[}"]
)
def test_a_broken_or_hostile_card_is_an_info_and_never_an_exception(model, front):
    metadata, findings = model(card=f"---\n{front}\n---\n".encode())
    assert metadata.license is None
    assert [(finding.severity, file) for file, finding in findings.items()] == [(Severity.INFO, "README.md")]


BGE = {
    "model_type": "xlm-roberta",
    "max_position_embeddings": 8194,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
}


def test_a_config_is_not_put_on_a_small_file_of_another_name(model):
    metadata, _ = model(file="colbert_linear.pt", size=2_100_000, config=BGE)
    assert (metadata.architecture, metadata.context_length) == (None, None)


def test_nor_is_the_kind_that_modules_and_a_card_tell_of_the_model(model):
    modules = [{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"}]
    card = b"---\npipeline_tag: sentence-similarity\nlicense: mit\n---\n"
    beside = {"config": BGE, "modules": modules, "card": card}
    part, _ = model(file="colbert_linear.pt", size=2_100_000, **beside)
    assert (part.kind, part.capabilities, part.license) == (None, None, "mit")
    whole, _ = model(folder="whole", file="pytorch_model.bin", size=2 << 30, **beside)
    assert (whole.kind, whole.architecture) == ("embedding", "xlm-roberta")


@pytest.mark.parametrize(("file", "size"), [("bge.safetensors", 1_200_000_000), ("model.safetensors", 100)])
def test_a_config_is_put_on_a_model_and_on_a_file_that_is_named_as_one(model, file, size):
    assert model(file=file, size=size, config=BGE)[0].context_length == 8192


def test_a_repositorys_size_is_not_put_on_a_file_that_cannot_have_it(model):
    assert model(file="model.bin", size=5000, model_id="openai/gpt-oss-20b")[0].parameter_count is None
    assert (
        model(folder="b", file="model.bin", size=12 << 30, model_id="openai/gpt-oss-20b")[0].parameter_count
        == "20B"
    )
