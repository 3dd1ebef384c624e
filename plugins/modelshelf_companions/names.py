"""What file and folder names tell: size, quantization, version. Pure; ranks below everything else."""

from __future__ import annotations

import os
import re

from attrs import frozen

# `7B`, `1.1B`, `0.5b`, `350M`, and experts `8x7B`; not `16k` (a context or a sampling rate).
_SIZE = re.compile(r"(?i)(?<![A-Za-z0-9.])((?:\d{1,3}x)?\d{1,4}(?:\.\d{1,3})?[BMT])(?![A-Za-z0-9])")
_QUANTIZATION = re.compile(
    r"(?i)(?<![A-Za-z0-9])("
    r"IQ[1-4]_(?:XXS|XS|S|M|NL)|Q[2-8]_K(?:_(?:XL|L|M|S))?|Q[1-8]_[01](?:_\d+_\d+)?|TQ[12]_0|"
    r"BF16|F16|F32|FP16|FP32|FP8|INT8|INT4|MXFP4|NVFP4|AWQ|GPTQ|EXL2|NF4"
    r")(?![A-Za-z0-9])"
)
_ONE_SPELLING = {"FP16": "F16", "FP32": "F32"}
_EXPLICIT_VERSION = re.compile(r"(?i)(?<![A-Za-z0-9])v(\d{1,2}(?:[.-]\d{1,3}){0,2})(?![A-Za-z0-9.])")
# A number that stands alone (`Llama-3.2`, `phi-2`), or one that is joined to the family's word and has one
# digit or a dot (`Qwen2.5`, `llama3`; not `base64`, not `patch32`). A leading zero begins a date.
_FAMILY_VERSION = re.compile(
    r"(?i)(?:"
    r"(?<=[-_ ])([1-9]\d?(?:\.\d{1,3}){0,2}|0(?:\.\d{1,3}){1,2})|"
    r"(?<![A-Za-z0-9])(?!(?:i?q|fp?|bf|int|tq|nf|w|a|x|l|t)\d)[A-Za-z]+?([1-9]|\d{1,2}(?:\.\d{1,3}){1,2})"
    r")(?![A-Za-z0-9.])"
)
_SHARD = re.compile(r"[-_]\d{1,6}-of-\d{1,6}$")
_ENDING = re.compile(
    r"\.(?:gguf|safetensors|sft|pt2?|pth|bin|ckpt|jit|ptl|pkl|pickle|joblib|np[yz]|json)$", re.IGNORECASE
)
_TUNED = {"instruct": "instruct", "it": "instruct", "chat": "chat"}
_GENERIC = frozenset(
    {
        "adapter",
        "adapter_model",
        "blobs",
        "checkpoint",
        "checkpoints",
        "consolidated",
        "data",
        "diffusion_pytorch_model",
        "download",
        "downloads",
        "files",
        "gguf",
        "main",
        "model",
        "models",
        "output",
        "outputs",
        "pytorch_model",
        "safetensors",
        "snapshots",
        "test",
        "tmp",
        "torch",
        "weights",
    }
)


@frozen(kw_only=True)
class NameFacts:
    """What one name tells.

    Attributes:
        version: ``MAJOR.MINOR.PATCH``, or None.
        parameter_count: Parameters as the name writes them: ``7B``, ``8x7B``; or None.
        quantization: ``Q4_K_M``, ``F16``, …; or None.
        tags: ``instruct``, ``chat``.
        title: The name without ending, shard number and quantization, where it tells a version or a size.
    """

    version: str | None = None
    parameter_count: str | None = None
    quantization: str | None = None
    tags: tuple[str, ...] = ()
    title: str | None = None


def parse_name(name: str) -> NameFacts:
    """Everything that a file's or folder's name tells.

    The version is an explicit ``v0.3``, else a number at the family's word: ``Llama-3.2-1B`` is 3.2.0 and
    ``phi-2`` is 2.0.0. A size (``1B``), a quantization (``Q4_K_M``) and a date (``2407``) are no versions.
    """
    stem = stem_of(name)
    if is_generic(stem):
        return NameFacts()
    size, quantization = _SIZE.search(stem), _last(_QUANTIZATION.findall(stem))
    bare = _QUANTIZATION.sub(" ", _SIZE.sub(" ", stem))
    found = _EXPLICIT_VERSION.search(bare) or _FAMILY_VERSION.search(bare)
    version = next((one for one in found.groups() if one), None) if found else None
    words = re.split(r"[^a-z]+", stem.lower())
    return NameFacts(
        version=None if version is None else _three_parts(version),
        parameter_count=None if size is None else size[1].upper().replace("X", "x"),
        quantization=quantization,
        tags=tuple(dict.fromkeys(_TUNED[word] for word in words if word in _TUNED)),
        title=_title(stem) if version or size else None,
    )


def stem_of(name: str) -> str:
    """A name without its folder, a model file's ending and a shard's number."""
    return _SHARD.sub("", _ENDING.sub("", os.path.basename(name)))


def is_generic(name: str) -> bool:
    """Whether a name, without its ending, says nothing of the model: ``model``, ``snapshots``, a hash."""
    stem = stem_of(name).lower()
    return stem in _GENERIC or re.fullmatch(r"(?:sha256[-:])?[0-9a-f]{32,64}", stem) is not None


def _last(found: list[str]) -> str | None:
    written = found[-1].upper() if found else None
    return _ONE_SPELLING.get(written, written) if written else None


def _three_parts(text: str) -> str:
    parts = [str(int(part)) for part in re.split(r"[.-]", text)]
    return ".".join([*parts, "0", "0"][:3])


def _title(stem: str) -> str:
    return re.sub(r"[-_. ]+$", "", _QUANTIZATION.sub("", stem)).strip()
