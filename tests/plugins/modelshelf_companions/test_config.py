from __future__ import annotations

import pytest

from modelshelf.model import Origin, Provenance
from modelshelf_companions.config import (
    from_adapter_config,
    from_config,
    from_pipeline,
    from_tokenizer_config,
    wrong_types,
)

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "max_position_embeddings": 131072,
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.45.0",
}
GPT2 = {
    "model_type": "gpt2",
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "vocab_size": 50257,
}
MISTRAL_PARAMS = {"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 32000}


def facts(metadata):
    return (
        metadata.architecture,
        metadata.context_length,
        metadata.embedding_length,
        metadata.block_count,
        metadata.head_count,
        metadata.head_count_kv,
        metadata.vocab_size,
    )


def test_a_llama_config_tells_everything():
    metadata = from_config(LLAMA, "config.json")
    assert facts(metadata) == ("llama", 131072, 2048, 16, 32, 8, 128256)
    assert metadata.details == {"torch_dtype": "bfloat16", "transformers_version": "4.45.0"}
    assert metadata.provenance["architecture"] == Provenance(Origin.CONFIG, "config.json")
    assert metadata.provenance["block_count"] == Provenance(Origin.CONFIG, "config.json num_hidden_layers")


def test_older_names_of_the_keys_are_known():
    assert facts(from_config(GPT2, "config.json")) == ("gpt2", 1024, 768, 12, 12, None, 50257)
    assert facts(from_config(MISTRAL_PARAMS, "params.json")) == (None, None, 4096, 32, 32, 8, 32000)


@pytest.mark.parametrize("key", ["text_config", "llm_config", "language_config"])
def test_a_multimodal_model_is_named_by_its_language_part(key):
    metadata = from_config({"model_type": "llava", key: LLAMA}, "config.json")
    assert facts(metadata) == ("llava", 131072, 2048, 16, 32, 8, 128256)


def test_a_part_within_a_part_is_looked_into():
    metadata = from_config({"thinker_config": {"text_config": LLAMA}}, "config.json")
    assert metadata.block_count == 16


def test_the_class_is_the_architecture_where_no_type_is_reported():
    assert from_config({"architectures": ["BertModel"]}, "config.json").architecture == "BertModel"
    assert (
        from_config({"_class_name": "UNet2DConditionModel"}, "config.json").architecture
        == "UNet2DConditionModel"
    )
    assert from_pipeline({"_class_name": "FluxPipeline"}, "model_index.json").architecture == "FluxPipeline"


@pytest.mark.parametrize(
    ("config", "quantization"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "GPTQ-4bit"),
        ({"quantization_config": {"quant_method": "awq", "w_bit": 4}}, "AWQ-4bit"),
        ({"quantization_config": {"quant_method": "fp8"}}, "FP8"),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "MXFP4"),
        ({"quantization_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        (
            {
                "quantization_config": {
                    "quant_method": "bitsandbytes",
                    "load_in_4bit": True,
                    "bnb_4bit_quant_type": "nf4",
                }
            },
            "BNB-NF4",
        ),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "BNB-INT8"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "MLX-4bit"),
        ({"text_config": {"quantization_config": {"quant_method": "fp8"}}}, "FP8"),
        ({"quantization_config": {}}, None),
        ({"quantization_config": None}, None),
        ({"quantization": "4bit"}, None),
    ],
)
def test_a_quantization_is_named_as_the_header_would_name_it(config, quantization):
    assert from_config(config, "config.json").quantization == quantization


@pytest.mark.parametrize("value", [None, "2048", 2048.0, True, -1, 0, [], {}, 2**63, 10**400])
def test_a_count_of_the_wrong_type_is_unknown(value):
    assert from_config({"hidden_size": value}, "config.json").embedding_length is None


@pytest.mark.parametrize("value", [None, 1, "", "  ", [], ["x"], {}, "x" * 1000, "\ud800"])
def test_a_text_of_the_wrong_type_is_unknown(value):
    assert from_config({"model_type": value}, "config.json").architecture is None
    assert from_tokenizer_config({"tokenizer_class": value}, "tokenizer_config.json").tokenizer is None


def test_wrong_types_are_named():
    assert wrong_types(
        {"hidden_size": "2048", "model_type": 1, "vocab_size": True, "n_head": 4, "x": "y"}
    ) == (
        "hidden_size",
        "model_type",
        "vocab_size",
    )
    assert wrong_types(LLAMA) == ()


@pytest.mark.parametrize(
    ("template", "present"),
    [
        ("{{ messages }}", True),
        ([{"name": "default", "template": "x"}], True),
        ("", None),
        (None, None),
        (1, None),
    ],
)
def test_a_chat_template_is_present_or_not_reported(template, present):
    config = {"tokenizer_class": "LlamaTokenizer", "chat_template": template}
    metadata = from_tokenizer_config(config, "tokenizer_config.json")
    assert (metadata.tokenizer, metadata.chat_template) == ("LlamaTokenizer", present)


def test_an_adapter_names_its_base_and_kind():
    config = {"base_model_name_or_path": "meta-llama/Llama-3.2-1B", "peft_type": "LORA", "r": 16}
    metadata = from_adapter_config(config, "adapter_config.json")
    assert metadata.base_model == ("meta-llama/Llama-3.2-1B",)
    assert metadata.details == {"adapter": "lora", "adapter_rank": 16}
