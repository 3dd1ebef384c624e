"""Count the parameters behind a model's tensors, packed ones unpacked; what no rule fits is not counted over.

Source for what counts at all: the parser behind the Hub's pages (huggingface.js).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from attrs import field, frozen

from modelshelf.packing.schemes import is_expert, may_name_packed, recognise
from modelshelf.packing.tensors import INTEGER_BITS, SCALES, UNPACKED, bytes_of

if TYPE_CHECKING:
    from modelshelf.packing.schemes import Packed
    from modelshelf.packing.settings import PackingSettings
    from modelshelf.packing.tensors import Tensors

__all__ = ["Counted", "count_parameters", "may_be_packed", "may_name_packed"]

MOST_NAMED = 3
"""Tensors that are named where no rule fits."""

_BOOKKEEPING = frozenset(
    {
        "weight_scale",
        "weight_scale_inv",
        "weight_scale_2",
        "weight_global_scale",
        "weight_zero_point",
        "input_scale",
        "input_global_scale",
        "input_zero_point",
        "zero_point",
        "weight_shape",
        "weight_g_idx",
    }
)
"""Last parts of names that are no parameters where a config names a method."""

_MARKS = frozenset({"scaled_fp8", "comfy_quant"})
_LONG = frozenset({"I64", "U64"})  # tables and positions as a rule
_SMALL_SHARE = 100  # of the bytes: what is less, a table or a mask, is taken as it is
_PER_BYTE = 2  # elements that a byte of an unknown packing is taken to hold


@frozen(kw_only=True)
class Counted:
    """The parameters behind a set of tensors.

    Attributes:
        parameters: Exactly, or None where a packing is not understood.
        label: The packing scheme of most packed parameters, or the config's word where none is recognised and
            some should be; None where nothing is packed.
        by_dtype: Parameters that are not packed, by dtype.
        not_understood: Packed tensors that no rule could count, the largest of them.
    """

    parameters: int | None
    label: str | None = None
    by_dtype: Counter[str] = field(factory=Counter)
    not_understood: tuple[str, ...] = ()


def count_parameters(tensors: Tensors, settings: PackingSettings) -> Counted:
    """Count parameters by names, types and shapes, and by what the config says of the packing."""
    apart: set[str] = set()  # packed weights, and what belongs to them
    labels, unknown = Counter[str](), list[str]()
    if may_be_packed({layout.dtype for layout in tensors.values()}):
        for one in _recognised(tensors, settings):
            apart.add(one.weight)
            apart.update(filter(tensors.__contains__, one.beside))
            labels[one.label] += one.elements or 0
            if one.elements is None:
                unknown.append(one.weight)
    recognised = bool(apart)
    by_dtype, integers = Counter[str](), list[str]()
    for name in _parameters(tensors, apart, named=bool(settings.method)):
        layout = tensors[name]
        bits = INTEGER_BITS.get(layout.dtype)
        if bits is not None and settings.expert_bits and is_expert(name):
            labels[(settings.expert_name or "").upper()] += layout.elements * bits // settings.expert_bits
            continue
        if bits is not None:
            integers.append(name)
        by_dtype[layout.dtype] += layout.elements
    if integers and _are_packed(integers, tensors, settings, recognised=recognised):
        unknown += integers
    label = next((one for one, _ in labels.most_common(1)), None)
    if unknown:
        return Counted(
            parameters=None,
            label=label or settings.name,
            by_dtype=by_dtype if label else Counter(),
            not_understood=_largest(unknown, tensors),
        )
    return Counted(parameters=by_dtype.total() + labels.total(), label=label, by_dtype=by_dtype)


def _parameters(tensors: Tensors, apart: set[str], *, named: bool) -> Iterator[str]:
    """Names of the tensors that are parameters as they are: no scalars, nor types of scales alone."""
    for name, layout in tensors.items():
        if name in apart or not layout.shape or layout.dtype in SCALES:
            continue
        last = name.rpartition(".")[2]
        if last not in _MARKS and not (named and last in _BOOKKEEPING):
            yield name


def may_be_packed(dtypes: Iterable[str]) -> bool:
    """Whether weights may be packed into tensors of these types."""
    return not UNPACKED.issuperset(dtypes)


def _recognised(tensors: Tensors, settings: PackingSettings) -> Iterator[Packed]:
    taken: set[str] = set()
    for name in tensors:
        packed = recognise(name, tensors, settings)
        if packed is not None and packed.weight not in taken:
            taken.add(packed.weight)
            yield packed


def _are_packed(names: list[str], tensors: Tensors, settings: PackingSettings, *, recognised: bool) -> bool:
    """Whether integers that no scheme claims must hold packed weights; vectors of them are none.

    Beside a scheme, or under a method that the config names, they do unless they are few; without, where they
    would outweigh the floats.
    """
    matrices = [tensors[one] for one in names if len(tensors[one].shape) > 1]
    if recognised or settings.method or settings.bits is not None:
        return sum(map(bytes_of, matrices)) * _SMALL_SHARE > sum(map(bytes_of, tensors.values()))
    words = sum(bytes_of(one) for one in matrices if one.dtype not in _LONG)
    floats = sum(one.elements for one in tensors.values() if one.dtype not in INTEGER_BITS)
    return words * _PER_BYTE > floats


def _largest(names: list[str], tensors: Tensors) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: (-bytes_of(tensors[name]), name))[:MOST_NAMED])
