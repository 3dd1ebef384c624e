from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf_companions.names import NameFacts, is_generic, parse_name, stem_of

# name, version, parameters, quantization, tags
REAL_NAMES = [
    ("Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "3.1.0", "8B", "Q4_K_M", ("instruct",)),
    ("Llama-3.2-1B", "3.2.0", "1B", None, ()),
    ("Llama-2-7b-chat-hf", "2.0.0", "7B", None, ("chat",)),
    ("Qwen2.5-0.5B", "2.5.0", "0.5B", None, ()),
    ("Qwen3-30B-A3B", "3.0.0", "30B", None, ()),
    ("qwen2.5-coder-7b-instruct-q8_0.gguf", "2.5.0", "7B", "Q8_0", ("instruct",)),
    ("phi-2", "2.0.0", None, None, ()),
    ("Phi-3-mini-4k-instruct", "3.0.0", None, None, ("instruct",)),
    ("gemma-2-2b-it", "2.0.0", "2B", None, ("instruct",)),
    ("TinyLlama-1.1B-Chat-v1.0", "1.0.0", "1.1B", None, ("chat",)),
    ("Mixtral-8x7B-v0.1", "0.1.0", "8x7B", None, ()),
    ("Mistral-7B-Instruct-v0.3-IQ2_XXS", "0.3.0", "7B", "IQ2_XXS", ("instruct",)),
    ("mistral-large-2407", None, None, None, ()),
    ("whisper-large-v3", "3.0.0", None, None, ()),
    ("stable-diffusion-xl-base-1.0", "1.0.0", None, None, ()),
    ("sd_xl_base_1.0.safetensors", "1.0.0", None, None, ()),
    ("v1-5-pruned-emaonly.ckpt", "1.5.0", None, None, ()),
    ("gpt-oss-20b-mxfp4", None, "20B", "MXFP4", ()),
    ("flux1-dev-fp8", "1.0.0", None, "FP8", ()),
    ("ggml-vocab-gpt-2", "2.0.0", None, None, ()),
    ("lpips-v0.1-alex", "0.1.0", None, None, ()),
    ("silero_vad_16k", None, None, None, ()),
    ("yi-34b-200k", None, "34B", None, ()),
    ("clip-vit-base-patch32", None, None, None, ()),
    ("bert-base-uncased", None, None, None, ()),
    ("t5-11b", None, "11B", None, ()),
    ("model-fp16.safetensors", None, None, "F16", ()),
    ("big-00001-of-00003.gguf", None, None, None, ()),
]


@pytest.mark.parametrize(("name", "version", "size", "quantization", "tags"), REAL_NAMES)
def test_real_names_tell_what_a_person_reads_in_them(
    name: str, version: str | None, size: str | None, quantization: str | None, tags: tuple[str, ...]
) -> None:
    facts = parse_name(name)
    told = (facts.version, facts.parameter_count, facts.quantization, facts.tags)
    assert told == (version, size, quantization, tags)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "pytorch_model.bin", "snapshots", "sha256-" + "a1" * 32]
)
def test_generic_names_tell_nothing(name: str) -> None:
    assert is_generic(name)
    assert parse_name(name) == NameFacts()


def test_ending_and_shard_number_are_no_part_of_the_stem() -> None:
    assert stem_of("a/b/Llama-3.2-00001-of-00002.gguf") == "Llama-3.2"


@given(st.text(max_size=200))
def test_any_text_is_a_name(name: str) -> None:
    facts = parse_name(name)
    assert facts.version is None or facts.version.count(".") == 2
