from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_sources.ollama import OllamaSource
from modelshelf_sources.ollama_manifest import names_of
from modelshelf_sources.ollama_metadata import license_name
from tests.plugins.modelshelf_sources.stores import (
    REGISTRY,
    OllamaStore,
    gguf_bytes,
    listed,
    machine,
    put,
    safetensors_bytes,
    sha256,
    snapshot_of,
    sparse,
)

CONFIG = {
    "model_format": "gguf",
    "model_family": "llama",
    "model_families": ["llama"],
    "model_type": "1.2B",
    "file_type": "Q8_0",
    "context_length": 131072,
    "embedding_length": 2048,
    "capabilities": ["completion", "tools"],
    "architecture": "amd64",
    "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": []},
}


@pytest.fixture
def store(tmp_path: Path) -> OllamaStore:
    return OllamaStore(tmp_path / ".ollama/models")


@pytest.fixture
def source(tmp_path: Path) -> OllamaSource:
    return OllamaSource(machine=machine(tmp_path))


@pytest.mark.parametrize(
    ("parts", "name", "full"),
    [
        ((REGISTRY, "library", "llama3.2", "1b"), "llama3.2:1b", "llama3.2:1b"),
        ((REGISTRY, "library", "llama3.2", "latest"), "llama3.2", "llama3.2:latest"),
        ((REGISTRY, "me", "mine", "latest"), "me/mine", "me/mine:latest"),
        (("hf.co", "org", "Repo-GGUF", "Q4_K_M"), "hf.co/org/Repo-GGUF:Q4_K_M", "hf.co/org/Repo-GGUF:Q4_K_M"),
        (("hf.co", "library", "x", "latest"), "hf.co/library/x", "hf.co/library/x:latest"),
    ],
)
def test_defaults_are_left_out_of_a_name(parts: tuple[str, ...], name: str, full: str) -> None:
    assert names_of(parts) == (name, full)


def test_a_tag_is_one_model_loaded_by_its_blob(store: OllamaStore, source: OllamaSource) -> None:
    manifest = store.manifest("llama3.2", [store.layer("model", gguf_bytes())], CONFIG, tag="1b")
    (model,) = listed(source).artifacts
    assert model.model_id == "llama3.2:1b"
    assert model.path == str(store.path_of(f"sha256:{sha256(gguf_bytes())}"))
    assert [one.sha256 for one in model.weights] == [sha256(gguf_bytes())]
    assert model.named_directly  # a blob has no ending that a format could claim
    assert [model.path_of(one.name) for one in model.companions] == [str(manifest)]


def test_what_the_layers_tell_becomes_facts(store: OllamaStore, source: OllamaSource) -> None:
    licence = "LLAMA 3.2 COMMUNITY LICENSE AGREEMENT\nLlama 3.2 Version Release Date: September 25, 2024\n"
    layers = [
        store.layer("model", gguf_bytes()),
        store.layer("template", "{{ .System }} {{ .Prompt }}"),
        store.layer("system", "Be brief."),
        store.layer("params", {"stop": ["<|a|>", "<|b|>"], "temperature": 0.5}),
        store.layer("messages", [{"role": "user", "content": "hi"}]),
        store.layer("license", licence),
    ]
    manifest = store.manifest("llama3.2", layers, CONFIG)
    facts = listed(source).artifacts[0].facts
    size = sum(layer["size"] for layer in layers) + len(json.dumps(CONFIG, separators=(",", ":")))
    assert facts == {
        "tag": "llama3.2:latest",
        "manifest_digest": sha256(manifest.read_bytes()),
        "total_bytes": size,
        "pulled_at": int(manifest.stat().st_mtime),
        "architecture": "llama",
        "parameter_count": "1.2B",
        "quantization": "Q8_0",
        "context_length": 131072,
        "embedding_length": 2048,
        "model_format": "gguf",
        "families": ["llama"],
        "kind": "text-generation",
        "capabilities": ["tools"],
        "template": "{{ .System }} {{ .Prompt }}",
        "system": "Be brief.",
        "parameters_set": ["stop <|a|>", "stop <|b|>", "temperature 0.5"],
        "messages": ["user: hi"],
        "license_text": licence.strip(),
        "license": "llama3.2",
        "chat_template": True,
    }


def test_values_of_another_type_are_left_out(store: OllamaStore, source: OllamaSource) -> None:
    config = {"model_family": 1, "model_type": "unknown", "context_length": -1, "model_families": "llama"}
    store.manifest("odd", [store.layer("model", gguf_bytes()), store.layer("params", [1])], config)
    facts = listed(source).artifacts[0].facts
    assert set(facts) == {"tag", "manifest_digest", "total_bytes", "pulled_at"}


def test_several_tags_on_one_blob_are_one_model_with_aliases(
    store: OllamaStore, source: OllamaSource
) -> None:
    weights = store.layer("model", gguf_bytes())
    store.manifest("llama3.2", [weights])
    store.manifest("llama3.2", [weights], tag="3b")
    store.manifest("zebra", [weights, store.layer("system", "Stripes.")], tag="v1")
    (model,) = listed(source).artifacts
    assert model.model_id == "llama3.2"
    assert model.aliases == ("llama3.2:latest", "llama3.2:3b", "zebra:v1")


def test_a_new_tag_changes_the_fingerprint(store: OllamaStore, source: OllamaSource) -> None:
    weights = store.layer("model", gguf_bytes())
    store.manifest("llama3.2", [weights])
    before = listed(source).artifacts[0].fingerprint
    store.manifest("mine", [weights])
    assert listed(source).artifacts[0].fingerprint != before


def test_projector_and_draft_are_companions(store: OllamaStore, source: OllamaSource) -> None:
    layers = [
        store.layer("model", gguf_bytes()),
        store.layer("projector", gguf_bytes("eye")),
        store.layer("draft", gguf_bytes("draft")),
    ]
    store.manifest("llava", layers)
    (model,) = listed(source).artifacts
    assert len(model.weights) == 1
    beside = {one.sha256 for one in model.companions}
    assert {sha256(gguf_bytes("eye")), sha256(gguf_bytes("draft"))} <= beside
    assert model.facts["projector"] is True


def test_an_adapter_is_a_model_beside_its_base(store: OllamaStore, source: OllamaSource) -> None:
    base, adapter = store.layer("model", gguf_bytes()), store.layer("adapter", gguf_bytes("lora"))
    store.manifest("llama3.2", [base])
    store.manifest("mario", [base, adapter])
    found = listed(source)
    assert sorted(found.ids) == ["llama3.2", "mario"]
    assert [one.sha256 for one in found["mario"].weights] == [sha256(gguf_bytes("lora"))]
    assert found["mario"].facts["adapter_of"] == base["digest"]


def test_the_base_of_an_adapter_is_listed_where_no_tag_names_it(
    store: OllamaStore, source: OllamaSource
) -> None:
    layers = [store.layer("model", gguf_bytes()), store.layer("adapter", gguf_bytes("lora"))]
    store.manifest("mario", layers)
    found = listed(source)
    assert sorted(found.ids) == ["mario", "mario:latest/base"]
    assert not found.orphans


def test_a_model_of_one_blob_a_tensor_is_one_model(store: OllamaStore, source: OllamaSource) -> None:
    tensors = [store.layer("tensor", safetensors_bytes(n, f"t{n}"), name=f"t{n}") for n in range(5)]
    shared = store.layer("tensor", safetensors_bytes(0, "t0"), name="t0")
    config = {"model_format": "safetensors"}
    manifest = store.manifest("flux", [*tensors, store.layer("json", {"a": 1}, name="config.json")], config)
    store.manifest("flux", [shared, *tensors[3:]], config, tag="small")
    found = listed(source)
    assert sorted(found.ids) == ["flux", "flux:small"]
    model = found["flux"]
    assert model.path == str(manifest)  # unique, as blobs may be shared
    assert (len(model.weights), model.facts["tensor_layers"]) == (5, 5)
    assert all(one.sha256 for one in model.weights)


def test_missing_tensors_are_named_and_counted(store: OllamaStore, source: OllamaSource) -> None:
    tensors = [store.layer("tensor", safetensors_bytes(n, f"t{n}"), name=f"t{n}") for n in range(3)]
    store.manifest("flux", tensors)
    store.path_of(tensors[1]["digest"]).unlink()
    found = listed(source)
    assert found.codes == ["missing-blob"]
    assert "the tensor t1" in found.problems[0].message
    assert found["flux"].missing == (f"blobs/{tensors[1]['digest'].replace(':', '-')}",)


def test_a_model_that_runs_elsewhere_has_no_weights_here(store: OllamaStore, source: OllamaSource) -> None:
    config = {"remote_host": "https://ollama.com:443", "remote_model": "gpt-oss:120b"}
    store.manifest("gpt-oss", [], config, tag="120b-cloud")
    found = listed(source)
    assert (found.artifacts, found.codes) == ((), ["no-weights-here"])
    assert "gpt-oss:120b-cloud: runs at https://ollama.com:443" in found.problems[0].message


def test_a_manifest_whose_blob_is_gone_is_named_with_its_model(
    store: OllamaStore, source: OllamaSource
) -> None:
    weights = store.layer("model", gguf_bytes())
    store.manifest("llama3.2", [weights], tag="1b")
    store.path_of(weights["digest"]).unlink()
    found = listed(source)
    assert (found.artifacts, found.codes) == ((), ["missing-blob"])
    assert found.problems[0].message.startswith("llama3.2:1b: ")
    assert "ollama pull llama3.2:1b" in found.problems[0].message


def test_a_blob_of_another_size_than_its_manifest_tells_is_named(
    store: OllamaStore, source: OllamaSource
) -> None:
    weights = store.layer("model", gguf_bytes())
    store.manifest("llama3.2", [{**weights, "size": 5}])
    found = listed(source)
    assert found.ids == ["llama3.2"]
    assert found.codes == ["size-differs"]


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../../../../../etc/passwd",
        "sha256:" + "g" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 64 + "/..",
        "sha256:" + "a" * 64 + "\n",
        "md5:" + "a" * 64,
        "/etc/passwd",
        "",
        None,
        7,
    ],
)
def test_what_is_no_digest_never_becomes_a_path(
    store: OllamaStore, source: OllamaSource, digest: object
) -> None:
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": 1}
    store.manifest("evil", [layer])
    found = listed(source)
    assert (found.artifacts, found.codes) == ((), ["unreadable-manifest"])
    assert "is no sha256 digest" in found.problems[0].message


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", "[" * 100_000, '{"layers": 7}', '{"layers": [1]}', '{"config": []}{', b"\xff\xfe"],
)
def test_a_broken_manifest_is_named_and_hides_no_other_model(
    store: OllamaStore, source: OllamaSource, content: str | bytes
) -> None:
    store.manifest("good", [store.layer("model", gguf_bytes())])
    store.blob(b"whose may this be?")
    path = put(store.root / f"manifests/{REGISTRY}/library/bad/latest", content)
    found = listed(source)
    assert found.ids == ["good"]
    assert [(one.code, one.path) for one in found.problems] == [("unreadable-manifest", str(path))]
    assert found.problems[0].message.startswith("bad: ")
    assert not found.orphans  # the broken manifest may name any blob


def test_a_pipe_in_place_of_a_manifest_does_not_hang(store: OllamaStore, source: OllamaSource) -> None:
    folder = store.root / f"manifests/{REGISTRY}/library/pipe"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "latest")
    assert listed(source).codes == ["unreadable-manifest"]


def test_manifests_lie_exactly_four_levels_deep(store: OllamaStore, source: OllamaSource) -> None:
    good = store.manifest("good", [store.layer("model", gguf_bytes())])
    put(store.root / f"manifests/{REGISTRY}/library/shallow", good.read_bytes())
    put(store.root / f"manifests/{REGISTRY}/library/deep/er/latest", good.read_bytes())
    put(store.root / f"manifests/{REGISTRY}/library/.DS_Store", b"\0")
    found = listed(source)
    assert found.ids == ["good"]
    assert found.codes == ["misplaced-manifest"] * 2


def test_blobs_in_the_very_old_spelling_are_found(store: OllamaStore, source: OllamaSource) -> None:
    weights = store.layer("model", gguf_bytes())
    store.manifest("old", [weights])
    store.path_of(weights["digest"]).rename(store.root / "blobs" / weights["digest"])
    found = listed(source)
    assert found.ids == ["old"]
    assert found.artifacts[0].weights[0].sha256 == sha256(gguf_bytes())
    assert not found.orphans


def test_a_digest_in_capitals_finds_its_blob(store: OllamaStore, source: OllamaSource) -> None:
    weights = store.layer("model", gguf_bytes())
    store.manifest("loud", [{**weights, "digest": "sha256:" + sha256(gguf_bytes()).upper()}])
    found = listed(source)
    assert (found.ids, found.orphans) == (["loud"], ())
    assert found.artifacts[0].weights[0].sha256 == sha256(gguf_bytes())


def test_many_missing_blobs_are_one_problem(store: OllamaStore, source: OllamaSource) -> None:
    layers = [
        {
            "mediaType": "application/vnd.ollama.image.tensor",
            "digest": f"sha256:{number:064x}",
            "name": f"t{number}",
        }
        for number in range(5_000)
    ]
    store.manifest("ghost", layers)
    found = listed(source)
    assert (found.artifacts, found.codes) == ((), ["missing-blob"])
    assert "the tensor t0 (sha256-000000000000…) and 4999 more" in found.problems[0].message


def test_blobs_that_no_manifest_names_are_orphans(store: OllamaStore, source: OllamaSource) -> None:
    store.manifest("used", [store.layer("model", gguf_bytes()), store.layer("license", "MIT License")])
    store.manifest("used-too", [store.layer("model", gguf_bytes("too"))])
    digest = store.blob(b"x" * 77)
    (orphan,) = listed(source).orphans
    assert (orphan.path, orphan.size) == (str(store.path_of(digest)), 77)


def test_a_partial_pull_is_listed_once_by_the_room_that_it_takes(
    store: OllamaStore, source: OllamaSource
) -> None:
    whole = store.root / "blobs" / f"sha256-{'7' * 64}-partial"
    sparse(whole, 1 << 33, b"x" * 65536)
    for number in (0, 1):
        part = {"N": number, "Offset": number << 32, "Size": 1 << 32, "Completed": 32768}
        put(Path(f"{whole}-{number}"), part)
    put(Path(f"{whole}-2"), "{")
    put(store.root / "blobs" / f"sha256-{'6' * 64}.tmp", b"y" * 10)
    found = listed(source)
    by_path = {one.path: one for one in found.unfinished}
    assert set(by_path) == {str(whole), str(store.root / "blobs" / f"sha256-{'6' * 64}.tmp")}
    assert 0 < by_path[str(whole)].size < 1 << 20
    assert by_path[str(whole)].reason == f"a pull that stopped at 65536 of {1 << 33} bytes"
    assert not found.orphans
    assert not found.artifacts


def test_parts_without_their_whole_are_listed_all_the_same(store: OllamaStore, source: OllamaSource) -> None:
    put(store.root / "blobs" / f"sha256-{'7' * 64}-partial-0", {"N": 0, "Size": 10, "Completed": 1})
    assert len(listed(source).unfinished) == 1


def test_a_store_anywhere_can_be_named_and_one_that_went_away_is_absent(
    store: OllamaStore, source: OllamaSource, tmp_path: Path
) -> None:
    other = OllamaStore(tmp_path / "elsewhere")
    other.manifest("mine", [other.layer("model", gguf_bytes())])
    assert source.claims(str(other.root))
    assert listed(source, other.root).ids == ["mine"]
    assert listed(source, tmp_path / "gone").codes == ["absent"]
    assert listed(source, store.root).problems == ()


def test_a_store_is_listed_without_a_change_to_it(store: OllamaStore, source: OllamaSource) -> None:
    store.manifest("llama3.2", [store.layer("model", gguf_bytes())], CONFIG)
    store.blob(b"orphan")
    before = snapshot_of(store.root)
    listed(source)
    assert snapshot_of(store.root) == before


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            f"{' ' * 33}Apache License\n{' ' * 27}Version 2.0, January 2004",
            "apache-2.0",
        ),
        ("MIT License\n\nCopyright (c) Microsoft Corporation.", "mit"),
        ("Copyright 2023\nPermission is hereby granted, free of charge, to any person obtaining", "mit"),
        ("LLAMA 3.1 COMMUNITY LICENSE AGREEMENT", "llama3.1"),
        ("Gemma Terms of Use \n\nLast modified: February 21, 2024", "gemma"),
        ("Qwen LICENSE AGREEMENT\n", "qwen"),
        ("All rights are mine.", None),
        ("", None),
    ],
)
def test_licenses_are_recognised_by_their_titles(text: str, name: str | None) -> None:
    assert license_name(text) == name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda kids: st.lists(kids, max_size=3) | st.dictionaries(st.text(max_size=8), kids, max_size=3),
    max_leaves=8,
)


LAYER = st.fixed_dictionaries({}, optional=dict.fromkeys(("mediaType", "digest", "size", "name"), JSON))


@settings(max_examples=50, deadline=None)
@given(layers=st.lists(LAYER, max_size=3) | JSON, config=JSON)
def test_no_manifest_ends_a_listing(
    tmp_path_factory: pytest.TempPathFactory, layers: Any, config: Any
) -> None:
    root = tmp_path_factory.mktemp("ollama")
    store = OllamaStore(root / "models")
    manifest = {"config": store.layer("config", json.dumps(config)), "layers": layers}
    if isinstance(layers, list):
        layers.append(store.layer("model", gguf_bytes()))
    put(store.root / f"manifests/{REGISTRY}/library/x/latest", manifest)
    listed(OllamaSource(machine=machine(root)), store.root)
