from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.model.names import is_generic, stem_of
from modelshelf.model.quantity import parse_parameters
from modelshelf_companions.names import NameFacts, parse_name

# Name, parameters, quantization, version, tags.
REAL = [
    ("Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "8B", "Q4_K_M", "3.1.0", ("instruct",)),
    ("meta-llama/Llama-3.2-1B", "1B", None, "3.2.0", ()),
    ("Llama-2-7b-chat-hf", "7B", None, "2.0.0", ("chat",)),
    ("Llama-4-Scout-17B-16E", "17B", None, "4.0.0", ()),
    ("llama3.2:1b", "1B", None, "3.2.0", ()),
    ("Qwen2.5-0.5B", "0.5B", None, "2.5.0", ()),
    ("Qwen2.5-0.5B-Instruct-GPTQ-Int4", "0.5B", "GPTQ-4bit", "2.5.0", ("instruct",)),
    ("Qwen2-VL-7B-Instruct", "7B", None, "2.0.0", ("instruct",)),
    ("Qwen3-30B-A3B-Instruct-2507", "30B", None, "3.0.0", ("instruct",)),
    ("Qwen3-Coder-480B-A35B-UD-Q4_K_XL-00001-of-00006.gguf", "480B", "UD-Q4_K_XL", "3.0.0", ()),
    ("phi-2", None, None, "2.0.0", ()),
    ("Phi-3-mini-4k-instruct-q4.gguf", None, "Q4", "3.0.0", ("instruct",)),
    ("Phi-3.5-mini-instruct", None, None, "3.5.0", ("instruct",)),
    ("gemma-2-2b-it", "2B", None, "2.0.0", ("instruct",)),
    ("gemma-3n-E4B-it", None, None, None, ("instruct",)),
    ("gemma-3-1b-it-qat-q4_0", "1B", "Q4_0", "3.0.0", ("instruct",)),
    ("TinyLlama-1.1B-Chat-v1.0", "1.1B", None, "1.0.0", ("chat",)),
    ("tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf", "1.1B", "Q4_K_M", "1.0.0", ("chat",)),
    ("Mixtral-8x7B-v0.1", "8x7B", None, "0.1.0", ()),
    ("Mixtral-8x22B-Instruct-v0.1", "8x22B", None, "0.1.0", ("instruct",)),
    ("Mistral-7B-Instruct-v0.2-AWQ", "7B", "AWQ", "0.2.0", ("instruct",)),
    ("mistral-large-2407", None, None, None, ()),
    ("Mistral-Small-24B-Instruct-2501", "24B", None, None, ("instruct",)),
    ("whisper-large-v3", None, None, "3.0.0", ()),
    ("ggml-tiny.en.bin", None, None, None, ()),
    ("stable-diffusion-xl-base-1.0", None, None, "1.0.0", ()),
    ("stable-diffusion-v1-5", None, None, "1.5.0", ()),
    ("stable-diffusion-2-1", None, None, "2.1.0", ()),
    ("sd_xl_base_1.0.safetensors", None, None, "1.0.0", ()),
    ("v1-5-pruned-emaonly.safetensors", None, None, "1.5.0", ()),
    ("FLUX.1-dev", None, None, "1.0.0", ()),
    ("flux1-dev-fp8.safetensors", None, "FP8", "1.0.0", ()),
    ("DeepSeek-R1-Distill-Qwen-1.5B", "1.5B", None, None, ()),
    ("DeepSeek-V3-0324", None, None, "3.0.0", ()),
    ("DeepSeek-V2.5", None, None, "2.5.0", ()),
    ("gpt-oss-20b-mxfp4", "20B", "MXFP4", None, ()),
    ("gpt2-xl", None, None, "2.0.0", ()),
    ("ggml-vocab-gpt-2.gguf", None, None, "2.0.0", ()),
    ("lpips-v0.1-alex.pth", None, None, "0.1.0", ()),
    ("silero_vad_16k.safetensors", None, None, None, ()),
    ("bloom-1b7", "1.7B", None, None, ()),
    ("stablelm-2-1_6b", "1.6B", None, "2.0.0", ()),
    ("internlm2_5-7b-chat", "7B", None, "2.5.0", ("chat",)),
    ("SmolLM2-135M-Instruct", "135M", None, "2.0.0", ("instruct",)),
    ("opt-125m", "125M", None, None, ()),
    ("command-r-plus-08-2024", None, None, None, ()),
    ("all-MiniLM-L6-v2", None, None, "2.0.0", ()),
    ("bge-small-en-v1.5", None, None, "1.5.0", ()),
    ("nomic-embed-text-v1.5.f32.gguf", None, "F32", "1.5.0", ()),
    ("bert-base-uncased", None, None, None, ()),
    ("clip-vit-large-patch14", None, None, None, ()),
    ("model_qint8_avx512.onnx", None, None, None, ()),
    ("model_quint8_avx2.onnx", None, None, None, ()),
    ("resnet50", None, None, None, ()),
    ("wav2vec2-base-960h", None, None, "2.0.0", ()),
    ("glm-4-9b-chat-1m", "9B", None, "4.0.0", ("chat",)),
    ("Yi-1.5-9B-Chat-16K", "9B", None, "1.5.0", ("chat",)),
    ("vicuna-13b-v1.5-16k", "13B", None, "1.5.0", ()),
    ("SOLAR-10.7B-v1.0", "10.7B", None, "1.0.0", ()),
    ("Llama-3.2-3B-Instruct-4bit", "3B", "4bit", "3.2.0", ("instruct",)),
    ("llama-3-8b-bnb-4bit", "8B", "BNB-4bit", "3.0.0", ()),
    ("Llama-3.2-1B-Instruct-quantized.w4a16", "1B", "W4A16", "3.2.0", ("instruct",)),
    ("Meta-Llama-3.1-8B-Instruct-FP8", "8B", "FP8", "3.1.0", ("instruct",)),
    ("model-IQ2_XXS.gguf", None, "IQ2_XXS", None, ()),
    ("Model.i1-Q4_K_S.gguf", None, "Q4_K_S", None, ()),
    ("model-int8.bin", None, "INT8", None, ()),
    ("stories260K.gguf", None, None, None, ()),
    ("dreamshaper_8.safetensors", None, None, None, ()),
    ("my model 2", None, None, None, ()),
    ("llama_2_7b_chat", "7B", None, "2.0.0", ("chat",)),
    ("qwen_2_5", None, None, "2.5.0", ()),
    ("Realistic_Vision_V5.1.safetensors", None, None, "5.1.0", ()),
    ("yolov8n.pt", None, None, None, ()),
    ("checkpoint-500", None, None, None, ()),
    ("epoch-3", None, None, None, ()),
    ("diffusion_pytorch_model.fp16.safetensors", None, "F16", None, ()),
    ("model-00001-of-00003.safetensors", None, None, None, ()),
    ("sha256-74701a8c35f6c8d9a4b91f3f3497643001d63e0c7a84e085bed452548fa88d45", None, None, None, ()),
    ("x-9999999999b", None, None, None, ()),
    ("qwen2.5-coder-7b-instruct-q8_0.gguf", "7B", "Q8_0", "2.5.0", ("instruct",)),
    ("Mistral-7B-Instruct-v0.3-IQ2_XXS", "7B", "IQ2_XXS", "0.3.0", ("instruct",)),
    ("yi-34b-200k", "34B", None, None, ()),
    ("t5-11b", "11B", None, None, ()),
    ("base64", None, None, None, ()),
    ("big-00001-of-00003.gguf", None, None, None, ()),
]


@pytest.mark.parametrize(("name", "parameters", "quantization", "version", "tags"), REAL)
def test_a_name_says_what_it_says_and_no_more(name, parameters, quantization, version, tags):
    facts = parse_name(name)
    assert (facts.parameter_count, facts.quantization, facts.version, facts.tags) == (
        parameters,
        quantization,
        version,
        tags,
    )


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("org/name", "name"),
        ("model-00001-of-00003.safetensors", "model"),
        ("model.safetensors.index.json", "model"),
        ("Llama-3.2-1B", "Llama-3.2-1B"),
        ("a/b/model.Q4_0.GGUF", "model.Q4_0"),
    ],
)
def test_a_stem_has_neither_folder_nor_ending_nor_shard(name, stem):
    assert stem_of(name) == stem


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "pytorch_model.bin",
        "model-00001-of-00003.safetensors",
        "consolidated.00.pth",
        "adapter_model.safetensors",
        "snapshots",
        "unet",
        "text_encoder_2",
        "sha256-" + "a1" * 32,
        "0e9e39f249a16976918f6564b8830bc894c89659",
    ],
)
def test_generic_names_tell_nothing(name):
    assert is_generic(name)
    assert parse_name(name) == NameFacts()


@pytest.mark.parametrize("name", ["phi-2", "unet-medical", "modelling", "my-model", "gpt2"])
def test_a_name_of_its_own_is_not_generic(name):
    assert not is_generic(name)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("Llama-3.2-1B-Q4_K_M.gguf", "Llama-3.2-1B"),
        ("org/Mistral-7B-Instruct-v0.2-AWQ", "Mistral-7B-Instruct-v0.2"),
        ("phi-2", "phi-2"),
        ("mistral-large-2407", None),
    ],
)
def test_a_title_is_a_name_that_tells_a_version_or_size_without_its_quantization(name, title):
    assert parse_name(name).title == title


@given(st.text(max_size=80) | st.text("0123456789.-_vVbBqQkKmMxXfp", max_size=60))
@settings(deadline=None, max_examples=400)
def test_any_name_is_read_and_what_is_read_has_its_form(name):
    facts = parse_name(name)
    if facts.version is not None:
        major, minor, patch = facts.version.split(".")
        assert [str(int(one)) for one in (major, minor, patch)] == [major, minor, patch]
    if facts.parameter_count is not None and "x" not in facts.parameter_count:
        assert parse_parameters(facts.parameter_count) is not None


@pytest.mark.parametrize("piece", ["1", "a", "-", "1.", "v1.", "q4_", "a1", "1_", "x1b", "patch1-"])
def test_a_name_of_a_hundred_thousand_characters_is_cut_before_it_is_searched(piece):
    assert len(parse_name(piece * 100_000).title or "") <= 512
