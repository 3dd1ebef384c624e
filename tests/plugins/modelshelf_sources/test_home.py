"""A home with every tool's store in it, scanned by the real command."""

from __future__ import annotations

import json
import os
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from modelshelf.cli import main
from tests.plugins.modelshelf_sources.homes import MODELS, build_home
from tests.plugins.modelshelf_sources.stores import gguf_bytes, put, sha256, snapshot_of

SHARED = {"meta/Llama-GGUF", "llama3.2:1b"}
"""Ids that two stores give to one content."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [*os.environ]:
        if name.startswith(
            ("XDG_", "MODELSHELF_", "HF_", "HUGGINGFACE_", "OLLAMA_", "LLAMA_", "INVOKEAI_", "COMFYUI_")
        ):
            monkeypatch.delenv(name)
    home = build_home(tmp_path / "home")
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MODELSHELF_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path / "work")
    return home


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    main([*arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def by_id(models: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {model["id"]: model for model in models}


def test_a_scan_without_a_path_lists_every_model_of_every_tool_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = run(capsys, "scan")
    found = by_id(report["models"])
    (shared,) = [one for one in found.values() if len(one["locations"]) > 1]
    assert shared["id"] in SHARED
    assert {place["source"] for place in shared["locations"]} == {"huggingface", "ollama", "lmstudio"}
    assert set(found) - SHARED == set(MODELS) - SHARED
    for name, source in MODELS.items():
        if name not in SHARED:
            (place,) = found[name]["locations"]
            assert place["source"] == source
    assert all(model["health_status"] == "healthy" for model in found.values())


def test_unfinished_downloads_and_orphans_are_listed_with_the_room_that_they_take(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = run(capsys, "scan")
    assert len(report["unfinished"]) == 2
    assert all(0 < one["size"] < 1 << 20 for one in report["unfinished"])
    assert sorted(one["size"] for one in report["orphans"]) == [len(b"an orphan"), 100]
    assert [one["code"] for one in report["problems"]] == ["no-weights-here"]


def test_what_a_source_knows_reaches_the_record_with_where_it_comes_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = by_id(run(capsys, "scan")["models"])
    assert (
        found["hf.co/bartowski/Phi-GGUF:Q4_K_M"]["metadata"]["details"]["tag"]
        == "hf.co/bartowski/Phi-GGUF:Q4_K_M"
    )
    assert found["loras/pixel"]["metadata"]["details"]["model_type"] == "loras"
    assert found["loras/pixel"]["metadata"]["kind"] == "adapter"
    assert found["meta-llama/Llama-3.2-1B"]["metadata"]["details"]["repository"] == "meta-llama/Llama-3.2-1B"
    assert found["juggernaut"]["metadata"]["source"] == "invokeai"
    assert found["juggernaut"]["metadata"]["provenance"]["source"] == {
        "origin": "source",
        "detail": "invokeai",
    }


def test_a_second_scan_opens_no_model_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    first = run(capsys, "scan")
    again = run(capsys, "scan")
    assert again["bytes_read"] == 0
    assert (again["models_added"], again["models_updated"], again["models_missing"]) == (0, 0, 0)
    assert by_id(again["models"]) == by_id(first["models"])


def test_no_store_is_written_to(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot_of(home)
    run(capsys, "scan")
    run(capsys, "scan", "--force")
    assert snapshot_of(home) == before


def test_one_store_can_be_scanned_by_name_and_the_ids_are_the_same(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(capsys, "scan", str(home / ".ollama/models"))
    assert set(by_id(report["models"])) == {"llama3.2:1b", "hf.co/bartowski/Phi-GGUF:Q4_K_M"}


@pytest.mark.parametrize("order", list(permutations([".cache", ".ollama", ".lmstudio"])))
def test_a_model_that_several_tools_keep_is_named_alike_whichever_was_scanned_first(
    order: tuple[str, ...], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for store in order:
        run(capsys, "scan", str(home / store))
    (shared,) = [one for one in run(capsys, "ls") if len(one["locations"]) > 1]
    assert shared["id"] == "meta/Llama-GGUF"
    names = {one["id"] for one in map(partial(run, capsys, "show"), SHARED)}
    assert names == {shared["id"]}


def test_a_model_that_its_tool_removed_is_missing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "scan")
    store = home / ".ollama/models"
    (store / "manifests/hf.co/bartowski/Phi-GGUF/Q4_K_M").unlink()
    (store / "blobs" / f"sha256-{sha256(gguf_bytes('phi'))}").unlink()
    assert run(capsys, "scan")["models_missing"] == 1


def test_hostile_files_in_every_store_are_problems_and_cost_no_model(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = "[" * 100_000
    put(home / ".ollama/models/manifests/registry.ollama.ai/library/evil/latest", deep)
    put(home / ".cache/huggingface/hub/models--qwen--old/trees" / f"{'a' * 40}.json", deep)
    put(home / ".cache/llama.cpp/manifest=a=b=c.json", deep)
    put(home / ".lmstudio/settings.json", deep)
    put(home / ".lmstudio/hub/models/a/b/model.yaml", "a: &x 1\nb: *x\n")
    put(home / "ComfyUI/extra_model_paths.yaml", deep)
    put(home / "invokeai/invokeai.yaml", deep)
    put(home / ".local/share/ramalama/store/ollama/library/evil/refs/latest.json", deep)
    (home / ".local/share/ramalama/store/ollama/library/evil/blobs").mkdir()
    report = run(capsys, "scan")
    assert set(by_id(report["models"])) - SHARED == set(MODELS) - SHARED
    assert sorted(one["code"] for one in report["problems"]) == [
        "no-weights-here",
        "unreadable-manifest",
        "unreadable-manifest",
        "unreadable-manifest",
        *["unreadable-settings"] * 4,
        "unreadable-tree",
    ]
