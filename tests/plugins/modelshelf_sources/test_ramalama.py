from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelshelf_sources.ramalama import RamaLamaSource
from tests.plugins.modelshelf_sources.stores import (
    gguf_bytes,
    listed,
    machine,
    put,
    sha256,
    snapshot_of,
    sparse,
)

HASH = "sha256:" + "5" * 64


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / ".local/share/ramalama/store"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> RamaLamaSource:
    return RamaLamaSource(machine=machine(tmp_path))


def add(
    store: Path, name: str, files: dict[str, tuple[str, bytes]], tag: str = "latest", hash_: str = HASH
) -> Path:
    """Add one tag of a model as RamaLama does; `files` are types and contents by name."""
    folder = store / name
    entries = []
    snapshot = folder / "snapshots" / hash_.replace(":", "-")
    snapshot.mkdir(parents=True)
    for file, (kind, content) in files.items():
        blob = put(folder / "blobs" / f"sha256-{sha256(content)}", content)
        (snapshot / file).symlink_to(f"../../blobs/{blob.name}")
        entries.append({"hash": f"sha256:{sha256(content)}", "name": file, "type": kind})
    path = folder / f"refs/{tag}.json"
    put(path, {"hash": hash_, "path": str(path), "version": "v1.0.1", "files": entries})
    return folder


def test_a_tag_is_one_model_though_its_file_has_no_ending(store: Path, source: RamaLamaSource) -> None:
    files = {
        "smollm": ("model", gguf_bytes()),
        "chat_template": ("chat_template", b"{{ x }}"),
        "config.json": ("other", b"{}"),
    }
    add(store, "ollama/library/smollm", files, tag="135m")
    (model,) = listed(source).artifacts
    assert model.model_id == "smollm:135m"
    assert model.facts == {"transport": "ollama", "tag": "135m"}
    assert [one.sha256 for one in model.weights] == [sha256(gguf_bytes())]
    assert model.named_directly
    assert {one.name for one in model.companions} == {"chat_template", "config.json"}


def test_the_latest_tag_is_left_out_of_the_id(store: Path, source: RamaLamaSource) -> None:
    add(store, "huggingface/org/Repo-GGUF/m-Q4_K_M.gguf", {"m-Q4_K_M.gguf": ("gguf_model", gguf_bytes("a"))})
    add(store, "file/home/me/x.gguf", {"x.gguf": ("model", gguf_bytes("b"))})
    assert listed(source).ids == ["home/me/x.gguf", "org/Repo-GGUF/m-Q4_K_M.gguf"]


def test_a_model_of_several_files_keeps_them_together(store: Path, source: RamaLamaSource) -> None:
    shards = {f"m-0000{n}-of-00002.gguf": ("gguf_model", gguf_bytes(str(n))) for n in (1, 2)}
    add(store, "huggingface/org/big", {**shards, "mmproj-m.gguf": ("mmproj", gguf_bytes("eye"))})
    (model,) = listed(source).artifacts
    assert (model.model_id, len(model.weights), len(model.companions)) == ("org/big", 2, 1)


def test_two_tags_of_one_model_are_two_models_and_share_blobs(store: Path, source: RamaLamaSource) -> None:
    add(store, "ollama/library/x", {"x": ("model", gguf_bytes())}, tag="a")
    add(store, "ollama/library/x", {"x": ("model", gguf_bytes())}, tag="b", hash_="sha256:" + "6" * 64)
    found = listed(source)
    assert found.ids == ["x:a", "x:b"]
    assert len({model.weights[0].sha256 for model in found.artifacts}) == 1


def test_a_partial_blob_is_an_unfinished_download_and_an_unused_one_an_orphan(
    store: Path, source: RamaLamaSource
) -> None:
    folder = add(store, "ollama/library/x", {"x": ("model", gguf_bytes())})
    sparse(folder / f"blobs/sha256-{'7' * 64}.partial", 1 << 32, b"x" * 8192)
    orphan = put(folder / f"blobs/sha256-{'8' * 64}", b"x" * 66)
    found = listed(source)
    assert [one.size < 1 << 20 for one in found.unfinished] == [True]
    assert [(one.path, one.size) for one in found.orphans] == [(str(orphan), 66)]


def test_a_blob_that_is_gone_is_named_once(store: Path, source: RamaLamaSource) -> None:
    folder = add(store, "ollama/library/x", {"x": ("model", gguf_bytes())})
    (folder / f"blobs/sha256-{sha256(gguf_bytes())}").unlink()
    found = listed(source)
    assert (found.ids, found.codes) == ([], ["missing-blob"])


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[" * 100_000,
        {"hash": "../../..", "files": []},
        {"hash": HASH},
        {"hash": HASH, "files": [1]},
        {"hash": HASH, "files": [{"name": "x", "hash": "../../../etc/passwd"}]},
        {"hash": HASH, "files": [{"name": "x"}]},
    ],
)
def test_a_broken_ref_is_named_and_costs_no_other(
    store: Path, source: RamaLamaSource, content: str | dict[str, Any]
) -> None:
    add(store, "ollama/library/good", {"good": ("model", gguf_bytes())})
    path = put(store / "ollama/library/bad/refs/latest.json", content)
    put(store / "ollama/library/bad/blobs/x", b"x")
    found = listed(source)
    assert found.ids == ["good"]
    assert [(one.code, one.path) for one in found.problems] == [("unreadable-manifest", str(path))]
    assert not found.orphans


def test_a_link_out_of_the_blobs_is_refused(store: Path, source: RamaLamaSource, tmp_path: Path) -> None:
    folder = add(store, "ollama/library/x", {"x": ("model", gguf_bytes())})
    secret = put(tmp_path / "secret.gguf", gguf_bytes("secret"))
    (folder / "snapshots" / HASH.replace(":", "-") / "evil.gguf").symlink_to(secret)
    found = listed(source)
    assert found.ids == ["x"]
    assert found.codes == ["link-leaves-blobs"]


def test_a_loop_of_folders_ends(store: Path, source: RamaLamaSource) -> None:
    add(store, "ollama/library/x", {"x": ("model", gguf_bytes())})
    (store / "ollama/loop").symlink_to(store)
    put(store / "/".join("abcdefghijkl") / "refs/latest.json", "{}")
    assert listed(source).ids == ["x"]


def test_nothing_is_written(store: Path, source: RamaLamaSource, tmp_path: Path) -> None:
    add(store, "ollama/library/x", {"x": ("model", gguf_bytes())})
    before = snapshot_of(tmp_path)
    listed(source)
    assert snapshot_of(tmp_path) == before
    assert listed(source, tmp_path / "gone").codes == ["absent"]
