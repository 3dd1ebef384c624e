"""Tell what a checkpoint is for by the names of its tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from modelshelf.model.kind import Kind
from modelshelf.model.tensor_names import MOST_TEXT, kind_of_names
from modelshelf_pytorch.tensors import NamedRun

if TYPE_CHECKING:
    from modelshelf_pytorch.containers.inspection import Inspection
    from modelshelf_pytorch.tensors import Tensors

_MOMENTS = (".exp_avg\n", ".momentum_buffer\n", ".square_avg\n", ".exp_avg_sq\n")
"""What optimizers keep for each parameter."""


class KindFacts(NamedTuple):
    """What a checkpoint is for.

    Attributes:
        fields: Fields of `ModelMetadata`.
        details: Facts of this kind alone.
        likely: The kind that counts where nothing else says one, or None.
    """

    fields: dict[str, Any] = {}  # noqa: RUF012 - a default of a tuple, which nobody changes
    details: dict[str, Any] = {}  # noqa: RUF012 - as above
    likely: str | None = None


def kind_facts(shards: Sequence[Inspection], *, described: bool = False) -> KindFacts:
    """What a checkpoint is for, by the names of its tensors.

    Args:
        shards: The files.
        described: Whether a configuration beside them names the architecture.
    """
    names = [name for shard in shards for name in _names_of(shard)]
    text = "\n".join(["", *names, ""])
    if not names or len(text) > MOST_TEXT:
        return KindFacts()
    if _is_optimizer(shards, text):
        return KindFacts({"kind": Kind.OPTIMIZER_STATE.value})

    def shape_of(name: str) -> tuple[int, ...] | None:
        return next((shape for shard in shards for shape in _shapes(shard, name)), None)

    found = kind_of_names(text, shape_of)
    if found is None:
        return KindFacts()
    if found.likely:
        return KindFacts(likely=found.kind.value)
    fields: dict[str, Any] = {"kind": found.kind.value, "architecture": None if described else found.family}
    if found.output is not None:
        fields["output_modalities"] = found.output
    return KindFacts({name: one for name, one in fields.items() if one is not None}, found.details)


def _names_of(shard: Inspection) -> Iterable[str]:
    """Names of the model's tensors, without that of the part of the checkpoint that it is."""
    prefix = f"{shard.contents.part}." if shard.contents.part else ""
    for one in shard.contents.model or shard.contents.all:
        if isinstance(one, NamedRun):
            before = one.prefix.removeprefix(prefix)
            yield from (before + name for name in one.run.names) if before else one.run.names
        else:
            yield one.name.removeprefix(prefix)


def _shapes(shard: Inspection, name: str) -> Iterable[tuple[int, ...]]:
    prefix = f"{shard.contents.part}." if shard.contents.part else ""
    for one in _singly(shard.contents.model):
        if one[0].removeprefix(prefix) == name:
            yield one[1]


def _singly(tensors: Tensors) -> Iterable[tuple[str, tuple[int, ...]]]:
    for one in tensors:
        if isinstance(one, NamedRun):
            for single in one.tensors:
                yield single.name, single.tensor.shape
        else:
            yield one.name, one.tensor.shape


def _is_optimizer(shards: Sequence[Inspection], names: str) -> bool:
    """Whether all there is are the moments of parameters."""
    if not any(mark in names for mark in _MOMENTS):
        return False
    return names.count("\nstate[") + names.count("\noptim") >= names.count("\n") - 1 or not any(
        shard.contents.model for shard in shards
    )
