"""Keras models that bring code, as Keras 3 writes them in a ZIP and its older releases in HDF5."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from modelshelf import ModelConfig, ModelRegistry
from modelshelf.model import Depth

LAMBDA = {
    "module": "keras.layers",
    "class_name": "Lambda",
    "config": {"name": "lambda", "function": {"class_name": "__lambda__", "config": {"code": "4wEAAAAA"}}},
    "registered_name": None,
}
DENSE = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 3}, "registered_name": None}
IMPORT = {"module": "subprocess", "class_name": "function", "config": "run", "registered_name": "function"}


def config_of(*layers: dict[str, object]) -> dict[str, object]:
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": [*layers]}}


def packed(path: Path, text: str | bytes, method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.0.5"}')
        archive.writestr("config.json", text)
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(100))


def hdf5(text: str, before: int = 0, after: int = 0) -> bytes:
    attributes = b"model_config\0" + text.encode() + b"keras_version\0" + b"2.15.0"
    return b"\x89HDF\r\n\x1a\n" + bytes(88 + before) + attributes + bytes(2048 + after)


def scanned(tmp_path: Path, depth: Depth = Depth.HEADER) -> ModelConfig:
    with ModelRegistry(tmp_path / "models", tmp_path / "data") as registry:
        registry.discover_models(depth=depth)
        (model,) = list(registry)
        return model


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_lambda_layer_of_a_keras_file_is_unsafe(tmp_path: Path, models: Path, method: int) -> None:
    packed(models / "m.keras", json.dumps(config_of(DENSE, LAMBDA)), method)
    model = scanned(tmp_path)
    assert (str(model.health_status), model.verdict) == ("unhealthy", "unsafe")
    assert model.findings[0].code == "lambda-layer"


def test_a_lambda_layer_within_a_model_within_a_model_is_found(tmp_path: Path, models: Path) -> None:
    packed(models / "m.keras", json.dumps(config_of(DENSE, config_of(config_of(LAMBDA)))))
    assert scanned(tmp_path).verdict == "unsafe"


def test_an_escaped_name_is_the_same_name(tmp_path: Path, models: Path) -> None:
    packed(models / "m.keras", json.dumps(config_of(LAMBDA)).replace("Lambda", "\\u004cambda"))
    assert scanned(tmp_path).verdict == "unsafe"


def test_a_module_that_has_no_layers_is_unsafe(tmp_path: Path, models: Path) -> None:
    packed(models / "m.keras", json.dumps(config_of(IMPORT)))
    model = scanned(tmp_path)
    assert model.findings[0].code == "unsafe-import"
    assert "subprocess" in model.findings[0].message


def test_a_keras_file_without_code_is_foreign_and_never_healthy(tmp_path: Path, models: Path) -> None:
    packed(models / "m.keras", json.dumps(config_of(DENSE, {"class_name": "TFOpLambda", "config": {}})))
    model = scanned(tmp_path)
    assert (str(model.health_status), model.verdict) == ("unknown", "foreign")


@pytest.mark.parametrize(
    "text", [b"{", b"[" * 100_000, b"\xff", b'{"a": ' + b"1" * 5000 + b"}", b"null"], ids=range(5)
)
def test_a_configuration_that_cannot_be_read_leaves_it_not_judged(
    tmp_path: Path, models: Path, text: bytes
) -> None:
    packed(models / "m.keras", text)
    assert scanned(tmp_path).verdict == "foreign"


@pytest.mark.parametrize("cut", [4, 30, 100, 300])
def test_a_broken_zip_raises_nothing(tmp_path: Path, models: Path, cut: int) -> None:
    packed(models / "m.keras", json.dumps(config_of(LAMBDA)))
    content = (models / "m.keras").read_bytes()
    (models / "m.keras").write_bytes(content[:cut])
    with ModelRegistry(tmp_path / "models", tmp_path / "data") as registry:
        registry.discover_models()
        assert list(registry.plugins.failures) == []


@pytest.mark.parametrize("name", ["m.h5", "m.hdf5", "m.keras"])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps(config_of(LAMBDA)),
        json.dumps(config_of(LAMBDA), separators=(",", ":")),
        json.dumps(config_of(LAMBDA), indent=4),
        json.dumps(config_of(LAMBDA)).replace("Lambda", "L\\u0061mbda"),
        json.dumps({"config": json.dumps(config_of(LAMBDA))}),
    ],
    ids=["plain", "compact", "indented", "escaped", "nested"],
)
def test_a_lambda_layer_of_an_hdf5_file_is_unsafe(tmp_path: Path, models: Path, name: str, text: str) -> None:
    (models / name).write_bytes(hdf5(text))
    model = scanned(tmp_path)
    assert (model.metadata.format, model.verdict) == ("keras", "unsafe")


def test_it_is_found_across_the_blocks_in_which_a_file_is_read(tmp_path: Path, models: Path) -> None:
    text = json.dumps(config_of(LAMBDA))
    (models / "m.h5").write_bytes(hdf5(text, before=(4 << 20) - 200))
    assert scanned(tmp_path).verdict == "unsafe"


def test_in_the_middle_of_a_large_file_it_is_found_at_depth_full(tmp_path: Path, models: Path) -> None:
    (models / "m.h5").write_bytes(hdf5(json.dumps(config_of(LAMBDA)), before=26 << 20, after=10 << 20))
    assert scanned(tmp_path).verdict == "foreign"
    assert scanned(tmp_path, Depth.FULL).verdict == "unsafe"


def test_an_hdf5_file_without_code_is_foreign(tmp_path: Path, models: Path) -> None:
    (models / "m.h5").write_bytes(hdf5(json.dumps(config_of(DENSE))))
    assert scanned(tmp_path).verdict == "foreign"
