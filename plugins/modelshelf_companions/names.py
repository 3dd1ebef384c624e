"""What file and folder names say of a model: size, quantization, version. Ranks below everything else.

There is no specification: these are the customs of Hugging Face repositories, llama.cpp's file names
(``Model-Size-Tune-v1.0-Q4_K_M.gguf``) and Ollama's tags. Only what a name says in so many words is taken.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attrs import frozen

from modelshelf.model import ModelMetadata, Origin
from modelshelf.model.names import is_generic, stem_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.model import Artifact

# Letters and digits end a word, all else may stand beside it.
_BEFORE, _AFTER = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"

# `7B`, `1.1B`, `0.5b`, `350M`, experts `8x7B`, and as some write a point `1b7` or, after a hyphen, `1_6b`;
# not the 1B of 1.1B, nor `16k` (a context or a sampling rate).
_SIZE = re.compile(
    rf"{_BEFORE}(?<!\d\.)(?:(?P<experts>\d{{1,3}})x)?"
    rf"(?:(?P<number>\d{{1,4}}(?:\.\d{{1,3}})?)(?P<unit>[BM]|(?-i:T))"
    rf"|(?P<whole>\d{{1,3}})(?P<inner>[BM])(?P<tenths>\d)"
    rf"|(?<=-)(?P<left>\d)_(?P<right>\d)B){_AFTER}",
    re.IGNORECASE,
)

_GGML = re.compile(
    rf"{_BEFORE}(?:UD-)?(?:IQ[1-4]_(?:XXS|XS|NL|XL|S|M)|IQ[1-6]_K(?:SS|S|T|L)?(?:_R[48])?|Q[1-8]_K(?:_(?:XXS|XS|XL|S|M|L|P))?|Q[1-8]_[01](?:_[48]_[48])?"
    rf"|TQ[12]_0){_AFTER}",
    re.IGNORECASE,
)
_SCHEME = re.compile(
    rf"{_BEFORE}(?:GPTQ|AWQ|EXL[23]|HQQ|AQLM|MLX|BNB|MXFP[48]|NVFP4|NF4|W\d{{1,2}}A\d{{1,2}}){_AFTER}",
    re.IGNORECASE,
)
_BITS = re.compile(rf"{_BEFORE}(?:int([2-8])|([2-8])[-_]?bits?){_AFTER}", re.IGNORECASE)
_FLOAT = re.compile(
    rf"{_BEFORE}(?:bf16|fp?16|fp?32|fp?64|fp8(?:_?e[45]m[23](?:fn)?)?){_AFTER}", re.IGNORECASE
)
_SHORT = re.compile(rf"{_BEFORE}Q[2-8]{_AFTER}", re.IGNORECASE)
_QUANTIZATIONS = (_GGML, _SCHEME, _BITS, _FLOAT, _SHORT)
# One search in place of five, for the many names without any.
_ANY_QUANTIZATION = re.compile("|".join(one.pattern for one in _QUANTIZATIONS), re.IGNORECASE)
_WITH_BITS = frozenset({"GPTQ", "AWQ", "HQQ", "AQLM", "MLX", "BNB"})

_EXPLICIT = re.compile(
    rf"{_BEFORE}v(\d{{1,2}}(?:\.\d{{1,3}}){{1,2}}|\d{{1,2}}-\d(?=$|[-_.])|\d{{1,2}}){_AFTER}(?!\.\d)",
    re.IGNORECASE,
)
# Behind an underscore or a space a single integer counts editions or tries: `dreamshaper_8`, `my model 2`.
_COUNTER = re.compile(r"(?<=[A-Za-z])[_ ]+\d{1,2}(?![\d.]|[-_ ]\d)")
_SEPARATOR = re.compile(r"[-_ :/,()\[\]]+")
_NUMBER = re.compile(r"\d{1,2}(?:\.\d{1,3}){0,2}")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9.]*")
# Joined to a word of two letters or more, a number has one digit or a dot: not `base64`, not `R1`.
_JOINED = re.compile(r"([A-Za-z][A-Za-z0-9]*[A-Za-z])\.?([1-9]|\d{1,2}(?:\.\d{1,3}){1,2})")
# Words whose number counts something else: parts, training steps, layers, pixels, bits.
_COUNTED = re.compile(
    "avx|bits?|block|checkpoint|chunk|ckpt|convnext|densenet|epoch|iter|layers?|of|part|patch|q?u?int|rank"
    "|resnet|resnext|seed|shard|stage|steps?|top|vgg|vit",
    re.IGNORECASE,
)

_TUNED = {"instruct": "instruct", "it": "instruct", "chat": "chat"}
_NO_LETTERS = re.compile(r"[^a-z]+")


@frozen(kw_only=True)
class NameFacts:
    """What one name says.

    Attributes:
        version: ``MAJOR.MINOR.PATCH``, or None.
        parameter_count: Parameters as the name writes them: ``7B``, ``8x7B``; or None.
        quantization: ``Q4_K_M``, ``GPTQ-4bit``, ``F16``, …; or None.
        tags: ``instruct``, ``chat``.
        title: The name without ending, shard number and quantization, where it has a version or a size.
    """

    version: str | None = None
    parameter_count: str | None = None
    quantization: str | None = None
    tags: tuple[str, ...] = ()
    title: str | None = None


def from_names(artifact: Artifact) -> Iterator[ModelMetadata]:
    """Make metadata of the artifact's names.

    What is the file's own (size, quantization) is taken from the file before the folder; what is the
    model's (version, title) from the folder before the file. A folder counts only where it names this model:
    the file's name says nothing itself, a ``config.json`` is beside it, or both begin with the same word.
    """
    file = artifact.weights[0].name if artifact.weights else artifact.primary
    file_facts = parse_name(file)
    folder = _folder_name(artifact, file)
    folder_facts = NameFacts() if folder is None else parse_name(folder)
    version = folder_facts.version or file_facts.version
    yield from _from_name(
        file.rsplit("/", 1)[-1],
        parameter_count=file_facts.parameter_count,
        quantization=file_facts.quantization,
        tags=file_facts.tags or None,
        title=None if folder_facts.title else file_facts.title,
        details=None if version is None else {"name_version": version},
    )
    if folder is not None:
        yield from _from_name(
            folder,
            parameter_count=_possible(folder_facts.parameter_count, artifact),
            quantization=folder_facts.quantization,
            tags=folder_facts.tags or None,
            title=folder_facts.title,
        )


def _possible(count: str | None, artifact: Artifact) -> str | None:
    """A folder's size where so many weights can be in these files at all: half a bit each is the least."""
    match = _SIZE.search(count) if count else None
    each = float(match["number"] or 0) if match else 0.0
    unit = {"M": 10**6, "B": 10**9, "T": 10**12}.get(
        match["unit"].upper() if match and match["unit"] else "", 0
    )
    return count if artifact.size_bytes * 8 * 2 >= each * unit else None


def _from_name(name: str, **values: Any) -> Iterator[ModelMetadata]:
    """Make metadata of what a name says; most names say nothing."""
    fields = {key: value for key, value in values.items() if value is not None}
    if fields:
        yield ModelMetadata.partial(Origin.FILENAME, name, **fields)


def _folder_name(artifact: Artifact, file: str) -> str | None:
    """Return the name that the source or the folder gives, where that is this model's."""
    above = artifact.folder.rstrip("/").split("/")
    given = artifact.model_id
    # An id of this form is the folder's name and, as several models are there, which of them this is.
    if given is not None and not given.startswith(f"{above[-1]}:") and not is_generic(stem_of(given)):
        return given
    folder = next((name for name in reversed(above[-2:]) if not is_generic(name)), "")
    if not folder or parse_name(folder) == NameFacts():
        return None
    stem = stem_of(file)
    configured = any(companion.name == "config.json" for companion in artifact.companions)
    related = _first_word(stem) == _first_word(folder)
    return folder if is_generic(stem) or configured or related else None


def _first_word(name: str) -> str:
    letters = next((at for at, character in enumerate(name) if not character.isalpha()), len(name))
    return name[:letters].lower()


@lru_cache(maxsize=256)
def parse_name(name: str) -> NameFacts:
    """Parse a file's or folder's name, or an id as ``org/name`` or ``name:tag``.

    The version is an explicit ``v0.3``, else a number at the family's word: ``Llama-3.2-1B`` is 3.2.0 and
    ``phi-2`` is 2.0.0. A size (``1B``), a quantization (``Q4_K_M``) and a date (``2407``) are no versions.
    """
    stem = stem_of(name)
    if is_generic(stem):
        return NameFacts(quantization=_quantization(stem))
    version, size = _version(stem), _parameter_count(stem)
    words = _NO_LETTERS.split(stem.lower())
    return NameFacts(
        version=version,
        parameter_count=size,
        quantization=_quantization(stem),
        tags=tuple(dict.fromkeys(_TUNED[word] for word in words if word in _TUNED)),
        title=_without_quantization(stem, "").rstrip("-_. ") or None if version or size else None,
    )


def _parameter_count(stem: str) -> str | None:
    match = _SIZE.search(stem)
    if match is None:
        return None
    parts = match.groupdict()
    number = parts["number"] or f"{parts['whole'] or parts['left']}.{parts['tenths'] or parts['right']}"
    unit = (parts["unit"] or parts["inner"] or "B").upper()
    return (f"{parts['experts']}x" if parts["experts"] else "") + number + unit


def _quantization(stem: str) -> str | None:
    if _ANY_QUANTIZATION.search(stem) is None:
        return None
    if match := _GGML.search(stem):
        return match[0].upper()
    bits = _BITS.search(stem)
    if match := _SCHEME.search(stem):
        scheme = match[0].upper()
        return f"{scheme}-{bits[1] or bits[2]}bit" if bits and scheme in _WITH_BITS else scheme
    if match := _FLOAT.search(stem):
        text = match[0].upper()
        return "FP8" if text.startswith("FP8") else text.replace("FP", "F")
    if bits:
        return f"INT{bits[1]}" if bits[1] else f"{bits[2]}bit"
    match = _SHORT.search(stem)
    return match[0].upper() if match else None


def _version(stem: str) -> str | None:
    for match in _EXPLICIT.finditer(stem):
        if (version := _three_parts(match[1].replace("-", "."))) is not None:
            return version
    # A size or a quantization is no version: it is taken out, and a mark that is no word left in its place.
    rest = _without_quantization(_SIZE.sub("#", stem), "#")
    if rest == stem:  # names with a size follow the grammar of language models, whatever joins their words
        rest = _COUNTER.sub("#", rest)
    return _version_by_family(_SEPARATOR.split(rest))


def _without_quantization(stem: str, mark: str) -> str:
    if _ANY_QUANTIZATION.search(stem) is not None:
        for pattern in _QUANTIZATIONS:
            stem = pattern.sub(mark, stem)
    return stem


def _version_by_family(words: list[str]) -> str | None:
    """Find the first number that follows a word or is joined to one; ``2`` and then ``1`` are 2.1."""
    for at, word in enumerate(words):
        following = words[at + 1 : at + 3]
        if match := _JOINED.fullmatch(word):
            family, number, rest = match[1], match[2], following
        elif _WORD.fullmatch(word) and following and _NUMBER.fullmatch(following[0]):
            family, number, rest = word, following[0], words[at + 2 : at + 3]
        else:
            continue
        if _COUNTED.fullmatch(family):
            continue
        minor = rest[0] if rest and "." not in number and re.fullmatch(r"\d", rest[0]) else None
        version = _three_parts(number if minor is None else f"{number}.{minor}")
        if version is not None:
            return version
    return None


def _three_parts(number: str) -> str | None:
    """Write ``3.2`` as ``3.2.0``; None for a number with a leading zero, which is a date's or a counter's."""
    parts = number.split(".")
    if any(len(part) > 1 and part.startswith("0") for part in parts):
        return None
    return ".".join([*parts, "0", "0"][:3])
