from pathlib import Path

import modelshelf_onnx
import onnx
import pytest
from onnx import TensorProto, helper

from modelshelf.testing import CommandLine, FormatCase, FormatSuite


def save(path: Path, **options: object) -> Path:
    """Two matrix products, as the onnx package writes them."""
    weights = [
        helper.make_tensor(name, TensorProto.FLOAT, [128, 128], bytes(128 * 128 * 4), raw=True)
        for name in ("up", "down")
    ]
    nodes = [helper.make_node("MatMul", ["x", "up"], ["h"]), helper.make_node("MatMul", ["h", "down"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 128]) for name in "xy"]
    graph = helper.make_graph(nodes, "two products", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], producer_name="tests")
    path.parent.mkdir(exist_ok=True)
    onnx.save_model(model, path, **options)
    return path


@pytest.fixture
def format_case(tmp_path: Path) -> FormatCase:
    return FormatCase(plugin=modelshelf_onnx, format="onnx", weights=save(tmp_path / "two" / "model.onnx"))


class TestOnnx(FormatSuite):
    pass


def test_opsets_operators_and_parameters_are_listed(modelshelf_cli: CommandLine, tmp_path: Path) -> None:
    modelshelf_cli.run("scan", save(tmp_path / "two" / "model.onnx"))
    (model,) = modelshelf_cli.run("ls", "--json").json
    assert model["metadata"]["parameters"] == 2 * 128 * 128
    assert model["metadata"]["details"]["opsets"] == {"ai.onnx": 21}
    assert model["metadata"]["details"]["operators"] == {"MatMul": 2}


@pytest.mark.parametrize(
    ("location", "size", "code"),
    [
        ("data.bin", 131072, None),
        ("data.bin", None, "external-data-missing"),
        ("data.bin", 100_000, "external-data-short"),
        ("../data.bin", 131072, "external-data-escapes"),
    ],
)
def test_external_data_is_looked_for(
    modelshelf_cli: CommandLine, tmp_path: Path, location: str, size: int | None, code: str | None
) -> None:
    path = save(
        tmp_path / "two" / "model.onnx", save_as_external_data=True, location="data.bin", size_threshold=0
    )
    assert path.stat().st_size < 2000
    path.write_bytes(_renamed(path, location))
    data = path.with_name("data.bin")
    content = data.read_bytes()
    data.unlink()
    if size is not None:
        (path.parent / location).write_bytes(content[:size])
    outcome = modelshelf_cli.run("scan", path)
    (model,) = modelshelf_cli.run("ls", "--json").json
    assert {one["code"] for one in model["findings"]} == ({code} if code else set())
    assert outcome.code == (1 if code else 0)
    if code is None:
        assert model["metadata"]["size_bytes"] == path.stat().st_size + 131072


def _renamed(path: Path, location: str) -> bytes:
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    return bytes(model.SerializeToString())
