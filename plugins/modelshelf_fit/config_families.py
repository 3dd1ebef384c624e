"""The families of model types, as a ``config.json`` names them, by what their layers keep.

Sources: the cache classes and modeling files of transformers 5.24, `vllm/v1/kv_cache_interface.py`, and
`mlx_lm/models`. A model type that is not named here is unknown: a number for it would be a guess.
"""

from __future__ import annotations

ENCODERS = frozenset(
    [
        "albert",
        "bert",
        "camembert",
        "deberta",
        "deberta-v2",
        "distilbert",
        "electra",
        "eurobert",
        "modernbert",
        "mpnet",
        "nomic_bert",
        "roberta",
        "xlm-roberta",
    ]
)
"""They keep nothing."""

EVERY_HEAD = frozenset({"biogpt", "bloom", "codegen", "gpt2", "gpt_neox", "gptj", "opt", "persimmon"})
"""Their keys have as many heads as their queries, whatever the config names."""

HEADS_ALONE = EVERY_HEAD | {"cohere", "granite", "llama", "mpt", "olmo", "olmo2", "olmoe", "phi"}
"""Their keys have as many heads as their queries where the config says nothing else."""

HEAD_LENGTH_NAMED = frozenset(
    [
        "gemma",
        "gemma2",
        "gemma3",
        "gemma3_text",
        "gemma3n",
        "gemma3n_text",
        "glm",
        "glm4",
        "glm4_moe",
        "gpt_oss",
        "helium",
        "qwen3",
        "qwen3_5",
        "qwen3_5_moe",
        "qwen3_5_moe_text",
        "qwen3_5_text",
        "qwen3_moe",
        "qwen3_next",
        "qwen3_vl",
        "qwen3_vl_moe",
        "seed_oss",
    ]
)
"""The width of their heads has a default of its own: it is unknown where the config leaves it out."""

PERIODS = {
    "cohere2": 4,
    "exaone4": 4,
    "gemma2": 2,
    "gemma3": 6,
    "gemma3_text": 6,
    "gemma3n": 5,
    "gemma3n_text": 5,
    "gpt_oss": 2,
    "olmo3": 4,
}
"""One layer in so many, the last of them, sees everything; the others have a sliding window."""

ALL_WINDOWED = frozenset({"mistral", "mixtral", "phi3", "phimoe", "starcoder2"})
"""Every layer has a window where the config has one."""

GATED_DELTA = frozenset({"qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"})
"""Hybrids of layers with a gated delta rule, and one in so many with attention."""

SHORT_CONVOLUTION = frozenset({"lfm2", "lfm2_moe"})
"""Hybrids of short convolutions and attention."""

MAMBA = frozenset({"falcon_mamba", "mamba", "mamba2"})
"""Every layer keeps a state; there is no cache."""

LATENT = {
    "transformers": frozenset({"deepseek_v2", "deepseek_v3", "glm4_moe_lite", "minicpm3"}),
    "vllm": frozenset({"deepseek_v2", "deepseek_v3", "glm4_moe_lite", "kimi_k2"}),
    "mlx": frozenset({"deepseek_v3", "glm4_moe_lite", "kimi_k2"}),
}
"""By engine: one latent vector and the rotated part of the key are cached, not keys and values (MLA)."""

MLX_WINDOWED = frozenset(
    {"cohere2", "exaone4", "gemma3", "gemma3_text", "gpt_oss", "llama", "mistral", "olmo3"}
)
"""What gets a rotating cache from mlx-lm; all others get caches as long as the context."""

ATTENTION_ONLY = frozenset(
    [
        "apertus",
        "arcee",
        "ernie4_5",
        "falcon",
        "gemma",
        "glm",
        "glm4",
        "glm4_moe",
        "gpt_bigcode",
        "granitemoe",
        "helium",
        "hunyuan_v1_dense",
        "minimax_m2",
        "mistral3",
        "nemotron",
        "qwen2",
        "qwen2_5_vl",
        "qwen2_moe",
        "qwen2_vl",
        "qwen3",
        "qwen3_moe",
        "qwen3_vl",
        "qwen3_vl_moe",
        "seed_oss",
        "smollm3",
        "stablelm",
    ]
)
"""Every layer caches keys and values of each head."""

MODEL_TYPES = (
    ENCODERS
    | HEADS_ALONE
    | HEAD_LENGTH_NAMED
    | PERIODS.keys()
    | ALL_WINDOWED
    | GATED_DELTA
    | SHORT_CONVOLUTION
    | MAMBA
    | ATTENTION_ONLY
    | frozenset().union(*LATENT.values())
)
"""Every model type of which it is known what its layers keep."""
