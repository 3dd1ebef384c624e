"""At depth full every byte counts, in every place of a model."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from modelshelf import HealthStatus, ModelRegistry
from tests.vendor_models import VENDORED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "models"
    shutil.copytree(VENDORED / "tiny-llama-1.0", made / "one", copy_function=shutil.copy2)
    shutil.copytree(VENDORED / "tiny-llama-1.0", made / "two", copy_function=shutil.copy2)
    return made


def weights(folder: Path) -> Path:
    return next(folder.rglob("*.gguf"))


def rot(path: Path, offset: int) -> None:
    """Change one byte, and put the times back as bit rot does."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_full_checks_remember_the_sha256_of_every_copy(folder: Path, tmp_path: Path) -> None:
    with ModelRegistry(folder, tmp_path / "store") as registry:
        registry.discover_models()
        (model_id,) = registry.list_models()
        assert registry.check(depth="full")[model_id].status is HealthStatus.HEALTHY
        names = {one.content_names for one in registry.get(model_id).locations}
    assert names == {(hashlib.sha256(weights(folder).read_bytes()).hexdigest(),)}


def test_a_byte_that_rots_between_two_full_checks_is_found(folder: Path, tmp_path: Path) -> None:
    with ModelRegistry(folder / "one", tmp_path / "store") as registry:
        registry.discover_models()
        (model_id,) = registry.list_models()
        registry.check(depth="full")
        rot(weights(folder / "one"), -5)
        report = registry.check(depth="full")[model_id]
    assert (report.status, report.findings[0].code) == (HealthStatus.UNHEALTHY, "sha256-differs")


def test_copies_that_samples_take_for_one_are_told_apart_by_every_byte(tmp_path: Path) -> None:
    large = os.urandom(300_000)
    for name in ("one", "two"):
        path = tmp_path / "models" / name / "data.npy"
        path.parent.mkdir(parents=True)
        header = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (300000,), }"
        path.write_bytes(header.ljust(127) + b"\n" + large)
    with ModelRegistry(tmp_path / "models", tmp_path / "store") as registry:
        registry.discover_models()
        rot(path, 128 + 20_000)
        (model_id,) = registry.list_models()
        assert registry.check()[model_id].findings == ()
        registry.update(model_id, aliases=["mine"])
        registry.set_default(model_id)
        report = registry.check(depth="full")[model_id]
        assert [one.code for one in report.findings] == ["copies-differ"]
        assert report.status is HealthStatus.HEALTHY
        assert [len(one.locations) for one in registry] == [1, 1]
        kept, default = registry.get("mine"), registry.default()
        assert kept is not None
        assert default is not None
        assert (kept.id, kept.path, default.id) == (model_id, str(tmp_path / "models/one/data.npy"), model_id)
        registry.discover_models()
        registry.discover_models(depth="full")
        assert [len(one.locations) for one in registry] == [1, 1]


@pytest.mark.parametrize("offset", [-5, 20])
@pytest.mark.parametrize("again", ["check", "scan"])
def test_a_copy_that_rots_stays_unhealthy_at_each_further_look(
    folder: Path, tmp_path: Path, offset: int, again: str
) -> None:
    with ModelRegistry(folder, tmp_path / "store") as registry:
        registry.discover_models(depth="full")
        (model,) = registry
        rot(weights(folder / "two"), offset)
        for _ in range(2):
            if again == "check":
                registry.check(depth="full")
            else:
                registry.discover_models(depth="full", force=True)
            (model,) = registry
            by_folder = {Path(one.folder).name: one.findings for one in model.locations}
            assert (model.health_status, by_folder["one"]) == (HealthStatus.UNHEALTHY, ())
            assert "sha256-differs" in {one.code for one in by_folder["two"]}
        for depth in ("header", "quick"):
            registry.check(depth=depth)
            assert next(iter(registry)).health_status is HealthStatus.UNHEALTHY
            registry.discover_models(depth=depth, force=True)
            assert next(iter(registry)).health_status is HealthStatus.UNHEALTHY


def test_a_full_scan_remembers_the_sha256_too(folder: Path, tmp_path: Path) -> None:
    with ModelRegistry(folder / "one", tmp_path / "store") as registry:
        registry.discover_models(depth="full")
        (found,) = registry
    assert found.locations[0].content_names == (hashlib.sha256(weights(folder).read_bytes()).hexdigest(),)
