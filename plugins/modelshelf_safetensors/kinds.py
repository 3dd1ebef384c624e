"""Tell what a safetensors model is for, by its tensors' names and by what trainers write into the header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from modelshelf.model.tensor_names import kind_of_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelshelf_safetensors.layout import Layout
    from modelshelf_safetensors.sharded import Checkpoint

TENSOR_NAMES = "tensor names"
_TRAINED = {"adapter_rank": "ss_network_dim", "adapter_alpha": "ss_network_alpha"}
"""Details of an adapter, and where kohya's sd-scripts write them."""

_LONGEST = 64  # characters of a number, or of the name of a base


class KindFacts(NamedTuple):
    """What a model is for.

    Attributes:
        fields: Fields of `ModelMetadata`, all by the tensors' names.
        details: Facts of this kind alone.
        family: The family that the names are of, or None.
        likely: The kind that counts where nothing else says one, or None.
    """

    fields: dict[str, Any] = {}  # noqa: RUF012 - a default of a tuple, which nobody changes
    details: dict[str, Any] = {}  # noqa: RUF012 - as above
    family: str | None = None
    likely: str | None = None


def kind_facts(checkpoint: Checkpoint, tensors: Mapping[str, Layout]) -> KindFacts:
    """What the names say of a model, and beside them the trainer."""

    def shape_of(name: str) -> tuple[int, ...] | None:
        layout = tensors.get(name)
        return None if layout is None else layout.shape

    found = kind_of_names("\n".join(["", *tensors, ""]), shape_of)
    if found is None:
        return KindFacts()
    if found.likely:
        return KindFacts(likely=found.kind.value)
    fields: dict[str, Any] = {"kind": found.kind.value}
    if found.output is not None:
        fields["output_modalities"] = found.output
    details = dict(found.details)
    if "adapter" in details:
        details = {**_by_trainer(checkpoint.metadata), **details}
    return KindFacts(fields, details, found.family)


def _by_trainer(facts: Mapping[str, str]) -> dict[str, Any]:
    """Rank and alpha as the trainer was called with, and the family of the base."""
    details: dict[str, Any] = {}
    for name, key in _TRAINED.items():
        number = _number(facts.get(key, ""))
        if number is not None:
            details[name] = number
    base = facts.get("ss_base_model_version", "").strip()
    if base and len(base) <= _LONGEST:
        details["adapter_base"] = base
    return details


def _number(text: str) -> int | float | None:
    try:
        number = float(text) if len(text) <= _LONGEST else None
    except ValueError:
        return None
    if number is None or not 0 < number < 1 << 31:
        return None
    return int(number) if number.is_integer() else number
