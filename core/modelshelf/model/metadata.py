"""What is known of a model, and where each value comes from."""

from __future__ import annotations

from enum import IntEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self

import attrs
from attrs import field, frozen

from modelshelf.errors import InvalidValueError
from modelshelf.model.converters import as_dict
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


_NO_FACTS = frozenset({"details", "provenance"})  # fields that have no provenance of their own


def _strings(values: Iterable[str] | str | None) -> tuple[str, ...] | None:
    if values is None:
        return None
    return (values,) if isinstance(values, str) else tuple(values)


def _frozen_counts(counts: Mapping[str, int] | None) -> dict[str, int] | None:
    return None if counts is None else dict(counts)


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
        details: Facts of one format that have no field here; values are JSON scalars or lists of them.
        provenance: Field name to where its value comes from; a detail's name as `detail_key` writes it.
    """

    architecture: str | None = None
    quantization: str | None = None
    parameters: int | None = None
    parameter_count: str | None = field()
    format: str | None = None
    context_length: int | None = None
    tags: tuple[str, ...] | None = field(default=None, converter=_strings)
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
    tensor_types: dict[str, int] | None = field(default=None, converter=_frozen_counts)
    base_model: tuple[str, ...] | None = field(default=None, converter=_strings)
    languages: tuple[str, ...] | None = field(default=None, converter=_strings)
    pipeline_tag: str | None = None
    chat_template: bool | None = None
    details: dict[str, Any] = field(factory=dict, converter=as_dict)
    provenance: dict[str, Provenance] = field(factory=dict, converter=as_dict)

    @parameter_count.default
    def _written_parameters(self) -> str | None:
        return None if self.parameters is None else format_parameters(self.parameters)

    @classmethod
    def partial(cls, origin: Origin, detail: str = "", /, **values: Any) -> Self:
        """Build a partial metadata whose every value that is not None carries one provenance.

        Example:
            ``ModelMetadata.partial(Origin.CONFIG, "config.json", architecture="llama", context_length=8192)``

        Raises:
            InvalidValueError: A value has no field here.
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
        except TypeError as error:
            raise InvalidValueError(f"metadata has no such field: {error}") from None

    @classmethod
    def told(cls, origin: Origin, detail: str = "", /, **values: Any) -> Self:
        """Build a partial metadata, by the name that `partial` had before; which goes with release 0.3.

        Raises:
            InvalidValueError: A value has no field here.
        """
        import warnings

        message = "ModelMetadata.told is now ModelMetadata.partial; the old name goes with release 0.3"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return cls.partial(origin, detail, **values)

    def known(self) -> tuple[str, ...]:
        """Names of the fields that hold a value, `details` and `provenance` aside."""
        return tuple([name for name, _ in known_values(self)])

    def cite(self, **details: str) -> Self:
        """The same values, with a finer provenance detail for the fields that are named."""
        cited = {
            name: Provenance(self.provenance[name].origin, detail)
            for name, detail in details.items()
            if name in self.provenance
        }
        return attrs.evolve(self, provenance={**self.provenance, **cited})


FIELD_NAMES: tuple[str, ...] = tuple(
    one.name for one in attrs.fields(ModelMetadata) if one.name not in _NO_FACTS
)


_values_of = attrgetter(*FIELD_NAMES)
_NO_ORIGIN = Provenance(Origin.FILENAME)


def known_values(metadata: ModelMetadata) -> list[tuple[str, Any]]:
    """Names and values of the fields that hold one, `details` and `provenance` aside."""
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
    the first is kept.
    """
    values: dict[str, Any] = {}
    provenance: dict[str, Provenance] = {}
    details: dict[str, Any] = {}
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
    return ModelMetadata(**values, details=details, provenance=provenance)
