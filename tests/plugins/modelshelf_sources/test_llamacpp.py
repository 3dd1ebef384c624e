from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from modelshelf_sources.llamacpp import LlamaCppSource
from tests.plugins.modelshelf_sources.stores import (
    HubCache,
    gguf_bytes,
    listed,
    machine,
    put,
    snapshot_of,
    sparse,
)


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    folder = tmp_path / ".cache/llama.cpp"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> LlamaCppSource:
    return LlamaCppSource(machine=machine(tmp_path))


def manifest(folder: Path, user: str, repository: str, tag: str, **files: str) -> Path:
    content = {key: {"rfilename": name, "size": 1} for key, name in files.items()}
    return put(folder / f"manifest={user}={repository}={tag}.json", content)


def test_a_manifest_gives_a_flat_file_its_id_and_its_projector(flat: Path, source: LlamaCppSource) -> None:
    put(flat / "ggml-org_gemma-3-GGUF_gemma-3-Q4_K_M.gguf", gguf_bytes("a"))
    put(flat / "ggml-org_gemma-3-GGUF_gemma-3-Q4_K_M.gguf.etag", '"abc-123"')
    put(flat / "ggml-org_gemma-3-GGUF_mmproj-model-f16.gguf", gguf_bytes("eye"))
    manifest(
        flat,
        "ggml-org",
        "gemma-3-GGUF",
        "latest",
        ggufFile="gemma-3-Q4_K_M.gguf",
        mmprojFile="mmproj-model-f16.gguf",
    )
    put(flat / "other_Repo_model-Q8_0.gguf", gguf_bytes("b"))
    found = listed(source)
    assert sorted(found.ids) == ["ggml-org/gemma-3-GGUF:LATEST", "other_Repo_model-Q8_0"]
    gemma = found["ggml-org/gemma-3-GGUF:LATEST"]
    assert [one.name for one in gemma.companions] == ["ggml-org_gemma-3-GGUF_mmproj-model-f16.gguf"]
    assert gemma.facts == {"repository": "ggml-org/gemma-3-GGUF", "tag": "latest", "etag": "abc-123"}
    assert found["other_Repo_model-Q8_0"].companions == ()


def test_a_file_in_a_folder_of_the_repository_is_found_by_its_flat_name(
    flat: Path, source: LlamaCppSource
) -> None:
    for number in (1, 2):
        put(flat / f"u_big_Q4_big-Q4-0000{number}-of-00002.gguf", gguf_bytes(str(number)))
    manifest(flat, "u", "big", "Q4", ggufFile="Q4/big-Q4-00001-of-00002.gguf")
    (model,) = listed(source).artifacts
    assert model.model_id == "u/big:Q4"
    assert len(model.weights) == 2


def test_a_missing_shard_of_a_flat_set_is_missing(flat: Path, source: LlamaCppSource) -> None:
    put(flat / "u_big_big-00001-of-00002.gguf", gguf_bytes())
    (model,) = listed(source).artifacts
    assert model.missing == ("u_big_big-00002-of-00002.gguf",)


def test_without_a_manifest_a_projector_goes_to_the_models_of_its_repository(
    flat: Path, source: LlamaCppSource
) -> None:
    for name in ("u_vl_vl-Q4_K_M.gguf", "u_vl_vl-Q8_0.gguf", "u_vl_mmproj-f16.gguf", "u_text_text-Q8_0.gguf"):
        put(flat / name, gguf_bytes(name))
    found = listed(source)
    assert sorted(found.ids) == ["u_text_text-Q8_0", "u_vl_vl-Q4_K_M", "u_vl_vl-Q8_0"]
    assert found["u_text_text-Q8_0"].companions == ()
    assert len(found["u_vl_vl-Q8_0"].companions) == 1


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "[]", b"\xff"])
def test_a_broken_manifest_costs_the_id_alone(
    flat: Path, source: LlamaCppSource, content: str | bytes
) -> None:
    put(flat / "u_m_m.gguf", gguf_bytes())
    path = put(flat / "manifest=u=m=latest.json", content)
    found = listed(source)
    assert found.ids == ["u_m_m"]
    assert [(one.code, one.path) for one in found.problems] == [("unreadable-manifest", str(path))]


@pytest.mark.parametrize(
    "content", [{}, {"ggufFile": 1}, {"ggufFile": {"rfilename": 7}}, {"ggufFile": {"rfilename": "../x"}}]
)
def test_an_odd_manifest_names_nothing(flat: Path, source: LlamaCppSource, content: dict[str, Any]) -> None:
    put(flat / "u_m_m.gguf", gguf_bytes())
    put(flat / "manifest=u=m=latest.json", content)
    os.mkfifo(flat / "u_m_m.gguf.etag")
    found = listed(source)
    assert (found.ids, found.codes) == (["u_m_m"], ["not-a-regular-file"])


def test_an_unfinished_download_is_listed(flat: Path, source: LlamaCppSource) -> None:
    put(flat / "u_m_m.gguf.downloadInProgress", b"x" * 9)
    found = listed(source)
    assert ([one.size for one in found.unfinished], found.artifacts) == ([9], ())


def test_both_layouts_in_one_folder_are_listed_together(flat: Path, source: LlamaCppSource) -> None:
    put(flat / "u_m_m.gguf", gguf_bytes("flat"))
    put(flat / "u_m_m.gguf.etag", "x")
    hub = HubCache(flat)
    hub.add("u/new", {"new-Q8_0.gguf": gguf_bytes("new")})
    sparse(hub.repository("u/new") / "blobs" / f"{'9' * 64}.downloadInProgress", 1 << 32, b"x" * 8192)
    found = listed(source)
    assert sorted(found.ids) == ["u/new", "u_m_m"]
    assert [one.size < 1 << 20 for one in found.unfinished] == [True]
    assert not found.problems


def test_llama_cache_in_the_hubs_layout_alone_is_listed(tmp_path: Path) -> None:
    HubCache(tmp_path / "mine").add("u/new", {"new-Q8_0.gguf": gguf_bytes()})
    source = LlamaCppSource(machine=machine(tmp_path, LLAMA_CACHE=tmp_path / "mine"))
    assert listed(source).ids == ["u/new"]
    assert [one.reason for one in source.places()] == ["$LLAMA_CACHE"]


def test_nothing_is_written(flat: Path, source: LlamaCppSource, tmp_path: Path) -> None:
    put(flat / "u_m_m.gguf", gguf_bytes())
    before = snapshot_of(tmp_path)
    listed(source)
    assert snapshot_of(tmp_path) == before
    assert listed(source, tmp_path / "gone").codes == ["absent"]
