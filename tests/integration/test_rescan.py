"""A second look: nothing is opened or written without need, and what a person set outlives it."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelshelf import HealthStatus, ModelRegistry

Open = Callable[..., ModelRegistry]

LLAMA, QWEN = "tiny-llama-1.0", "tiny-qwen-2.5"

_watched: list[tuple[str, list[str]]] = []


def _note_open(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watched and isinstance(arguments[0], str | bytes):
        path = os.fsdecode(arguments[0])
        for folder, opened in _watched:
            if path.startswith(folder):
                opened.append(path)


sys.addaudithook(_note_open)  # an audit hook stays; it notes something only while a test watches


@contextmanager
def opened_below(folder: Path) -> Iterator[list[str]]:
    """Every path below the folder that this process opens meanwhile."""
    watch: tuple[str, list[str]] = (f"{folder}{os.sep}", [])
    _watched.append(watch)
    try:
        yield watch[1]
    finally:
        _watched.remove(watch)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "lock" not in path.name
    }


def gguf_of(models: Path) -> Path:
    return next((models / LLAMA).glob("*.gguf"))


def change_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x55
    path.write_bytes(data)


def test_a_first_scan_opens_the_models_or_this_file_proves_nothing(open_registry: Open, models: Path) -> None:
    with opened_below(models) as opened:
        stats = open_registry().discover_models(workers=1)
    assert str(gguf_of(models)) in opened
    assert (stats.models_found, stats.models_added, stats.errors) == (3, 3, 0)
    assert stats.bytes_read > 0


@pytest.mark.parametrize("again", ["the same registry", "a registry opened anew"])
def test_a_second_scan_opens_no_file_and_writes_nothing(
    open_registry: Open, models: Path, tmp_path: Path, again: str
) -> None:
    registry = open_registry()
    registry.discover_models()
    if again == "a registry opened anew":
        registry.close()
        registry = open_registry()
    revision, stored = registry.store.revision(), digests(tmp_path / "store")
    with opened_below(models) as opened:
        stats = registry.discover_models()
    assert opened == []
    assert (registry.store.revision(), digests(tmp_path / "store")) == (revision, stored)
    assert (stats.models_found, stats.models_unchanged, stats.bytes_read) == (3, 3, 0)
    assert (stats.models_added, stats.models_updated, stats.models_missing) == (0, 0, 0)


@pytest.mark.parametrize("force", [False, True])
def test_what_a_person_set_stands_after_a_rescan(open_registry: Open, models: Path, force: bool) -> None:
    registry = open_registry()
    registry.discover_models()
    registry.update(
        LLAMA,
        display_name="House llama",
        enabled=False,
        preload=True,
        max_workers=2,
        max_tokens=128,
        temperature=0.4,
        aliases=("llama",),
        tags=("house",),
        license="proprietary",
    )
    registry.set_default(QWEN)
    registry.mark_used(LLAMA)
    os.utime(gguf_of(models), (1, 1))
    registry.discover_models(force=force)
    model = registry.get("llama")
    assert (model.id, model.display_name, model.enabled, model.preload) == (LLAMA, "House llama", False, True)
    assert (model.max_workers, model.max_tokens, model.temperature, model.use_count) == (2, 128, 0.4, 1)
    assert (model.metadata.tags, model.metadata.license) == (("house",), "proprietary")
    assert model.metadata.architecture == "llama"
    assert registry.default().id == QWEN


def test_touching_a_file_makes_no_version(open_registry: Open, models: Path) -> None:
    registry = open_registry()
    registry.discover_models()
    os.utime(gguf_of(models), (1, 1))
    stats = registry.discover_models()
    assert (stats.models_added, len(registry.get_versions(LLAMA))) == (0, 1)
    assert registry.discover_models().models_unchanged == 3


def test_changed_bytes_are_a_new_version_and_the_old_one_stays(open_registry: Open, models: Path) -> None:
    registry = open_registry()
    registry.discover_models()
    before = registry.get(LLAMA)
    registry.update(LLAMA, tags=("house",))
    change_last_byte(gguf_of(models))
    stats = registry.discover_models()
    old, new = reversed(registry.get_versions(LLAMA))
    assert (stats.models_added, old, new) == (1, before.version, before.version.next_patch())
    assert registry.get(LLAMA).version == new
    kept = registry.get_by_version(LLAMA, old)
    assert (kept.content_digest, kept.missing) == (before.content_digest, True)
    assert registry.get(LLAMA).metadata.tags == ("house",)


def test_a_changed_shard_is_a_new_version_of_the_whole(open_registry: Open, models: Path) -> None:
    registry = open_registry()
    registry.discover_models()
    change_last_byte(models / QWEN / "model-00002-of-00002.safetensors")
    registry.discover_models()
    assert len(registry.get_versions(QWEN)) == 2


def test_a_changed_card_updates_the_record_and_makes_no_version(open_registry: Open, models: Path) -> None:
    registry = open_registry()
    registry.discover_models()
    card = models / QWEN / "README.md"
    card.write_text(card.read_text().replace("license: apache-2.0", "license: mit"))
    stats = registry.discover_models()
    assert (stats.models_updated, stats.models_added, stats.models_unchanged) == (1, 0, 2)
    assert registry.get(QWEN).metadata.license == "mit"


def test_bytes_put_back_are_the_old_version_again(open_registry: Open, models: Path) -> None:
    registry = open_registry()
    registry.discover_models()
    first = registry.get(LLAMA).version
    change_last_byte(gguf_of(models))
    registry.discover_models()
    change_last_byte(gguf_of(models))
    registry.discover_models()
    assert (registry.get(LLAMA).version, len(registry.get_versions(LLAMA))) == (first, 2)


def test_a_moved_folder_keeps_its_record(open_registry: Open, models: Path) -> None:
    registry = open_registry()
    registry.discover_models()
    registry.mark_used(LLAMA)
    registry.update(LLAMA, temperature=0.4)
    (models / "archive").mkdir()
    (models / LLAMA).rename(models / "archive" / "renamed")
    stats = registry.discover_models()
    model = registry.get(LLAMA)
    assert (stats.models_added, stats.models_missing, len(registry)) == (0, 0, 3)
    assert model.path.startswith(str(models / "archive" / "renamed"))
    assert (model.use_count, model.temperature, len(model.locations)) == (1, 0.4, 1)


def test_a_deleted_file_is_marked_missing_and_its_return_is_noticed(
    open_registry: Open, models: Path, tmp_path: Path
) -> None:
    registry = open_registry()
    registry.discover_models()
    shutil.move(models / LLAMA, tmp_path / "aside")
    assert registry.discover_models().models_missing == 1
    assert (registry.get(LLAMA).missing, len(registry)) == (True, 3)
    assert registry.discover_models().models_missing == 0
    shutil.move(tmp_path / "aside", models / LLAMA)
    registry.discover_models()
    assert (registry.get(LLAMA).missing, len(registry.get_versions(LLAMA))) == (False, 1)


def test_a_scan_of_one_folder_says_nothing_of_the_others(open_registry: Open, models: Path) -> None:
    registry = open_registry()
    registry.discover_models()
    shutil.rmtree(models / LLAMA)
    registry.discover_models([models / QWEN])
    assert registry.get(LLAMA).missing is False


def test_a_copy_is_a_second_location_of_one_record(open_registry: Open, models: Path) -> None:
    registry = open_registry()
    shutil.copytree(models / LLAMA, models / "copy")
    registry.discover_models()
    (model,) = [one for one in registry if one.metadata.format == "gguf"]
    folders = sorted(Path(one.folder).name for one in model.locations)
    assert folders == ["copy", LLAMA]


def test_a_copy_that_is_deleted_leaves_the_record_with_the_other_place(
    open_registry: Open, models: Path
) -> None:
    registry = open_registry()
    shutil.copytree(models / LLAMA, models / "zz-copy")
    registry.discover_models()
    shutil.rmtree(models / LLAMA)
    registry.discover_models()
    model = registry.get(LLAMA)
    assert (model.missing, Path(model.path).parent.name) == (False, "zz-copy")


def test_other_content_that_asks_for_a_taken_id_is_named_with_its_folder(
    open_registry: Open, models: Path
) -> None:
    other = models / "other" / LLAMA
    shutil.copytree(models / LLAMA, other)
    change_last_byte(gguf_of(models / "other"))
    first = open_registry()
    first.discover_models()
    ids = [one for one in first.list_models() if one.endswith(LLAMA)]
    assert ids == [f"models/{LLAMA}", f"other/{LLAMA}"]


def test_a_missing_shard_is_unhealthy_and_named(open_registry: Open, models: Path) -> None:
    shard = models / QWEN / "model-00002-of-00002.safetensors"
    shard.unlink()
    registry = open_registry()
    registry.discover_models()
    model = registry.get(QWEN)
    assert model.health_status is HealthStatus.UNHEALTHY
    assert any(shard.name in finding.message for finding in model.findings)


def test_an_unfinished_download_is_listed_and_not_admitted(open_registry: Open, models: Path) -> None:
    gguf = gguf_of(models)
    gguf.rename(f"{gguf}.part")
    registry = open_registry()
    stats = registry.discover_models()
    assert (stats.models_found, stats.unfinished_downloads) == (2, 1)
    assert stats.unfinished[0].path == f"{gguf}.part"


def test_an_unfinished_download_counts_with_the_room_that_it_takes(tmp_path: Path) -> None:
    with (tmp_path / "model.gguf.part").open("wb") as file:
        file.write(b"GGUF" * 2048)
        file.truncate(1 << 30)
    with ModelRegistry(tmp_path, tmp_path / "store") as registry:
        (one,) = registry.discover_models().unfinished
    assert 8192 <= one.size < 1 << 20
