"""Metadata keys with a meaning, and the types that loaders expect at them.

Source: the GGUF specification ("Standardized key-value pairs") and llama.cpp's `llm_load_*` functions.
"""

from __future__ import annotations

from modelshelf_gguf.layout import ValueType

ALIGNMENT = "general.alignment"
ARCHITECTURE = "general.architecture"
FILE_TYPE = "general.file_type"
TITLE = "general.name"
LICENSE = "general.license"
TAGS = "general.tags"
LANGUAGES = "general.languages"
BASE_MODELS = "general.base_model.count"

TOKENIZER = "tokenizer.ggml.model"
TOKENS = "tokenizer.ggml.tokens"
SCORES = "tokenizer.ggml.scores"
TOKEN_TYPES = "tokenizer.ggml.token_type"  # noqa: S105 - no password
MERGES = "tokenizer.ggml.merges"
CHAT_TEMPLATE = "tokenizer.chat_template"

SPLIT_NUMBER = "split.no"
SPLIT_COUNT = "split.count"
SPLIT_TENSORS = "split.tensors.count"

BLOCK_COUNT = "block_count"
MAX_BLOCKS = 512
"""`LLAMA_MAX_LAYERS`: llama.cpp ends its process on more."""

TEXT = frozenset({ValueType.STRING})

ARRAY_KINDS: dict[str, frozenset[ValueType]] = {
    TOKENS: TEXT,
    MERGES: TEXT,
    SCORES: frozenset({ValueType.FLOAT32}),
    TOKEN_TYPES: frozenset({ValueType.INT32, ValueType.UINT32}),
}
"""Element types of the arrays that loaders read in place: another makes them read past the array's end."""

TEXT_KEYS = frozenset({ARCHITECTURE, TOKENIZER, TITLE, LICENSE})
INTEGER_KEYS = frozenset({FILE_TYPE, SPLIT_NUMBER, SPLIT_COUNT, SPLIT_TENSORS, BASE_MODELS})

ARCHITECTURE_FIELDS: dict[str, str] = {
    "context_length": "context_length",
    "embedding_length": "embedding_length",
    "block_count": BLOCK_COUNT,
    "head_count": "attention.head_count",
    "head_count_kv": "attention.head_count_kv",
    "vocab_size": "vocab_size",
}
"""Fields of `ModelMetadata` and keys below the architecture's prefix: a number, or one for each block."""
