"""The name of a model's quantization: what `general.file_type` says, held against the tensors themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import frozen

from modelshelf_gguf.tables import UNQUANTIZED, tensor_type_name

if TYPE_CHECKING:
    from modelshelf_gguf.header import TensorInfo

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
}
"""The mixtures of llama.cpp's quantizer (`llama_tensor_get_type`): the first is the mixture's own type."""

_FALLBACKS: Mapping[str, str] = {
    "Q2_K": "IQ4_NL",
    "Q3_K": "IQ4_NL",
    "IQ4_XS": "IQ4_NL",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
    "TQ1_0": "Q4_0",
    "TQ2_0": "Q4_0",
}
"""What the quantizer takes where a row is no whole number of 256-element blocks."""


@frozen(kw_only=True)
class Quantization:
    """What the tensors and the header agree on, or what the tensors say where they do not.

    Attributes:
        name: ``Q4_K_M``, ``F16``, …; None where there are no tensors to be quantized.
        declared: What `general.file_type` says, or None.
        dominant: The type that most elements have, or None where there are no tensors.
    """

    name: str | None
    declared: str | None
    dominant: str | None

    @property
    def contradicted(self) -> bool:
        """Whether the header says one thing and the tensors another."""
        return self.declared is not None and self.dominant is not None and self.name != self.declared


def quantization_of(declared: str | None, tensors: Iterable[TensorInfo]) -> Quantization:
    """Judge a quantization by all tensors of a model.

    The tensors' types alone cannot tell Q4_K_M from Q4_K_S, so a declared name stands where it fits them;
    where it does not, or none is declared, the type of most elements is the name.
    """
    by_number: dict[int, int] = {}
    for tensor in tensors:
        # Norms and biases stay in 32 bits in every quantization: vectors do not count beside matrices.
        weight = tensor.elements if len(tensor.shape) > 1 else 0
        by_number[tensor.type] = by_number.get(tensor.type, 0) + weight
    if not by_number:
        return Quantization(name=None, declared=declared, dominant=None)
    elements = {tensor_type_name(number): weight for number, weight in by_number.items()}
    dominant = max(elements, key=elements.__getitem__)
    name = declared if declared and _fits(declared, dominant, set(elements)) else dominant
    return Quantization(name=name, declared=declared, dominant=dominant)


def _fits(declared: str, dominant: str, present: set[str]) -> bool:
    if declared == dominant:
        return True
    family = _FAMILIES.get(declared, (declared,))
    own = {family[0], _FALLBACKS.get(family[0], family[0])}
    if dominant in own:
        return True
    # Embeddings left unquantized can outweigh the blocks of a small model.
    mixed = dominant in family or dominant in UNQUANTIZED
    return declared not in UNQUANTIZED and mixed and not own.isdisjoint(present)
