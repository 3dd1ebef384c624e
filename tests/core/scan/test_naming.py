"""Which ids models get: the same for the same files, whatever the order and number of scans."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from modelshelf import ModelRegistry
from tests.core.toy import BUILTIN_FORMATS, ToyFormat, write_toy

TREES = {
    "one name in two places": ["a/llama/x.toy", "b/llama/y.toy"],
    "in three, of which two share a parent's name": ["p/a/llama/x.toy", "q/a/llama/y.toy", "b/llama/z.toy"],
    "a folder of two, and one of its name": ["a/llama/x.toy", "a/llama/y.toy", "b/llama/z.toy"],
    "files in folders that name nothing": ["a/models/x.toy", "b/checkpoints/x.toy", "b/models/y.toy"],
    "nothing that names anything": ["a/models/model.toy", "a/weights/model.toy", "model.toy"],
    "a folder within a folder": ["llama/x.toy", "llama/llama/y.toy", "llama/models/model.toy"],
}


class Disk:
    """A folder of toy models, and a registry on it."""

    def __init__(self, root: Path) -> None:
        self.root = root / "disk"
        self.root.mkdir()
        self._data = root / "data"
        self.registry = self.open("store")

    def open(self, name: str) -> ModelRegistry:
        return ModelRegistry(self.root, self._data / name, plugins=[ToyFormat()], blocked=BUILTIN_FORMATS)

    def write(self, path: str, content: str | None = None) -> None:
        write_toy(self.root / path, title=content or path)

    def scan(self, *paths: str) -> list[str]:
        self.registry.discover_models(*(self.root / path for path in paths))
        return self.ids()

    def ids(self) -> list[str]:
        """Ids, each with the file that it is of, below the folder."""
        return ids_of(self.registry, self.root)


def ids_of(registry: ModelRegistry, root: Path) -> list[str]:
    return sorted(f"{one.id} = {Path(one.path).relative_to(root)}" for one in registry if not one.missing)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    yield made
    made.registry.close()


def fresh(disk: Disk, name: str = "fresh") -> list[str]:
    with disk.open(name) as registry:
        registry.discover_models()
        return ids_of(registry, disk.root)


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_ids_do_not_depend_on_the_order_of_scans(disk: Disk, tree: list[str]) -> None:
    for path in tree:
        disk.write(path)
    expected = fresh(disk)
    folders = sorted({path.rpartition("/")[0] for path in tree})
    for number, order in enumerate(permutations(folders)):
        with disk.open(f"order-{number}") as registry:
            for folder in order:
                registry.discover_models(disk.root / folder)
            assert ids_of(registry, disk.root) == expected


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_ids_do_not_depend_on_what_was_there_first(disk: Disk, tree: list[str]) -> None:
    for number, order in enumerate(permutations(tree)):
        with disk.open(f"growing-{number}") as registry:
            for path in order:
                disk.write(path)
                registry.discover_models()
            assert ids_of(registry, disk.root) == fresh(disk, f"fresh-{number}")
        shutil.rmtree(disk.root)
        disk.root.mkdir()


def test_no_id_is_a_name_that_says_nothing(disk: Disk) -> None:
    for path in ("models/llama.toy", "checkpoint-500/model.toy", "unet/model.toy"):
        disk.write(f"mine/{path}")
    assert disk.scan() == [
        "llama = mine/models/llama.toy",
        "mine/checkpoint-500 = mine/checkpoint-500/model.toy",
        "mine/unet = mine/unet/model.toy",
    ]


def test_a_former_id_stays_an_alias_and_what_belongs_to_the_model_goes_with_it(disk: Disk) -> None:
    disk.write("a/llama/x.toy")
    disk.scan()
    registry = disk.registry
    registry.set_default("llama")
    registry.update("llama", max_tokens=7)
    registry.mark_used("llama")
    registry.pin("llama", "1.0.0")
    disk.write("a/llama/y.toy")
    assert disk.scan() == ["llama:x = a/llama/x.toy", "llama:y = a/llama/y.toy"]
    model = registry.get("llama")
    assert model is not None
    assert (model.id, model.max_tokens, model.use_count) == ("llama:x", 7, 1)
    assert model == registry.default() == registry.get("llama:x")
    assert registry.store.view(lambda state: len(list(state.scan(b"p\0")))) == 1
    (disk.root / "a/llama/y.toy").unlink()
    assert disk.scan() == ["llama = a/llama/x.toy"]
    assert registry.get("llama:x") == registry.default()


def test_of_one_scan_no_name_is_left_that_leads_to_one_of_two(disk: Disk) -> None:
    disk.write("a/llama/x.toy")
    disk.write("b/llama/y.toy")
    disk.scan()
    assert disk.registry.get("llama") is None


def test_a_name_that_was_there_before_leads_where_it_led(disk: Disk) -> None:
    disk.write("a/llama/x.toy")
    disk.scan()
    disk.write("b/llama/y.toy")
    disk.scan()
    found = disk.registry.get("llama")
    assert found is not None
    assert found.id == "a/llama"


def test_a_program_names_its_models_itself(disk: Disk) -> None:
    from modelshelf import ModelConfig

    disk.write("a/llama/x.toy")
    disk.registry.register(ModelConfig(id="llama", path=str(disk.root / "a/llama")))
    assert disk.scan() == ["llama = a/llama/x.toy"]
    disk.write("b/llama/y.toy")
    assert disk.scan() == ["b/llama = b/llama/y.toy", "llama = a/llama/x.toy"]


def test_a_moved_model_keeps_its_record_and_answers_to_both_names(disk: Disk) -> None:
    disk.write("a/llama/x.toy")
    disk.scan()
    disk.registry.update("llama", max_tokens=7)
    (disk.root / "b").mkdir()
    (disk.root / "a/llama").rename(disk.root / "b/vicuna")
    assert disk.scan() == ["vicuna = b/vicuna/x.toy"] == fresh(disk)
    model = disk.registry.get("llama")
    assert model is not None
    assert (model.id, model.max_tokens) == ("vicuna", 7)


def test_a_copy_is_named_alike_whichever_was_found_first(disk: Disk) -> None:
    disk.write("a/llama/x.toy", "same")
    disk.write("b/vicuna/x.toy", "same")
    expected = fresh(disk)
    assert expected == ["llama = a/llama/x.toy"]
    disk.scan("b")
    (ids,) = [one.partition(" ")[0] for one in disk.scan()]
    assert ids == "llama"
    assert disk.registry.get("vicuna") == disk.registry.get("llama")
