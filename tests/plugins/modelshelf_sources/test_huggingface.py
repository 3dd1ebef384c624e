from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelshelf_sources.huggingface import HuggingFaceSource
from tests.plugins.modelshelf_sources.stores import (
    COMMIT,
    OTHER_COMMIT,
    HubCache,
    gguf_bytes,
    listed,
    machine,
    put,
    safetensors_bytes,
    sha256,
    snapshot_of,
    sparse,
)

WEIGHTS = safetensors_bytes()


@pytest.fixture
def cache(tmp_path: Path) -> HubCache:
    root = tmp_path / ".cache/huggingface/hub"
    root.mkdir(parents=True)
    return HubCache(root)


@pytest.fixture
def source(tmp_path: Path) -> HuggingFaceSource:
    return HuggingFaceSource(machine=machine(tmp_path))


def test_a_repository_is_one_model_with_its_commit_ref_and_digest(
    cache: HubCache, source: HuggingFaceSource
) -> None:
    cache.add("org/name", {"model.safetensors": WEIGHTS, "config.json": b"{}"})
    (model,) = listed(source).artifacts
    assert model.model_id == "org/name"
    assert model.facts == {"repository": "org/name", "commit": COMMIT, "ref": "main"}
    assert [one.sha256 for one in model.weights] == [sha256(WEIGHTS)]
    assert [(one.name, one.sha256) for one in model.companions] == [("config.json", None)]


def test_a_repository_without_an_organization_keeps_its_name(
    cache: HubCache, source: HuggingFaceSource
) -> None:
    cache.add("gpt2", {"model.safetensors": WEIGHTS})
    assert listed(source).ids == ["gpt2"]


def test_several_quantizations_are_distinguished_by_it(cache: HubCache, source: HuggingFaceSource) -> None:
    files = {f"tiny-{quant}.gguf": gguf_bytes(quant) for quant in ("Q4_K_M", "Q8_0")}
    cache.add("org/Tiny-GGUF", {**files, "mmproj-tiny-f16.gguf": gguf_bytes("eye")})
    found = listed(source)
    assert found.ids == ["org/Tiny-GGUF:Q4_K_M", "org/Tiny-GGUF:Q8_0"]
    assert all(
        [one.name for one in model.companions] == ["mmproj-tiny-f16.gguf"] for model in found.artifacts
    )


@pytest.mark.parametrize(
    "name", ["mmproj-m-f16.gguf", "m.imatrix", "imatrix.gguf", "mtp-m.gguf", "eagle3-m.gguf", "dspark-m.gguf"]
)
def test_what_is_loaded_beside_a_model_is_no_model(
    cache: HubCache, source: HuggingFaceSource, name: str
) -> None:
    cache.add("org/m", {"m-Q8_0.gguf": gguf_bytes(), name: gguf_bytes("beside")})
    (model,) = listed(source).artifacts
    assert model.model_id == "org/m"
    assert [one.name for one in model.companions] == [name]


def test_folders_in_a_snapshot_are_named_by_their_path(cache: HubCache, source: HuggingFaceSource) -> None:
    cache.add(
        "org/pipe",
        {
            "model_index.json": b"{}",
            "unet/diffusion_pytorch_model.safetensors": WEIGHTS,
            "vae/diffusion_pytorch_model.safetensors": safetensors_bytes(2),
            "Q4_K_M/big-Q4_K_M-00001-of-00002.gguf": gguf_bytes("1"),
            "Q4_K_M/big-Q4_K_M-00002-of-00002.gguf": gguf_bytes("2"),
        },
    )
    found = listed(source)
    assert found.ids == ["org/pipe:Q4_K_M", "org/pipe:unet", "org/pipe:vae"]
    assert len(found["org/pipe:Q4_K_M"].weights) == 2
    assert not found.problems


def test_main_gives_the_plain_id_and_other_revisions_their_ref_or_commit(
    cache: HubCache, source: HuggingFaceSource
) -> None:
    for seed, (commit, ref) in enumerate((("a" * 40, "refs/pr/1"), ("b" * 40, "v1.0"), ("c" * 40, None)), 2):
        cache.add("org/name", {"model.safetensors": safetensors_bytes(seed)}, commit=commit, ref=ref)
    cache.add("org/name", {"model.safetensors": WEIGHTS})
    found = listed(source)
    assert found.ids == ["org/name", "org/name@refs/pr/1", "org/name@v1.0", "org/name@cccccccc"]
    assert "ref" not in found["org/name@cccccccc"].facts


def test_a_blob_in_two_snapshots_has_one_digest_and_main_comes_first(
    cache: HubCache, source: HuggingFaceSource
) -> None:
    cache.add("org/name", {"model.safetensors": WEIGHTS}, commit="a" * 40, ref="older")
    cache.add("org/name", {"model.safetensors": WEIGHTS}, commit=OTHER_COMMIT)
    first, second = listed(source).artifacts
    assert (first.model_id, second.model_id) == ("org/name", "org/name@older")
    assert first.weights[0].sha256 == second.weights[0].sha256 == sha256(WEIGHTS)
    assert first.weights[0].inode == second.weights[0].inode


def test_several_refs_on_one_commit_are_one_model(cache: HubCache, source: HuggingFaceSource) -> None:
    cache.add("org/name", {"model.safetensors": WEIGHTS}, ref="v2")
    put(cache.repository("org/name") / "refs/main", COMMIT)
    (model,) = listed(source).artifacts
    assert (model.model_id, model.facts["other_refs"]) == ("org/name", ["v2"])


def test_real_files_in_snapshots_are_models_with_the_digest_that_the_tree_tells(
    cache: HubCache, source: HuggingFaceSource
) -> None:
    files = {"model.safetensors": WEIGHTS, "config.json": b"{}"}
    cache.add("org/windows", files, links=False)
    assert listed(source)["org/windows"].weights[0].sha256 is None
    cache.tree("org/windows", files)
    assert listed(source)["org/windows"].weights[0].sha256 == sha256(WEIGHTS)


def test_some_quantizations_only_is_a_fact_and_no_fault(cache: HubCache, source: HuggingFaceSource) -> None:
    every = {f"tiny-{quant}.gguf": gguf_bytes(quant) for quant in ("Q4_K_M", "Q5_K_M", "Q8_0")}
    cache.add("org/Tiny-GGUF", {"tiny-Q4_K_M.gguf": every["tiny-Q4_K_M.gguf"]})
    cache.tree("org/Tiny-GGUF", every)
    found = listed(source)
    assert not found.problems
    assert found.artifacts[0].missing == ()
    facts = {key: found.artifacts[0].facts[key] for key in ("repository_files", "absent_files", "absent")}
    assert facts == {
        "repository_files": 3,
        "absent_files": 2,
        "absent": ["tiny-Q5_K_M.gguf", "tiny-Q8_0.gguf"],
    }


def test_only_the_missing_shards_of_a_set_are_missing(cache: HubCache, source: HuggingFaceSource) -> None:
    every = {f"big-0000{number}-of-00003.gguf": gguf_bytes(str(number)) for number in (1, 2, 3)}
    here = {name: content for name, content in every.items() if "00002-" not in name}
    cache.add("org/big", here)
    cache.tree("org/big", {**every, "other-Q8_0.gguf": gguf_bytes("other")})
    assert listed(source)["org/big"].missing == ("big-00002-of-00003.gguf",)


def test_a_file_of_another_size_than_the_repository_tells_is_named(
    cache: HubCache, source: HuggingFaceSource
) -> None:
    cache.add("org/cut", {"model.safetensors": WEIGHTS[:-8]}, links=False)
    cache.tree("org/cut", {"model.safetensors": WEIGHTS})
    found = listed(source)
    assert found.codes == ["size-differs"]
    assert str(len(WEIGHTS)) in found.problems[0].message
    assert found["org/cut"].weights[0].sha256 is None


@pytest.mark.parametrize(
    ("content", "codes"),
    [
        ('{"format_version": 2, "files": {}}', []),
        ("{", ["unreadable-tree"]),
        ("[" * 100_000, ["unreadable-tree"]),
        ('{"format_version": 1, "files": []}', ["unreadable-tree"]),
        (
            '{"format_version": 1, "files": {"model.safetensors": 1, "b": {"size": -1, "lfs_sha256": "x"}}}',
            [],
        ),
    ],
)
def test_a_tree_that_cannot_be_used_costs_itself_alone(
    cache: HubCache, source: HuggingFaceSource, content: str, codes: list[str]
) -> None:
    cache.add("org/name", {"model.safetensors": WEIGHTS})
    put(cache.repository("org/name") / f"trees/{COMMIT}.json", content)
    found = listed(source)
    assert (found.ids, found.codes) == (["org/name"], codes)


@pytest.mark.parametrize("name", ["{}.incomplete", "{}.0badcafe.incomplete", "{}.downloadInProgress"])
def test_an_unfinished_download_has_the_size_that_it_takes_up(
    cache: HubCache, source: HuggingFaceSource, name: str
) -> None:
    cache.add("org/name", {"model.safetensors": WEIGHTS})
    path = sparse(cache.repository("org/name") / "blobs" / name.format("9" * 64), 1 << 32, b"x" * 65536)
    found = listed(source)
    ((unfinished,), orphans) = found.unfinished, found.orphans
    assert unfinished.path == str(path)
    assert 0 < unfinished.size < 1 << 20
    assert not orphans
    assert found.ids == ["org/name"]


def test_a_repository_whose_first_download_broke_is_only_that(
    cache: HubCache, source: HuggingFaceSource
) -> None:
    put(cache.repository("org/name") / "blobs" / f"{'9' * 64}.incomplete", b"x" * 10)
    put(cache.repository("org/name") / "refs/main", COMMIT)
    found = listed(source)
    assert [one.size for one in found.unfinished] == [10]
    assert not found.artifacts
    assert not found.problems


def test_blobs_that_no_snapshot_uses_are_orphans_with_their_size(
    cache: HubCache, source: HuggingFaceSource
) -> None:
    cache.add("org/name", {"model.safetensors": WEIGHTS, "notes.txt": b"of no interest, yet in use"})
    path = put(cache.repository("org/name") / "blobs" / ("8" * 64), b"x" * 100)
    assert [(one.path, one.size) for one in listed(source).orphans] == [(str(path), 100)]


def test_links_out_of_the_blobs_are_refused_and_named(cache: HubCache, source: HuggingFaceSource) -> None:
    snapshot = cache.add("org/name", {"model.safetensors": WEIGHTS})
    other = cache.add("org/other", {"model.safetensors": safetensors_bytes(2)})
    outside = put(cache.root.parent / "secret.gguf", gguf_bytes())
    (snapshot / "absolute.gguf").symlink_to(outside)
    (snapshot / "relative.gguf").symlink_to("../../../../secret.gguf")
    (snapshot / "sideways.safetensors").symlink_to(other / "model.safetensors")
    hop = cache.repository("org/name") / "blobs" / ("7" * 64)
    hop.symlink_to(outside)
    (snapshot / "hop.gguf").symlink_to(os.path.relpath(hop, snapshot))
    found = listed(source)
    assert found.ids == ["org/name", "org/other"]
    assert found.codes == ["link-leaves-blobs"] * 4
    assert all(str(outside.name) in one.message or "blob" in one.message for one in found.problems)


def test_a_folder_that_links_elsewhere_is_not_entered(cache: HubCache, source: HuggingFaceSource) -> None:
    snapshot = cache.add("org/name", {"model.safetensors": WEIGHTS})
    put(cache.root.parent / "outside/m.gguf", gguf_bytes())
    (snapshot / "sub").symlink_to(cache.root.parent / "outside")
    assert listed(source).ids == ["org/name"]


def test_a_link_in_a_circle_costs_no_other_model(cache: HubCache, source: HuggingFaceSource) -> None:
    cache.add("org/name", {"model.safetensors": WEIGHTS})
    for path in (cache.root / "models--a--circle", cache.repository("org/name") / "snapshots" / ("c" * 40)):
        path.symlink_to(path.name)
    assert listed(source).ids == ["org/name"]


def test_a_link_whose_blob_is_gone_is_named_once(cache: HubCache, source: HuggingFaceSource) -> None:
    cache.add(
        "org/name", {"a-00001-of-00002.gguf": gguf_bytes("1"), "a-00002-of-00002.gguf": gguf_bytes("2")}
    )
    (cache.repository("org/name") / "blobs" / sha256(gguf_bytes("2"))).unlink()
    found = listed(source)
    assert found.codes == ["missing-blob"]
    assert found["org/name"].missing == ("a-00002-of-00002.gguf",)


def test_locks_tags_data_sets_and_spaces_are_not_looked_at(
    cache: HubCache, source: HuggingFaceSource
) -> None:
    cache.add("org/name", {"model.safetensors": WEIGHTS})
    put(cache.root / "CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55")
    put(cache.root / f".locks/models--org--name/{'9' * 64}.lock")
    put(cache.root / f"datasets--org--data/snapshots/{COMMIT}/x.safetensors", WEIGHTS)
    put(cache.root / f"spaces--org--app/snapshots/{COMMIT}/x.safetensors", WEIGHTS)
    put(cache.repository("org/name") / f".no_exist/{COMMIT}/model.gguf")
    found = listed(source)
    assert (found.ids, found.problems, found.orphans) == (["org/name"], (), ())


def test_a_broken_ref_costs_its_name_alone(cache: HubCache, source: HuggingFaceSource) -> None:
    cache.add("org/name", {"model.safetensors": WEIGHTS}, ref=None)
    put(cache.repository("org/name") / "refs/main", b"\xff" * 2000)
    os.mkfifo(cache.repository("org/name") / "refs/pipe")
    found = listed(source)
    assert found.ids == [f"org/name@{COMMIT[:8]}"]
    assert found.codes == ["unreadable-ref"] * 2


def test_one_repository_or_snapshot_can_be_named(cache: HubCache, source: HuggingFaceSource) -> None:
    snapshot = cache.add("org/name", {"model.safetensors": WEIGHTS})
    cache.add("org/name", {"model.safetensors": safetensors_bytes(2)}, commit=OTHER_COMMIT, ref="v1")
    cache.add("org/other", {"model.safetensors": safetensors_bytes(3)})
    put(cache.repository("org/name") / "blobs" / ("8" * 64), b"x")
    assert listed(source, cache.repository("org/name")).ids == ["org/name", "org/name@v1"]
    assert listed(source, snapshot).ids == ["org/name"]
    assert not listed(source, snapshot).orphans
    assert listed(source, cache.root.parent).ids == ["org/name", "org/name@v1", "org/other"]


def test_a_cache_that_went_away_is_absent_and_an_empty_one_holds_nothing(
    cache: HubCache, source: HuggingFaceSource
) -> None:
    assert listed(source) == listed(source, cache.root)
    assert not listed(source).problems
    assert listed(source, cache.root / "gone").codes == ["absent"]


def test_a_cache_is_listed_without_a_change_to_it(cache: HubCache, source: HuggingFaceSource) -> None:
    cache.add("org/name", {"model.safetensors": WEIGHTS})
    put(cache.repository("org/name") / "blobs" / f"{'9' * 64}.incomplete", b"x")
    before = snapshot_of(cache.root)
    listed(source)
    assert snapshot_of(cache.root) == before
