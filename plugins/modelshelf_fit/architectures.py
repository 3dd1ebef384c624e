"""The families of architectures in llama.cpp, by what their layers keep for each token or sequence.

Source: llama.cpp, `llama_model::create_memory` and the hyperparameters that each model reads
(`src/llama-model.cpp`, `src/models`). An architecture that is not named here is unknown: a new one may keep
something else, and a number for it would be a guess.
"""

from __future__ import annotations

from attrs import frozen

ENCODERS = frozenset(
    [
        "bert",
        "modern-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "jina-bert-v2",
        "jina-bert-v3",
        "neo-bert",
        "eurobert",
        "gemma-embedding",
        "t5encoder",
    ]
)
"""They keep nothing, and give embeddings instead of logits."""

GATED_ENCODERS = frozenset(
    {"modern-bert", "nomic-bert", "jina-bert-v2", "neo-bert", "eurobert", "gemma-embedding"}
)
"""Encoders whose feed-forward layers have a gate."""

CACHELESS = frozenset({"dream", "llada", "llada-moe", "rnd1"})
"""Diffusion models of text: logits, but no cache."""

RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv7", "rwkv6qwen2", "arwkv7"})
"""Every layer keeps a state; there is no cache."""

RWKV = frozenset({"rwkv6", "rwkv7", "rwkv6qwen2", "arwkv7"})

HYBRID = frozenset(
    [
        "jamba",
        "falcon-h1",
        "plamo2",
        "granitehybrid",
        "lfm2",
        "lfm2moe",
        "nemotron_h",
        "nemotron_h_moe",
        "qwen3next",
        "qwen35",
        "qwen35moe",
        "kimi-linear",
    ]
)
"""Some layers keep a state, others have a cache, or both."""

INTERVAL = frozenset({"qwen3next", "qwen35", "qwen35moe"})
"""Hybrids of which one layer in so many has a cache."""

INDEXER = frozenset({"deepseek32", "glm-dsa"})
"""A second cache holds the keys of a sparse indexer."""

ATTENTION_ONLY = frozenset(
    [
        "apertus",
        "arcee",
        "arctic",
        "baichuan",
        "bailingmoe",
        "bailingmoe2",
        "bitnet",
        "bloom",
        "chameleon",
        "chatglm",
        "codeshell",
        "cogvlm",
        "command-r",
        "dbrx",
        "deci",
        "deepseek",
        "deepseek2",
        "deepseek2-ocr",
        "dots1",
        "ernie4_5",
        "ernie4_5-moe",
        "exaone",
        "falcon",
        "gemma",
        "glm4",
        "glm4moe",
        "gpt2",
        "gptj",
        "gptneox",
        "granite",
        "granitemoe",
        "grok",
        "grovemoe",
        "hunyuan-dense",
        "hunyuan-moe",
        "hunyuan_vl",
        "internlm2",
        "jais",
        "jais2",
        "kimi-k2",
        "llama",
        "maincoder",
        "minicpm",
        "minicpm3",
        "minimax-m2",
        "mistral3",
        "mistral4",
        "mpt",
        "nemotron",
        "olmo",
        "olmoe",
        "openelm",
        "orion",
        "paddleocr",
        "pangu-embedded",
        "phi2",
        "phi3",
        "phimoe",
        "plamo",
        "plm",
        "qwen",
        "qwen2",
        "qwen2moe",
        "qwen2vl",
        "qwen3",
        "qwen3moe",
        "qwen3vl",
        "qwen3vlmoe",
        "refact",
        "seed_oss",
        "smollm3",
        "stablelm",
        "starcoder",
        "starcoder2",
        "xverse",
    ]
)
"""Every layer with heads has a cache as long as the context, whatever window the header names."""


@frozen(kw_only=True)
class Window:
    """How an architecture's sliding windows are laid out where the header does not say.

    Attributes:
        period: One layer in so many sees everything; None where the header must say which.
        dense_first: Whether that is the first of them instead of the last.
        size: The window where the header has none; 0 means that there is no window then.
        fixed: Whether `size` holds whatever window the header names.
        blocks: The number of blocks of the variant that has windows; None means all variants.
    """

    period: int | None
    dense_first: bool = False
    size: int = 0
    fixed: bool = False
    blocks: int | None = None


WINDOWS = {
    "gemma2": Window(period=2, size=4096),
    "gemma3": Window(period=6),
    "gemma3n": Window(period=5),
    "gemma4": Window(period=None),
    "gpt-oss": Window(period=2),
    "llama4": Window(period=4, size=8192),
    "cohere2": Window(period=4),
    "olmo2": Window(period=4),
    "exaone4": Window(period=4, size=4096, blocks=64),
    "smallthinker": Window(period=4, dense_first=True, size=4096, fixed=True),
    "plamo3": Window(period=8),
    "afmoe": Window(period=4),
    "mimo2": Window(period=None),
    "step35": Window(period=None),
}
"""Architectures that have a second, shorter cache for the layers with a sliding window."""

ARCHITECTURES = ENCODERS | CACHELESS | RECURRENT | HYBRID | INDEXER | ATTENTION_ONLY | WINDOWS.keys()
"""Every architecture of which it is known what its layers keep."""
