"""Tensor types and quantizations: the numbers of the format, their names, and which name fits a model.

Sources: `enum ggml_type` and `type_traits` of ggml, `enum llama_ftype` and the quantizer of llama.cpp. The
`gguf` package has the same tables, and takes 0.2 s to import; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from attrs import frozen

if TYPE_CHECKING:
    from modelshelf_gguf.header import TensorInfo


class TensorType(NamedTuple):
    """How the elements of a tensor are stored.

    Attributes:
        name: The type's name in ggml: ``Q4_K``.
        block: Elements per block; a row is a whole number of blocks.
        size: Bytes per block.
    """

    name: str
    block: int
    size: int


TENSOR_TYPES: dict[int, TensorType] = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    9: TensorType("Q8_1", 32, 36),
    10: TensorType("Q2_K", 256, 84),
    11: TensorType("Q3_K", 256, 110),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
    15: TensorType("Q8_K", 256, 292),
    16: TensorType("IQ2_XXS", 256, 66),
    17: TensorType("IQ2_XS", 256, 74),
    18: TensorType("IQ3_XXS", 256, 98),
    19: TensorType("IQ1_S", 256, 50),
    20: TensorType("IQ4_NL", 32, 18),
    21: TensorType("IQ3_S", 256, 110),
    22: TensorType("IQ2_S", 256, 82),
    23: TensorType("IQ4_XS", 256, 136),
    24: TensorType("I8", 1, 1),
    25: TensorType("I16", 1, 2),
    26: TensorType("I32", 1, 4),
    27: TensorType("I64", 1, 8),
    28: TensorType("F64", 1, 8),
    29: TensorType("IQ1_M", 256, 56),
    30: TensorType("BF16", 1, 2),
    34: TensorType("TQ1_0", 256, 54),
    35: TensorType("TQ2_0", 256, 66),
    39: TensorType("MXFP4", 32, 17),
    40: TensorType("NVFP4", 64, 36),
    41: TensorType("Q1_0", 128, 18),
    42: TensorType("Q2_0", 64, 18),
}

REMOVED_TENSOR_TYPES: dict[int, str] = {
    4: "Q4_2",
    5: "Q4_3",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
}
"""Numbers that were in use once and that today's loaders refuse."""

MXFP4 = 39
"""The number of MXFP4 in the table."""

BITNET_TENSOR_TYPES: dict[int, str] = {-36: "I2_S", -37: "I8_S", -38: "TL1", -39: "TL2"}
"""Types of Microsoft's BitNet, by the negated numbers that it gives them."""

UNQUANTIZED = frozenset({"F64", "F32", "F16", "BF16", "I8", "I16", "I32", "I64"})

FILE_TYPES: dict[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    4: "Q4_1_SOME_F16",
    5: "Q4_2",
    6: "Q4_3",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    33: "Q4_0_4_4",
    34: "Q4_0_4_8",
    35: "Q4_0_8_8",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}
"""Values of `general.file_type` and the names of quantizations that people know them by."""

GUESSED_FILE_TYPE = 1024
"""A flag in `general.file_type`: the writer guessed the value (`LLAMA_FTYPE_GUESSED`)."""


def tensor_type_name(number: int) -> str:
    """Name a tensor type; ``type-N`` for an unknown number."""
    tensor_type = TENSOR_TYPES.get(number)
    if tensor_type is not None:
        return tensor_type.name
    return BITNET_TENSOR_TYPES.get(number) or REMOVED_TENSOR_TYPES.get(number, f"type-{number}")


def file_type_name(number: int) -> str | None:
    """Name a file type; None for an unknown number."""
    return FILE_TYPES.get(number & ~GUESSED_FILE_TYPE)


_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "Q4_1_SOME_F16": ("Q4_1",),
    "Q2_K": ("Q2_K", "Q3_K", "Q4_K"),
    "Q2_K_S": ("Q2_K", "Q3_K", "Q4_K"),
    "Q3_K_S": ("Q3_K", "Q4_K", "Q5_K"),
    "Q3_K_M": ("Q3_K", "Q4_K", "Q5_K"),
    "Q3_K_L": ("Q3_K", "Q4_K", "Q5_K"),
    "Q4_K_S": ("Q4_K", "Q5_K", "Q6_K"),
    "Q4_K_M": ("Q4_K", "Q5_K", "Q6_K"),
    "Q5_K_S": ("Q5_K", "Q6_K"),
    "Q5_K_M": ("Q5_K", "Q6_K"),
    "IQ1_S": ("IQ1_S", "IQ2_XXS", "IQ3_XXS", "Q2_K", "Q4_K"),
    "IQ1_M": ("IQ1_M", "IQ2_XXS", "IQ3_XXS", "Q2_K", "Q4_K"),
    "IQ2_XXS": ("IQ2_XXS", "IQ3_XXS", "Q2_K", "Q4_K"),
    "IQ2_XS": ("IQ2_XS", "IQ3_XXS", "Q2_K", "Q4_K"),
    "IQ2_S": ("IQ2_XS", "IQ2_S", "IQ3_S", "Q4_K"),
    "IQ2_M": ("IQ2_S", "IQ3_S", "Q4_K"),
    "IQ3_XXS": ("IQ3_XXS", "IQ2_S", "IQ3_S", "Q3_K", "Q4_K"),
    "IQ3_XS": ("IQ3_XXS", "IQ3_S", "Q4_K"),
    "IQ3_S": ("IQ3_S", "Q4_K"),
    "IQ3_M": ("IQ3_S", "Q4_K", "Q5_K"),
    "IQ4_XS": ("IQ4_XS", "Q4_K", "Q5_K"),
    "MXFP4_MOE": ("MXFP4", "Q8_0"),
    "MXFP4": ("MXFP4", "Q8_0"),
}
"""The types that llama.cpp's quantizer mixes (`llama_tensor_get_type`), the quantization's own first."""

_FALLBACKS: Mapping[str, str] = {
    "Q2_K": "IQ4_NL",
    "Q3_K": "IQ4_NL",
    "IQ1_S": "IQ4_NL",
    "IQ1_M": "IQ4_NL",
    "IQ2_XXS": "IQ4_NL",
    "IQ2_XS": "IQ4_NL",
    "IQ2_S": "IQ4_NL",
    "IQ3_XXS": "IQ4_NL",
    "IQ3_S": "IQ4_NL",
    "IQ4_XS": "IQ4_NL",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
    "TQ1_0": "Q4_0",
    "TQ2_0": "Q4_0",
}
"""The type that the quantizer takes where a row is no whole number of 256-element blocks."""

_OUTPUT_TYPES = ("Q6_K", "Q5_K", "Q8_0")
"""What the quantizer may take for the output, and so for embeddings that are the output too."""

_BLOCK = 256
_EMBEDDINGS = ("token_embd", "output", "position_embd", "per_layer_token_embd", "token_types")


@frozen(kw_only=True)
class Quantization:
    """A model's quantization: the declared one where the tensors fit it, else that of most elements.

    Attributes:
        name: ``Q4_K_M``, ``F16``, …; None where there are no tensors.
        declared: The name of a `general.file_type`, or None.
        dominant: The type of most elements, or None where there are no tensors.
    """

    name: str | None
    declared: str | None
    dominant: str | None

    @property
    def contradicted(self) -> bool:
        """Whether the tensors do not fit the declared name."""
        return self.declared is not None and self.dominant is not None and self.name != self.declared


def quantization_of(declared: str | None, tensors: Iterable[TensorInfo]) -> Quantization:
    """Name the quantization of a model by its declared name and all its tensors.

    The tensors' types alone cannot distinguish Q4_K_M from Q4_K_S, so a declared name is taken where it fits
    them; where it does not, or none is declared, the type of most elements is the name.
    """
    elements: dict[int, int] = {}
    elsewhere: dict[int, int] = {}  # outside of the embeddings, rows of whole blocks
    short: dict[int, int] = {}  # the same of rows that are none, where the quantizer falls back
    for tensor in tensors:
        # Norms and biases stay in 32 bits in every quantization: vectors do not count beside matrices.
        weight = tensor.elements if len(tensor.shape) > 1 else 0
        kind = tensor.type
        elements[kind] = elements.get(kind, 0) + weight
        if not tensor.name.startswith(_EMBEDDINGS):
            rows = short if tensor.shape and tensor.shape[0] % _BLOCK else elsewhere
            rows[kind] = rows.get(kind, 0) + weight
    if not elements:
        return Quantization(name=None, declared=declared, dominant=None)
    dominant = tensor_type_name(max(elements, key=elements.__getitem__))
    # A type of a fork has no name here, and the file's own name may tell it.
    name = None if dominant.startswith("type-") else dominant
    if declared and (declared == dominant or _fits(declared, elements, _named(elsewhere), _named(short))):
        name = declared
    return Quantization(name=name, declared=declared, dominant=dominant)


def _named(elements: Mapping[int, int]) -> dict[str, int]:
    return {tensor_type_name(number): weight for number, weight in elements.items() if weight}


def _fits(
    declared: str, elements: Mapping[int, int], whole: Mapping[str, int], short: Mapping[str, int]
) -> bool:
    """Whether most of a model's blocks are of the types that the quantizer mixes under a declared name.

    Embeddings that are left unquantized, or are the output too, can outweigh the blocks of a small model.
    """
    family = _FAMILIES.get(declared, (declared,))
    embeddings = {tensor_type_name(number) for number, weight in elements.items() if weight}
    if not whole and not short:
        return declared not in UNQUANTIZED and not embeddings.isdisjoint({*family, *_OUTPUT_TYPES[:1]})
    fallbacks = {_FALLBACKS.get(one, one) for one in family}
    own = {family[0], _FALLBACKS.get(family[0], family[0])}
    # Fallbacks are counted in rows of whole blocks too: padded and older quantizers took them there.
    possible = {*family, "Q6_K", _FALLBACKS.get(family[0], family[0])} if declared[0] != "F" else {declared}
    fitting = sum(weight for kind, weight in whole.items() if kind in possible)
    fitting += sum(weight for kind, weight in short.items() if kind in possible | fallbacks | {"Q8_0"})
    total = sum(whole.values()) + sum(short.values())
    if declared in UNQUANTIZED or own.isdisjoint({*whole, *short}):
        return False
    return fitting * 2 > total
