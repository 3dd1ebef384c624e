"""Compare the values of one record: where two cannot both be right, the weaker one is dropped.

Only what is beyond doubt: embeddings that are left as they are, experts, adapters and parts of a model make
honest numbers differ.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from modelshelf.model.health import Finding, Severity
from modelshelf.model.metadata import ModelMetadata, Origin, Provenance, detail_key
from modelshelf.model.quantity import format_parameters, parse_parameters

CODE = "inconsistent"

_FACTOR = 1.5  # a label's count is rounded, and may leave embeddings out
_FEWEST_BITS = 0.7  # of those that a quantization is named after; ternary and sparse ones stay above
_MOST_BITS = 16.5  # a weight of fewer than eight bits has no more, whatever is beside it
_BYTE = 8
_FLOATS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16}
_CONFIG_DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "half": "F16", "bfloat16": "BF16"}
_BITS = re.compile(
    r"^(?:IQ|Q|INT|FP|F|NF|MXFP)(\d{1,2})(?:_|$)|[-_](?:INT|FP|NF)?(\d)(?:BIT)?$", re.IGNORECASE
)
_LABEL = re.compile(r"(?:(\d{1,4})x)?(\d{1,4}(?:\.\d+)?[KMBT])(?:-.*)?", re.IGNORECASE)
_PARTS = frozenset({"adapter", "mmproj", "imatrix", "vocab"})  # values of a header's type


def consistent(metadata: ModelMetadata) -> tuple[ModelMetadata, tuple[Finding, ...]]:
    """Drop the values that others contradict, and say why each was dropped."""
    findings: list[Finding] = []
    for check in (_quantization, _size_label, _dtype):
        name, reason = check(metadata)
        if reason:
            metadata = _without(metadata, name)
            findings.append(Finding(code=CODE, severity=Severity.INFO, message=reason))
    return metadata, tuple(findings)


def _without(metadata: ModelMetadata, name: str) -> ModelMetadata:
    """The same without a field, or without a detail."""
    provenance = {key: one for key, one in metadata.provenance.items() if key not in {name, detail_key(name)}}
    if name in metadata.details:
        details = {key: value for key, value in metadata.details.items() if key != name}
        return attrs.evolve(metadata, details=details, provenance=provenance)
    gone: dict[str, Any] = {name: None}
    return attrs.evolve(metadata, provenance=provenance, **gone)


def _quantization(metadata: ModelMetadata) -> tuple[str, str]:
    """A quantization that a name, a card or a config tells, against the bits that the tensors have."""
    name, bits = metadata.quantization, metadata.bits_per_weight
    origin = metadata.provenance.get("quantization", Provenance(Origin.FILENAME)).origin
    named = _BITS.search(name) if name else None
    if bits is None or named is None or origin >= Origin.HEADER:
        return "quantization", ""
    nominal = int(named[1] or named[2])
    most = _MOST_BITS if nominal < _BYTE else nominal * 2.0
    if not nominal or nominal * _FEWEST_BITS <= bits <= most:
        return "quantization", ""
    return "quantization", (
        f"the {origin} says {name}, and the tensors have {bits:g} bits per weight; the name is dropped"
    )


def _size_label(metadata: ModelMetadata) -> tuple[str, str]:
    """The size that a header is labelled with, against its tensors."""
    text, count = metadata.details.get("size_label"), metadata.parameters
    label = _LABEL.fullmatch(text) if isinstance(text, str) else None
    if label is None or not count or metadata.details.get("type") in _PARTS:
        return "size_label", ""
    each = parse_parameters(label[2]) or 0
    if each / _FACTOR <= count <= each * int(label[1] or 1) * _FACTOR:
        return "size_label", ""
    return "size_label", (
        f"the header is labelled {text}, and its tensors hold {format_parameters(count)} parameters;"
        " the tensors are believed"
    )


def _dtype(metadata: ModelMetadata) -> tuple[str, str]:
    """The type that a config says weights have, against plain tensors."""
    text, stored = metadata.details.get("torch_dtype"), metadata.quantization
    said = _CONFIG_DTYPES.get(text.removeprefix("torch.")) if isinstance(text, str) else None
    by_header = metadata.provenance.get("quantization", Provenance(Origin.FILENAME)).origin is Origin.HEADER
    if said is None or stored not in _FLOATS or not by_header or said == stored:
        return "torch_dtype", ""
    return (
        "torch_dtype",
        f"the config says that weights are {text}, and they are {stored}; the config's word is dropped",
    )
