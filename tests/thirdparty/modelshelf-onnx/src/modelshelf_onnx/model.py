"""What a model says of itself, and the files beside it that hold its tensors."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from modelshelf.errors import FormatError
from modelshelf.model import Finding, Severity
from modelshelf.reader import FileReader
from modelshelf_onnx.without_data import without_data


@dataclass(frozen=True, kw_only=True)
class External:
    """Where the data of one tensor lies: a file's name as the model tells it, and the last byte it needs."""

    location: str
    end: int


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is read of a model; no tensor's data is."""

    ir_version: int
    producer: str
    opsets: dict[str, int]
    operators: dict[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    tensor_types: dict[str, int]
    external: tuple[External, ...]

    @property
    def parameters(self) -> int:
        """Elements of all initializers."""
        return sum(prod(shape) for shape in self.shapes)


def parse(file: FileReader) -> Model:
    """Read a model with the `onnx` package's own parser, shown everything but the data.

    Raises:
        ReadError: It is no ONNX model.
    """
    import onnx
    from google.protobuf.message import DecodeError

    message = without_data(file)
    try:
        return _model_of(onnx.load_model_from_string(message), onnx.TensorProto)
    except (DecodeError, ValueError) as error:
        raise FormatError(f"{file.name}: the onnx package refuses it: {error}", file=file.name) from error


def _model_of(proto, tensor_type) -> Model:  # type: ignore[no-untyped-def]
    if not proto.graph.node or not proto.opset_import:
        raise ValueError("a model has a graph and names its operator sets")
    tensors = proto.graph.initializer
    shapes = tuple(tuple(one.dims) for one in tensors)
    if any(size < 0 for shape in shapes for size in shape):
        raise ValueError("a dimension is negative")
    names = {number: name for name, number in tensor_type.DataType.items()}
    outside = [one for one in tensors if one.data_location == tensor_type.EXTERNAL]
    return Model(
        ir_version=proto.ir_version,
        producer=f"{_text(proto.producer_name)} {_text(proto.producer_version)}".strip(),
        opsets={_text(one.domain) or "ai.onnx": one.version for one in proto.opset_import},
        operators=dict(sorted(Counter(_text(one.op_type) for one in proto.graph.node).items())),
        inputs=tuple(_text(one.name) for one in proto.graph.input),
        outputs=tuple(_text(one.name) for one in proto.graph.output),
        shapes=shapes,
        tensor_types=dict(Counter(names.get(one.data_type, str(one.data_type)) for one in tensors)),
        external=tuple(_external(tensor.external_data) for tensor in outside),
    )


def _text(value: str | bytes) -> str:
    if isinstance(value, bytes):  # protobuf gives text that is no UTF-8 as it stands
        raise ValueError(f"{value[:40]!r} is no UTF-8")  # noqa: TRY004 - the file's fault
    return value


def _external(entries) -> External:  # type: ignore[no-untyped-def]
    entry = {_text(one.key): _text(one.value) for one in entries}
    offset, length = int(entry.get("offset", "0")), int(entry.get("length", "0"))
    if offset < 0 or length < 0:
        raise ValueError("an external tensor lies at a negative place")
    return External(location=entry.get("location", ""), end=offset + length)


def external_sizes(model: Model, folder: str) -> dict[str, int | None]:
    """Bytes of each file that the model names: None where it is missing, -1 where it lies outside."""
    sizes: dict[str, int | None] = {}
    for location in dict.fromkeys(one.location for one in model.external):
        path = os.path.join(folder, location)
        try:
            inside = os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)
            relative = not os.path.isabs(location) and "\\" not in location
            sizes[location] = os.stat(path).st_size if inside and relative else -1
        except (OSError, ValueError):
            sizes[location] = None
    return sizes


def external_findings(model: Model, folder: str, file: str) -> Iterator[Finding]:
    """What is wrong with the files that the model names; they are asked for their sizes, never opened."""
    for location, size in external_sizes(model, folder).items():
        end = max(one.end for one in model.external if one.location == location)
        if size is None:
            code, reason = "external-data-missing", "is not there: put it beside the model"
        elif size < 0:
            code, reason = "external-data-escapes", "lies outside of the model's folder"
        elif size < end:
            code, reason = (
                "external-data-short",
                f"has {size} bytes where {end} are needed: download it again",
            )
        else:
            continue
        message = f"{file}: its tensors' data lies in {location!r}, which {reason}"
        yield Finding(code=code, severity=Severity.ERROR, message=message, file=file)
