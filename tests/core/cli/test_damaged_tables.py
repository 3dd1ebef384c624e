"""A flipped bit in any table: doctor names it, scan and ls do without or refuse, and a repair mends it."""

from __future__ import annotations

import json
import shutil
import struct
import time
from pathlib import Path
from typing import NamedTuple

import lmdb
import numpy as np
import pytest
import safetensors.numpy

from modelshelf import ModelRegistry
from modelshelf.model import PluginFailure
from modelshelf.records.frame import printable
from modelshelf.records.tables import (
    CACHED_ROOTS,
    DEFAULT,
    FAILURE_PLACES,
    FAILURES,
    MOUNTS,
    PINS,
    RECORDS,
    REGISTRY,
    TABLES,
    UNHEALTHY,
    Rebuild,
)
from modelshelf.records.write import Records
from tests.vendor_models import VENDORED

FOLDERS = 70  # enough for a scan to cache what they contain
ILL = range(7, FOLDERS, 20)
NAMED = range(0, FOLDERS, 9)
PAGE = 4096
LEAF = 2  # LMDB's flag of a page with keys and values
NODE = struct.Struct("=HHHH")  # size of the value in two parts, flags, size of the key
REGISTRY_KEYS = (DEFAULT, FAILURES, FAILURE_PLACES, CACHED_ROOTS, MOUNTS)
PREFIXES = [*(one.prefix for one in TABLES if one is not REGISTRY), *REGISTRY_KEYS]
PLACES = ("value", "first byte of the key", "second byte of the key", "last byte of the key")


class Stock(NamedTuple):
    """A folder of models, and a store with something of it in every table."""

    models: Path
    store: Path


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    root = tmp_path_factory.mktemp("stock")
    models, store = root / "models", root / "store"
    make_models(models)
    time.sleep(0.2)  # what changed just now is not cached
    with ModelRegistry(models, root / "grown") as registry:
        registry.discover_models(workers=1)
        for number in NAMED:
            registry.update(f"m{number:02}", display_name=f"Name {number}", aliases=(f"a{number}",))
            registry.pin(f"m{number:02}", registry.get(f"m{number:02}").version)
        registry.set_default("m09")
        registry.store.update(lambda state: write_the_rest(Records(state), models))
    store.mkdir(mode=0o700)
    with lmdb.open(str(root / "grown"), readonly=True, create=False) as grown:
        grown.copy(str(store), compact=True)  # without the pages of older states, which a repair would use
    (store / "data.mdb").chmod(0o600)
    return Stock(models, store)


def make_models(models: Path) -> None:
    """Models in folders of their own, some of them cut short, two in shards, and files that are no models."""
    whole = bytearray(next(VENDORED.rglob("*.gguf")).read_bytes())
    for number in range(FOLDERS):
        whole[-60] = number
        folder = models / f"m{number:02}"
        folder.mkdir(parents=True)
        (folder / "weights.gguf").write_bytes(whole[:-40] if number in ILL else whole)
        if number % 20 == 3:
            (folder / "notes.onnx").write_bytes(b"no model %d" % number)
    for number, parent in enumerate(("left", "right"), 200):  # both would be called twin
        whole[-60] = number
        folder = models / parent / "twin"
        folder.mkdir(parents=True)
        (folder / "weights.gguf").write_bytes(whole)
    for name in ("one", "two"):
        folder = models / name
        folder.mkdir()
        files = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
        for number, file in enumerate(files):
            data = np.full((2, ord(name[0])), number, dtype=np.float32)
            safetensors.numpy.save_file({f"weight-{number}": data}, folder / file)
        index = {"metadata": {}, "weight_map": {f"weight-{place}": file for place, file in enumerate(files)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def write_the_rest(records: Records, models: Path) -> None:
    """What this scan had no reason to write."""
    records.save_mounts(["/mnt/unplugged"])
    failure = PluginFailure(plugin="p", version="1", hook="load", reason="broken", file="/p.py", line=3)
    records.save_failures([failure])
    for name in ("m01", "m02"):
        records.mark_changed(str(models / name / "weights.gguf"))


def entries(store: Path, prefix: bytes) -> list[tuple[bytes, bytes]]:
    with ModelRegistry(metadata_path=store, readonly=True) as registry:
        return registry.store.view(lambda state: list(state.scan(prefix)))


def flip(store: Path, key: bytes, value: bytes, place: str) -> bytes:
    """Flip a bit of an entry where it lies; the key as it is then."""
    data = bytearray((store / "data.mdb").read_bytes())
    [at] = nodes(data, key)
    if place == "value":
        found = data.find(value)
        while found >= 0:  # pages that are free by now may have the same bytes
            data[found + len(value) // 2] ^= 4
            found = data.find(value, found + 1)
    else:
        data[at + {"first": 0, "second": 1, "last": len(key) - 1}[place.partition(" ")[0]]] ^= 2
    (store / "data.mdb").write_bytes(data)
    return bytes(data[at : at + len(key)])


def nodes(data: bytearray, key: bytes) -> list[int]:
    """Where leaf pages have the key."""
    found = []
    at = data.find(key)
    while at >= 0:
        (kind,) = struct.unpack_from("=H", data, at // PAGE * PAGE + 10)
        *_, size = NODE.unpack_from(data, at - NODE.size)
        if kind == LEAF and size == len(key):
            found.append(at)
        at = data.find(key, at + 1)
    return found


def listed(project) -> dict[str, tuple[str, str]]:
    found = project.run("ls", "--json").done().json
    return {one["id"]: (one["health_status"], one["display_name"]) for one in found}


@pytest.fixture
def store(project) -> Path:
    return project.root.parent / "store"


def damage(stock: Stock, store: Path, prefix: bytes, place: str) -> bytes:
    """Copy the store afresh and flip a bit of the last entry with a prefix; the key as it is then."""
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(stock.store, store)
    return flip(store, *entries(store, prefix)[-1], place)


everywhere = [
    pytest.mark.parametrize("place", PLACES),
    pytest.mark.parametrize("prefix", PREFIXES, ids=printable),
]


def in_every_table(test):
    for mark in everywhere:
        test = mark(test)
    return test


def test_the_stock_has_an_entry_in_every_table_and_is_sound(stock, project, store):
    for prefix in PREFIXES:
        assert entries(stock.store, prefix), prefix
    assert {key for key, _ in entries(stock.store, REGISTRY.prefix)} == set(REGISTRY_KEYS)
    shutil.copytree(stock.store, store)
    assert "nothing is wrong" in project.run("doctor").done().out
    outcome = project.run("scan", stock.models)
    assert ": 74 unchanged" in outcome.out


@in_every_table
def test_doctor_names_it(stock, project, store, prefix, place):
    key = damage(stock, store, prefix, place)
    outcome = project.run("doctor", "--json")
    assert outcome.code == 1
    found = [one for one in outcome.json["findings"] if one["severity"] == "error"]
    assert [
        one
        for one in found
        if (one["code"] == "record-damaged" and printable(key) in one["message"])
        or (one["code"] == "store-damaged" and "page" in one["message"])
    ]
    assert "repair_would" in outcome.json


def assert_listed_as(project, before: dict[str, tuple[str, str]]) -> None:
    """`ls` shows every model as before, or refuses with the command that mends the store."""
    outcome = project.run("ls", "--json")
    if outcome.code == 0:
        assert listed(project) == before
    else:
        assert "modelshelf doctor --repair" in outcome.err


@in_every_table
def test_a_listing_has_every_model_or_names_the_command_that_mends_it(stock, project, store, prefix, place):
    shutil.copytree(stock.store, store)
    before = listed(project)
    damage(stock, store, prefix, place)
    assert_listed_as(project, before)


@in_every_table
def test_a_scan_reports_every_ill_model_or_names_the_command_that_mends_it(
    stock, project, store, prefix, place
):
    shutil.copytree(stock.store, store)
    before = listed(project)
    damage(stock, store, prefix, place)
    outcome = project.run("scan", stock.models)
    if outcome.err:
        assert "modelshelf doctor --repair" in outcome.err
    else:
        ill = outcome.out.partition("Incomplete")[2]
        assert all(f"m{number:02}" in ill for number in ILL)
    assert_listed_as(project, before)


SPARED = [one.prefix for one in TABLES if one.rebuild is Rebuild.NEXT_SCAN or one is UNHEALTHY]


@pytest.mark.parametrize("prefix", SPARED, ids=printable)
def test_a_scan_does_without_a_value_that_it_can_find_again(stock, project, store, prefix):
    damage(stock, store, prefix, "value")
    outcome = project.run("scan", stock.models)
    assert outcome.err == ""
    assert "74 unchanged" in outcome.out
    assert all(f"m{number:02}" in outcome.out.partition("Incomplete")[2] for number in ILL)


@in_every_table
def test_a_repair_loses_nothing_that_exists_elsewhere(stock, project, store, prefix, place):
    shutil.copytree(stock.store, store)
    models = listed(project)
    registry = dict(entries(store, REGISTRY.prefix))
    pins = dict(entries(store, PINS.prefix))
    damage(stock, store, prefix, place)

    outcome = project.run("doctor", "--repair")
    assert (outcome.code, outcome.err) == (0, "")
    assert "nothing is wrong" in project.run("doctor").done().out

    if place == "value":  # what a person set in this one entry is gone
        models.pop("two" if prefix == RECORDS.prefix else "", None)
        for lost in (registry, pins):
            lost.pop(max((key for key in lost if key.startswith(prefix)), default=b""), None)
    registry.pop(CACHED_ROOTS, None)  # with the caches, which only spare work
    assert models.items() <= listed(project).items()
    assert registry.items() <= dict(entries(store, REGISTRY.prefix)).items()
    assert pins.items() <= dict(entries(store, PINS.prefix)).items()
    assert all(project.run("show", f"a{number}").code == 0 for number in NAMED)
