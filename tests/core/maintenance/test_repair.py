"""What is said to be lost of a store that was cut short: the exact number, or that nobody knows it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from modelshelf import ModelConfig, ModelRegistry
from modelshelf.errors import DamagedStoreError
from modelshelf.maintenance.doctor import diagnose_store
from modelshelf.maintenance.repair import Salvaged, survey
from modelshelf.plugin.call import PluginSet
from modelshelf.registry.open_store import open_store

MODELS = 41
PAGE = 4096


@pytest.fixture(scope="module")
def plugins() -> PluginSet:
    return PluginSet.discover()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The data file of a registry of models that were changed several times by hand, one of two versions."""
    folder = tmp_path_factory.mktemp("sound")
    with ModelRegistry(folder, folder / "store") as registry:
        for number in range(MODELS):
            text = f"name {number} " * 40
            model = ModelConfig(id=f"lab/m{number:02}", path=f"/models/{number}.gguf", display_name=text)
            registry.register(model)
        for number in range(0, MODELS, 3):
            registry.update(f"lab/m{number:02}", aliases=(f"alias-{number}",))
    return (folder / "store" / "data.mdb").read_bytes()


def looked_at(folder: Path, data: bytes, plugins: PluginSet) -> tuple[bool, Salvaged]:
    """Whether a data file is found sound, and what would be saved of it."""
    folder.mkdir(exist_ok=True)
    (folder / "data.mdb").write_bytes(data)
    try:
        store = open_store(str(folder), readonly=True)
    except DamagedStoreError:
        return False, survey(str(folder), plugins)
    found = diagnose_store(store)
    store.close()
    return not any(one.code == "store-damaged" for one in found), survey(str(folder), plugins)


def is_true(salvaged: Salvaged) -> bool:
    """Whether the number that is said to be lost is right, where one is said."""
    return salvaged.unnamed is None or len(salvaged.lost) + salvaged.unnamed == MODELS - salvaged.records


def test_of_a_sound_store_nothing_is_lost(tmp_path, sound, plugins) -> None:
    is_sound, salvaged = looked_at(tmp_path, sound, plugins)
    assert (is_sound, salvaged.records, salvaged.lost, salvaged.unnamed) == (True, MODELS, (), 0)


def test_at_whatever_point_a_store_is_cut_the_number_lost_is_right_or_unknown(tmp_path, sound, plugins):
    said = []
    for cut in range(100, len(sound), PAGE // 2):
        is_sound, salvaged = looked_at(tmp_path, sound[:cut], plugins)
        assert is_true(salvaged), (cut, salvaged)
        if salvaged.records < MODELS:
            assert not is_sound
            assert salvaged.lost or salvaged.unnamed != 0, (cut, salvaged)
        said.append((salvaged.records, salvaged.unnamed))
    assert any(records < MODELS and unnamed is None for records, unnamed in said)


def test_whichever_pages_are_zeroed_the_number_lost_is_right_or_unknown(tmp_path, sound, plugins) -> None:
    chance = random.Random(3)  # noqa: S311 - damage, no secrets
    exact = 0
    pages = range(2, len(sound) // PAGE)
    for damaged in [{page} for page in pages] + [set(chance.sample(pages, 3)) for _ in range(40)]:
        data = bytearray(sound)
        for page in damaged:
            data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
        _, salvaged = looked_at(tmp_path, bytes(data), plugins)
        assert is_true(salvaged), (damaged, salvaged)
        exact += salvaged.records < MODELS and salvaged.unnamed is not None
    assert exact


def test_a_repair_after_a_cut_says_that_a_number_is_lost(tmp_path, sound, plugins, capsys) -> None:
    from modelshelf.cli import main

    folder = tmp_path / "store"
    unknown = False
    for cut in range(3 * PAGE, len(sound), 5 * PAGE):
        folder.mkdir()
        (folder / "data.mdb").write_bytes(sound[:cut])
        _, before = looked_at(tmp_path / "copy", sound[:cut], plugins)
        code = main(["--store", str(folder), "doctor", "--repair"])
        told = capsys.readouterr().out
        if before.records < MODELS:
            assert code == 1
            assert ", 0 lost" not in told
        unknown = unknown or "an unknown number lost" in told
        for file in folder.iterdir():
            file.unlink()
        os.rmdir(folder)
    assert unknown
