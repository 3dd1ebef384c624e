"""Two distributions as outsiders make them, installed beside the built wheel, used, and uninstalled."""

from __future__ import annotations

from typing import Any

import pytest

from tests.thirdparty.walkthrough import installed, walked


@pytest.fixture(scope="session", name="walk")
def _walk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return walked(tmp_path_factory)


@pytest.fixture(scope="session")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    report: dict[str, Any] = installed(tmp_path_factory)["inventory"]
    return report


def by_id(records: list[dict[str, Any]]) -> dict[str, Any]:
    return {one["id"]: one for one in records}


def plugin(listed: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    return next((one for one in listed if one["name"] == name), None)


def test_onnx_models_are_recorded_beside_those_of_built_in_formats(walk: dict[str, Any]) -> None:
    recorded = by_id(walk["records"])
    assert {name: (one["metadata"]["format"], one["health_status"]) for name, one in recorded.items()} == {
        "known": ("gguf", "healthy"),
        "inside": ("onnx", "healthy"),
        "beside": ("onnx", "healthy"),
    }
    for name in ("inside", "beside"):
        metadata = recorded[name]["metadata"]
        assert (metadata["parameters"], metadata["tensor_types"]) == (32768, {"FLOAT": 2})
        assert metadata["details"]["operators"] == {"MatMul": 2}
        assert metadata["details"]["opsets"] == {"ai.onnx": 21}


def test_external_data_is_named_and_counted_and_no_model_of_its_own(walk: dict[str, Any]) -> None:
    metadata = by_id(walk["records"])["beside"]["metadata"]
    assert metadata["details"]["external_data"] == ["model.onnx.data"]
    assert metadata["size_bytes"] > 131072
    assert by_id(walk["records"])["inside"]["metadata"]["details"]["external_data"] == []


def test_the_plugin_is_listed_with_all_that_a_person_asks(walk: dict[str, Any]) -> None:
    row = plugin(walk["plugins"], "onnx")
    assert row is not None
    assert (row["distribution"], row["version"], row["state"]) == (
        "modelshelf-onnx",
        "0.1.0",
        "loaded",
    )
    assert row["load_seconds"] > 0
    assert (len(row["hooks"]), row["failures"]) == (4, [])


def test_after_uninstalling_the_records_stay_and_the_formats_absence_is_reported(
    walk: dict[str, Any],
) -> None:
    assert plugin(walk["plugins after"], "onnx") is None
    assert by_id(walk["records after"]).keys() == by_id(walk["records"]).keys()
    assert by_id(walk["records after"])["inside"]["metadata"]["parameters"] == 32768
    assert walk["scan after"]["code"] == 0
    assert "no plugin" in walk["why after"]


def test_paths_of_an_inventory_are_scanned_with_its_ids_and_facts(inventory: dict[str, Any]) -> None:
    assert inventory["scan"] == 0
    (model,) = inventory["records"]
    assert (model["id"], model["metadata"]["source"]) == ("team/llama", "inventory")
    assert (model["metadata"]["license"], model["metadata"]["tags"]) == ("apache-2.0", ["approved"])


def test_urls_of_an_inventory_are_places_that_are_not_here(inventory: dict[str, Any]) -> None:
    (place,) = [one for one in inventory["places"] if "://" in one["root"]]
    assert (place["source"], place["present"]) == ("inventory", False)
    assert "download it" in place["reason"]


def test_after_uninstalling_the_source_its_records_stay_and_its_settings_are_refused(
    inventory: dict[str, Any],
) -> None:
    code, message = inventory["refused"]
    assert code == 2
    assert "no source named 'inventory'" in message
    (kept,) = inventory["records after"]
    assert kept["id"] == "team/llama"
