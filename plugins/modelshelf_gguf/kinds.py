"""Tell what a GGUF file is for by its header: key-values first, then the architecture, then tensor names.

Sources: llama.cpp (`LLM_ARCH_NAMES`, `gguf-py` `GGUFType`, `Keys`), its converters, and ComfyUI-GGUF for the
architectures of diffusion models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from modelshelf.model.kind import Kind, capabilities_of_template
from modelshelf.model.tensor_names import kind_of_names, target_modules
from modelshelf_gguf import keys

if TYPE_CHECKING:
    from modelshelf_gguf.header import Header, TensorInfo

_TYPE = "general.type"
_TABLE = "tensor table"
_RANK = 4
"""`LLAMA_POOLING_TYPE_RANK`; 1 to 3 are those of embeddings: mean, first token, last token."""

_ENCODERS = frozenset(
    {
        *("bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3"),
        *("eurobert", "gemma-embedding", "t5encoder", "llama-embed"),
    }
)
_WITHOUT_ORDER = frozenset({"dream", "llada", "llada-moe", "rnd1", "diffusion-gemma"})
"""Text generators that see their text as a whole: their attention is not causal either."""

_DRAFTS = frozenset({"eagle", "eagle2", "eagle3", "dflash", "dspark", "gemma4-assistant", "medusa"})
_SPEAKERS = frozenset({"qwen3tts", "pockettts", "wavtokenizer-dec"})
_IMAGE_DENOISERS = frozenset(
    {
        *("flux", "flux2", "sd1", "sd2", "sd3", "sdxl", "aura", "auraflow", "hidream", "lumina2", "pixart"),
        *("qwen_image", "chroma", "omnigen2", "z_image"),
    }
)
_VIDEO_DENOISERS = frozenset({"wan", "ltxv", "hyvid", "cosmos", "mochi"})
_WRITERS = frozenset(
    {
        *("afmoe", "apertus", "arcee", "arctic", "arwkv7", "baichuan", "bailingmoe", "bailingmoe2"),
        *("bitnet", "bloom", "chameleon", "chatglm", "codeshell", "cogvlm", "cohere2", "command-r"),
        *("dbrx", "deci", "deepseek", "deepseek2", "deepseek2-ocr", "dots1", "dream", "ernie4_5"),
        *("ernie4_5-moe", "exaone", "exaone-moe", "exaone4", "falcon", "falcon-h1", "gemma", "gemma2"),
        *("gemma3", "gemma3n", "gemma4", "glm-dsa", "glm4", "glm4moe", "gpt-oss", "gpt2", "gptj"),
        *("gptneox", "granite", "granitehybrid", "granitemoe", "grok", "grovemoe", "hunyuan-dense"),
        *("hunyuan-moe", "hunyuan_vl", "internlm2", "jais", "jais2", "jamba", "kimi-linear", "lfm2"),
        *("lfm2moe", "llada", "llada-moe", "llama", "llama4", "maincoder", "mamba", "mamba2", "mimo2"),
        *("minicpm", "minicpm3", "minimax-m2", "mistral3", "mistral4", "mpt", "nemotron", "nemotron_h"),
        *("nemotron_h_moe", "olmo", "olmo2", "olmoe", "openelm", "orion", "paddleocr", "pangu-embedded"),
        *("phi2", "phi3", "phimoe", "plamo", "plamo2", "plamo3", "plm", "qwen", "qwen2", "qwen2moe"),
        *("qwen2vl", "qwen3", "qwen35", "qwen35moe", "qwen3moe", "qwen3next", "qwen3vl", "qwen3vlmoe"),
        *("refact", "rnd1", "rwkv6", "rwkv6qwen2", "rwkv7", "seed_oss", "smallthinker", "smollm3"),
        *("stablelm", "starcoder", "starcoder2", "step35", "t5", "xverse", "mllama", "gptoss"),
        *("bitnet-25", "bitnet-b1.58", "deepseek4", "mistral", "qwen25vl", "qwen3-vl", "glm4v"),
    }
)
"""Architectures of llama.cpp and Ollama that write text."""

_HEADS = frozenset({"cls.weight", "cls.output.weight"})
_YES_NO = ("yes", "no")
_MOST_NAMES = 4096


class KindFacts(NamedTuple):
    """What a file is for.

    Attributes:
        fields: Fields of `ModelMetadata`, each with its value and the key that it was read from.
        details: Facts of this kind alone.
    """

    fields: Sequence[tuple[str, Any, str]] = ()
    details: dict[str, Any] = {}  # noqa: RUF012 - a default of a tuple, which nobody changes


def kind_facts(headers: Sequence[Header]) -> KindFacts:  # noqa: PLR0911 - one line for each rule, in order
    """What one model is for, by the headers of all its files; the key-values are the first one's."""
    first = headers[0]
    architecture = first.text(keys.ARCHITECTURE)
    declared = first.text(_TYPE)
    tensors = headers[0].tensors if len(headers) == 1 else [one for each in headers for one in each.tensors]
    if declared == "adapter" or "adapter.type" in first.fields:
        return _adapter(first, tensors, _TYPE if declared else "adapter.type")
    if declared == "imatrix" or architecture == "imatrix" or "imatrix.datasets" in first.fields:
        return _simple(Kind.IMPORTANCE_MATRIX, _TYPE if declared == "imatrix" else keys.ARCHITECTURE)
    if architecture == "controlvector":
        hint = first.text("controlvector.model_hint")
        return _simple(Kind.CONTROL_VECTOR, keys.ARCHITECTURE, {"model_hint": hint} if hint else {})
    if architecture == "clip" or declared == "mmproj":
        return _projector(first, _TYPE if declared == "mmproj" else keys.ARCHITECTURE)
    if not tensors:
        return _without_tensors(first)
    if architecture in _DRAFTS:
        return _simple(Kind.DRAFT, keys.ARCHITECTURE)
    if architecture in _SPEAKERS:
        return _simple(Kind.TEXT_TO_SPEECH, keys.ARCHITECTURE)
    if architecture is None or architecture in _IMAGE_DENOISERS or architecture in _VIDEO_DENOISERS:
        return _diffusion(architecture, () if any(one.fault for one in headers) else tensors)
    return _of_language(first, architecture, tensors)


def _simple(kind: Kind, key: str, details: dict[str, Any] | None = None) -> KindFacts:
    return KindFacts([("kind", kind.value, key)], details or {})


def _adapter(header: Header, tensors: Sequence[TensorInfo], key: str) -> KindFacts:
    """A LoRA; an activated one has the tokens that switch it on."""
    activated = "adapter.alora.invocation_tokens" in header.fields
    name = "alora" if activated else header.text("adapter.type") or "lora"
    details: dict[str, Any] = {"adapter": name}
    alpha = header.fields.get("adapter.lora.alpha")
    if alpha is not None and isinstance(alpha.value, int | float):
        details["adapter_alpha"] = alpha.value
    ranks = [one.shape[1] for one in tensors if one.name.endswith(".lora_a") and len(one.shape) > 1]
    if ranks:
        details["adapter_rank"] = max(ranks)
    targets = target_modules("\n".join([one.name for one in tensors[:_MOST_NAMES]]))
    if targets:
        details["target_modules"] = targets
    return _simple(Kind.ADAPTER, key, details)


def _projector(header: Header, key: str) -> KindFacts:
    """What turns images or sound into the embeddings of a language model."""
    fields: list[tuple[str, Any, str]] = [("kind", Kind.PROJECTOR.value, key)]
    details: dict[str, Any] = {}
    inputs: list[str] = []
    for modality, part in (("image", "vision"), ("audio", "audio")):
        flag = header.fields.get(f"clip.has_{part}_encoder")
        projected = header.text(f"clip.{part}.projector_type")
        if (flag is not None and flag.value is True) or projected:
            inputs.append(modality)
        if projected:
            details[f"{part}_projector"] = projected
    projected = header.text("clip.projector_type")
    if projected:
        details["projector"] = projected
    if not inputs:
        inputs = _encoders_among(header)
    if inputs:
        fields.append(("input_modalities", tuple(inputs), "clip.*"))
    return KindFacts(fields, details)


def _encoders_among(header: Header) -> list[str]:
    prefixes = {one.name.partition(".")[0] for one in header.tensors}
    return [modality for modality, prefix in (("image", "v"), ("audio", "a")) if prefix in prefixes]


def _without_tensors(header: Header) -> KindFacts:
    """A vocabulary, where the header was read to its end and no shard has the tensors."""
    is_whole = header.fault is None and (header.integer(keys.SPLIT_COUNT) or 1) < 2  # noqa: PLR2004 - a part
    if is_whole and keys.TOKENIZER in header.fields:
        return _simple(Kind.VOCABULARY, _TABLE)
    return KindFacts()


def _diffusion(architecture: str | None, tensors: Sequence[TensorInfo]) -> KindFacts:
    """A part of an image or video generator, or a whole one: the tensors tell which."""
    shapes = {one.name: one.shape[::-1] for one in tensors}
    named = kind_of_names("\n".join(["", *shapes, ""]), shapes.get)
    if named is not None and not named.likely:
        fields: list[tuple[str, Any, str]] = [("kind", named.kind.value, _TABLE)]
        if named.output is not None:
            fields.append(("output_modalities", named.output, _TABLE))
        return KindFacts(fields, dict(named.details))
    if architecture is None:
        return KindFacts()
    output = ("video",) if architecture in _VIDEO_DENOISERS else ("image",)
    return KindFacts(
        [
            ("kind", Kind.DENOISER.value, keys.ARCHITECTURE),
            ("output_modalities", output, keys.ARCHITECTURE),
        ]
    )


def _of_language(header: Header, architecture: str, tensors: Sequence[TensorInfo]) -> KindFacts:
    """An encoder, by its pooling, attention or architecture; else what writes text."""
    pooling_key = f"{architecture}.pooling_type"
    pooling = header.integer(pooling_key)
    labels = header.items(f"{architecture}.classifier.output_labels", keys.TEXT)
    names = {one.name for one in tensors}
    if pooling == _RANK or not _HEADS.isdisjoint(names):
        key = pooling_key if pooling == _RANK else _TABLE
        several = labels is not None and len(labels) > 1 and tuple(map(str.lower, labels)) != _YES_NO
        kind = Kind.CLASSIFIER if several else Kind.RERANKER
        return _simple(kind, key, {"labels": list(labels)} if several and labels else {})
    if pooling is not None and 0 < pooling < _RANK:
        return _simple(Kind.EMBEDDING, pooling_key)
    if architecture in _ENCODERS:
        return _simple(Kind.EMBEDDING, keys.ARCHITECTURE)
    causal_key = f"{architecture}.attention.causal"
    causal = header.fields.get(causal_key)
    if causal is not None and causal.value is False and architecture not in _WITHOUT_ORDER:
        return _simple(Kind.EMBEDDING, causal_key)
    if architecture in _WRITERS or _is_like_a_writer(header, architecture, names):
        return KindFacts([*_writing(header, architecture, names)])
    return KindFacts()


def _is_like_a_writer(header: Header, architecture: str, names: set[str]) -> bool:
    """Whether an architecture that is newer than this list has all that llama.cpp's writers have."""
    return (
        header.integer(f"{architecture}.{keys.BLOCK_COUNT}") is not None
        and keys.TOKENIZER in header.fields
        and {"token_embd.weight", "output_norm.weight"} <= names
    )


def _writing(header: Header, architecture: str, names: set[str]) -> Iterator[tuple[str, Any, str]]:
    yield "kind", Kind.TEXT_GENERATION.value, keys.ARCHITECTURE
    vision = f"{architecture}.vision.{keys.BLOCK_COUNT}"
    if vision in header.fields or "v.patch_embd.weight" in names or "v.patch_embedding.weight" in names:
        yield "input_modalities", ("text", "image"), vision if vision in header.fields else _TABLE
    template = header.text(keys.CHAT_TEMPLATE)
    if template:
        yield "capabilities", capabilities_of_template(template) or None, keys.CHAT_TEMPLATE
