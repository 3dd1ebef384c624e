"""What is known of a model, and where each value comes from."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self, cast

import attrs
from attrs import field, frozen

from modelshelf.errors import InvalidValueError
from modelshelf.model.kind import Modalities, joined_capabilities
from modelshelf.model.quantity import format_parameters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Origin(IntEnum):
    """Where a value was read, ranked: a higher one is never overwritten by a lower one."""

    FILENAME = 1
    CARD = 2
    CONFIG = 3
    SOURCE = 4
    HEADER = 5
    USER = 6

    def __str__(self) -> str:
        return self.name.lower()


@frozen
class Provenance:
    """Where one value comes from.

    Attributes:
        origin: The kind of place, which decides its rank.
        detail: The very place: a header key, a file's name. Hostile text.
    """

    origin: Origin
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.origin}: {self.detail}" if self.detail else str(self.origin)


_LONGEST_SHOWN = 60  # characters of a value in a message
_NO_FACTS = frozenset({"details", "provenance"})  # fields that have no provenance of their own


def _as_texts(values: Any) -> Any:
    """One text or several as a tuple; what is neither is left for the check of types."""
    try:
        return (values,) if isinstance(values, str) else tuple(values)
    except TypeError:
        return values


def _as_counts(counts: Mapping[str, int] | None) -> dict[str, int] | None:
    return None if counts is None else _as_dict(counts)


def _as_dict(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that nobody else has; what is no mapping is left for the check of types."""
    try:
        return dict(values)
    except (TypeError, ValueError):
        return cast("dict[str, Any]", values)


@frozen(kw_only=True)
class ModelMetadata:
    """What is known of a model. Unknown is None, never a guess.

    Plugins give partial ones, built by `partial`; the core merges them by the rank of each value's origin.

    Attributes:
        architecture: The family as the header or config names it: ``llama``, ``qwen2``, ``bert``.
        quantization: ``Q4_K_M``, ``F16``, ``BF16``, ``GPTQ-4bit``, …; an open set.
        parameter_count: Parameters as people write them: ``1.24B``.
        parameters: Parameters exactly, from the tensors' shapes.
        format: ``gguf``, ``safetensors``, ``pytorch``, …
        context_length: Tokens the model was trained to attend to.
        kind: What it is for, as `modelshelf.model.kind.Kind` names it: ``text-generation``, ``adapter``, …;
            an open set.
        input_modalities: What it takes: ``text``, ``image``, ``audio``, ``video``.
        output_modalities: What it gives.
        capabilities: ``chat``, ``tools``, ``vision``, ``thinking``, ``embedding``, …; an open set.
        tags: Free words.
        source: Which place it came from: ``local``, ``huggingface``, ``ollama``, …
        license: SPDX identifier or the card's own word.
        created_at: Unix time in seconds when the weights were made or last modified.
        size_bytes: Weights on disk, all shards together.
        title: The name that the header or card gives.
        embedding_length: Width of the hidden state.
        block_count: Number of transformer blocks.
        head_count: Attention heads per block.
        head_count_kv: Key-value heads per block.
        vocab_size: Tokens in the vocabulary.
        tokenizer: The tokenizer's kind: ``llama``, ``gpt2``, ``bert``, or a class name.
        bits_per_weight: Bits of tensor data per parameter.
        tensor_count: Number of tensors.
        tensor_types: Histogram: element type to number of tensors.
        base_model: Models that this one was made from.
        languages: BCP 47 tags or the card's own words.
        pipeline_tag: The task, as the Hugging Face Hub names it.
        chat_template: Whether a chat template is present. The template itself is never rendered.
        details: Facts of one format that have no field here; values are JSON: scalars, lists, tables.
        provenance: Field name to where its value comes from; a detail's name as `detail_key` writes it.

    Raises:
        InvalidValueError: A value is not of its field's type; the message names both, and what was given.
    """

    architecture: str | None = None
    quantization: str | None = None
    parameters: int | None = None
    parameter_count: str | None = field()
    format: str | None = None
    context_length: int | None = None
    kind: str | None = None
    input_modalities: tuple[str, ...] | None = None
    output_modalities: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    source: str | None = None
    license: str | None = None
    created_at: int | None = None
    size_bytes: int | None = None
    title: str | None = None
    embedding_length: int | None = None
    block_count: int | None = None
    head_count: int | None = None
    head_count_kv: int | None = None
    vocab_size: int | None = None
    tokenizer: str | None = None
    bits_per_weight: float | None = None
    tensor_count: int | None = None
    tensor_types: dict[str, int] | None = field(default=None, converter=_as_counts)
    base_model: tuple[str, ...] | None = None
    languages: tuple[str, ...] | None = None
    pipeline_tag: str | None = None
    chat_template: bool | None = None
    details: dict[str, Any] = field(factory=dict, converter=_as_dict)
    provenance: dict[str, Provenance] = field(factory=dict, converter=_as_dict)

    @parameter_count.default
    def _written_parameters(self) -> str | None:
        return format_parameters(self.parameters) if isinstance(self.parameters, int) else None

    def __attrs_post_init__(self) -> None:
        for name in _fields_to_check(_types_of(self)):
            if name in TEXTS:  # here and not in a converter, which would be called for each that is None
                object.__setattr__(self, name, _as_texts(getattr(self, name)))
            reason = misfit(name, getattr(self, name))
            if reason is not None:
                raise InvalidValueError(f"metadata: {name} {reason}")

    @classmethod
    def partial(cls, origin: Origin, detail: str = "", /, **values: Any) -> Self:
        """Build a partial metadata whose every value that is not None carries one provenance.

        Example:
            ``ModelMetadata.partial(Origin.CONFIG, "config.json", architecture="llama", context_length=8192)``

        Raises:
            InvalidValueError: A value has no field here, or is not of its field's type.
        """
        place = Provenance(origin, detail)
        provenance = {
            name: place for name, value in values.items() if value is not None and name not in _NO_FACTS
        }
        if "parameters" in provenance and "parameter_count" not in values:  # which is computed then
            provenance["parameter_count"] = place
        values["provenance"] = provenance
        try:
            return cls(**values)
        except TypeError:
            for name in values:
                if name not in _ALL_NAMES:
                    raise InvalidValueError(
                        f"metadata has no field {name!r}{did_you_mean(name, _ALL_NAMES)}"
                    ) from None
            raise

    @classmethod
    def told(cls, origin: Origin, detail: str = "", /, **values: Any) -> Self:
        """Build a partial metadata, by the name that `partial` had before; which goes with release 0.3.

        Raises:
            InvalidValueError: A value has no field here.
        """
        _warn_of_former_name("told", "partial")
        return cls.partial(origin, detail, **values)

    def fields_set(self) -> tuple[str, ...]:
        """Names of the fields that have a value, `details` and `provenance` aside."""
        return tuple([name for name, _ in field_values(self)])

    def known(self) -> tuple[str, ...]:
        """Names of the fields that have a value, by the name that `fields_set` had before; goes with 0.3."""
        _warn_of_former_name("known", "fields_set")
        return self.fields_set()

    @property
    def modalities(self) -> Modalities:
        """What goes in and what comes out."""
        return Modalities(self.input_modalities, self.output_modalities)

    def cite(self, **details: str) -> Self:
        """The same values, with a finer provenance detail for the fields that are named."""
        cited = {
            name: Provenance(self.provenance[name].origin, detail)
            for name, detail in details.items()
            if name in self.provenance
        }
        return attrs.evolve(self, provenance={**self.provenance, **cited})


def _warn_of_former_name(former: str, name: str) -> None:
    """Warn the caller of a method that has another name now."""
    import warnings  # only a program that uses such a name needs it

    message = f"ModelMetadata.{former} is now ModelMetadata.{name}; the old name goes with release 0.3"
    warnings.warn(message, DeprecationWarning, stacklevel=3)


_ALL_NAMES: tuple[str, ...] = tuple(one.name for one in attrs.fields(ModelMetadata))
_types_of = attrgetter(*(f"{name}.__class__" for name in _ALL_NAMES))
FIELD_NAMES: tuple[str, ...] = tuple(name for name in _ALL_NAMES if name not in _NO_FACTS)
"""The fields that a person can set: all but `details` and `provenance`."""
_values_of = attrgetter(*FIELD_NAMES)
_NO_ORIGIN = Provenance(Origin.FILENAME)

_NONE = type(None)
_WANTED: dict[str, tuple[str, tuple[type, ...], frozenset[type]]] = {
    "str | None": ("text", (str, _NONE), frozenset({str, _NONE})),
    "int | None": ("an integer", (int, _NONE), frozenset({int, _NONE})),
    "float | None": ("a number", (int, float, _NONE), frozenset({int, float, _NONE})),
    "bool | None": ("true or false", (bool, _NONE), frozenset({bool, _NONE})),
    "tuple[str, ...] | None": ("text, or several texts", (tuple, _NONE), frozenset({_NONE})),
    "dict[str, int] | None": ("integers by name", (dict, _NONE), frozenset({_NONE})),
    "dict[str, Any]": ("a mapping", (dict,), frozenset({dict})),
    "dict[str, Provenance]": ("a mapping", (dict,), frozenset({dict})),
}
"""What each annotation of a field asks for: in words, as types, and those whose every value fits.

Checked by hand because every record that is read passes here: attrs' validators take several times as long.
"""
_ANNOTATIONS = {one.name: str(one.type) for one in attrs.fields(ModelMetadata)}
COUNTS = frozenset(name for name, annotation in _ANNOTATIONS.items() if annotation == "int | None")
"""The fields that are integers."""
TEXTS = frozenset(name for name, annotation in _ANNOTATIONS.items() if annotation.startswith("tuple[str"))
"""The fields that are several texts."""
_FITTING = tuple((name, _WANTED[annotation][2]) for name, annotation in _ANNOTATIONS.items())
_TEXT, _INTEGER = frozenset({str}), frozenset({int})


@lru_cache(maxsize=1024)
def _fields_to_check(types: tuple[type, ...]) -> tuple[str, ...]:
    """The fields whose types alone do not show that they fit; of most values these are few."""
    return tuple([name for kind, (name, fitting) in zip(types, _FITTING, strict=True) if kind not in fitting])


def misfit(name: str, value: Any) -> str | None:
    """Why a value cannot be that of a field: ``must be an integer, not str 'long'``; None where it can."""
    # What is nearly always so, quickly: texts alone, and integers by text.
    if type(value) is tuple and name in TEXTS and _TEXT.issuperset(map(type, value)):
        return None
    if type(value) is dict and name == "tensor_types" and _are_counts(value):
        return None
    words, types, _ = _WANTED[_ANNOTATIONS[name]]
    wrong: list[Any] = []
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        wrong = [value]
    elif isinstance(value, tuple):
        wrong = [one for one in value if not isinstance(one, str)]
    elif isinstance(value, dict) and name == "tensor_types":
        wrong = [one for one in value if not isinstance(one, str)]
        wrong += [one for one in value.values() if not isinstance(one, int) or isinstance(one, bool)]
    return f"must be {words}, not {_shown(wrong[0])}" if wrong else None


def _are_counts(value: dict[Any, Any]) -> bool:
    return _TEXT.issuperset(map(type, value)) and _INTEGER.issuperset(map(type, value.values()))


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer or a nesting beyond what Python writes
        return type(value).__name__
    return f"{type(value).__name__} {text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + '…'}"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A hint for a misspelt name, to put behind a message; empty where no name is like it."""
    from difflib import get_close_matches  # only where something is wrong already

    close = get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def field_values(metadata: ModelMetadata) -> list[tuple[str, Any]]:
    """Names and values of the fields that have one, `details` and `provenance` aside."""
    return [
        (name, value)
        for name, value in zip(FIELD_NAMES, _values_of(metadata), strict=True)
        if value is not None
    ]


def detail_key(name: str) -> str:
    """A detail's name among the provenances."""
    return f"details.{name}"


def merge_metadata(partials: Iterable[ModelMetadata]) -> ModelMetadata:
    """Merge partial readings by rank: user > header > source > config > card > filename.

    Of two values with the same rank the earlier one is kept. A value without provenance ranks lowest.
    An exact `parameters` always brings its own `parameter_count`. Details are joined; of two with one name
    the first is kept. Capabilities are joined too, for each place sees some of them, but for those that a
    person set.
    """
    values: dict[str, Any] = {}
    provenance: dict[str, Provenance] = {}
    details: dict[str, Any] = {}
    partials = tuple(partials)
    for partial in partials:
        places = partial.provenance
        for name, value in zip(FIELD_NAMES, _values_of(partial), strict=True):
            if value is None:
                continue
            origin = places.get(name, _NO_ORIGIN)
            if name not in values or origin.origin > provenance[name].origin:
                values[name] = value
                provenance[name] = origin
        if partial.details:
            for name in partial.details.keys() - details.keys():
                key = detail_key(name)
                if key in places:
                    provenance[key] = places[key]
            details = {**partial.details, **details}
    if "capabilities" in values and provenance["capabilities"].origin is not Origin.USER:
        values["capabilities"] = joined_capabilities(*[one.capabilities for one in partials])
    return ModelMetadata(**values, details=details, provenance=provenance)
