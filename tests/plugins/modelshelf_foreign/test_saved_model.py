"""SavedModels whose operations reach for files, written by the fields' numbers of TensorFlow's schemas."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf import ModelConfig, ModelRegistry
from modelshelf.model import Artifact, ArtifactFile
from modelshelf.reader import ArtifactReader
from modelshelf.testing.artifacts import in_memory
from modelshelf_foreign.saved_model import operation_findings


def varint(value: int, padding: int = 0) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    if padding:
        data[-1] |= 0x80
        data += bytes([0x80] * (padding - 1) + [0])
    return bytes(data)


def field(number: int, content: bytes, padding: int = 0) -> bytes:
    return varint(number << 3 | 2) + varint(len(content), padding) + content


def node(operation: str, attributes: bytes = b"", padding: int = 0) -> bytes:
    return field(1, b"name") + field(2, operation.encode(), padding) + field(5, attributes)


def saved_model(*nodes: bytes, in_function: bool = False) -> bytes:
    graph = b"".join(field(1, one) for one in nodes)
    if in_function:
        function = field(1, field(1, b"__inference")) + b"".join(field(3, one) for one in nodes)
        graph = field(1, node("Placeholder")) + field(2, field(1, function))
    return varint(1 << 3) + varint(1) + field(2, field(1, field(4, b"serve")) + field(2, graph))


def scanned(tmp_path: Path, content: bytes, **beside: bytes) -> ModelConfig:
    folder = tmp_path / "models" / "m"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(content)
    for name, data in beside.items():
        (folder / f"{name}.pb").write_bytes(data)
    with ModelRegistry(tmp_path / "models", tmp_path / "data") as registry:
        registry.discover_models()
        (model,) = (one for one in registry if one.metadata.format == "savedmodel")
        return model


@pytest.mark.parametrize("in_function", [False, True], ids=["graph", "function"])
@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("ReadFile", "reads-files"),
        ("WriteFile", "writes-files"),
        ("MatchingFiles", "reads-files"),
        ("EagerPyFunc", "calls-python"),
    ],
)
def test_operations_that_reach_for_files_or_python_degrade(
    tmp_path: Path, operation: str, code: str, in_function: bool
) -> None:
    content = saved_model(node("MatMul"), node(operation), in_function=in_function)
    model = scanned(tmp_path, content)
    assert str(model.health_status) == "degraded"
    assert model.findings[0].code == code
    assert operation in model.findings[0].message


def test_a_length_that_is_written_longer_than_it_needs_hides_nothing(tmp_path: Path) -> None:
    model = scanned(tmp_path, saved_model(node("ReadFile", padding=3)))
    assert model.findings[0].code == "reads-files"


def test_printing_to_a_file_writes_one(tmp_path: Path) -> None:
    model = scanned(tmp_path, saved_model(node("PrintV2", b"file:///home/x/.bashrc")))
    assert model.findings[0].code == "writes-files"


def test_what_every_saved_model_does_is_foreign_and_never_healthy(tmp_path: Path) -> None:
    honest = ("MatMul", "SaveV2", "RestoreV2", "MergeV2Checkpoints", "StatefulPartitionedCall", "PrintV2")
    model = scanned(tmp_path, saved_model(*map(node, honest), field(8, b"a text that says ReadFile")))
    assert (str(model.health_status), model.verdict) == ("unknown", "foreign")


def test_a_lambda_layer_of_a_saved_model_is_unsafe(tmp_path: Path) -> None:
    layers = b'\x0a\x10{"class_name": "Lambda", "config": {}}'
    assert scanned(tmp_path, saved_model(node("MatMul")), keras_metadata=layers).verdict == "unsafe"


@given(data=st.binary(max_size=400) | st.binary(max_size=200).map(lambda one: saved_model(node("A"), one)))
def test_no_bytes_get_anything_out_of_it_but_findings(data: bytes) -> None:
    file = ArtifactFile(name="saved_model.pb", size=len(data), mtime_ns=0)
    artifact, opener = in_memory(
        Artifact(folder="/nowhere", primary=file.name, files=(file,)), {file.name: data}
    )
    with ArtifactReader(artifact, opener) as reader:
        list(operation_findings(reader.file(), "/nowhere"))
