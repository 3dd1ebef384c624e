"""What commands say of a store in which one record is damaged: it is named, and the others stay usable."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf import DamagedStoreError, ModelRegistry

MODELS = 5


@pytest.fixture
def damaged(project):
    """A project of models of which one record's value has a flipped bit."""
    for number in range(MODELS):
        project.gguf(f"m{number}", folder=f"m{number}", general_description=f"number {number}")
    project.run("scan", project.models)
    project.run("set", "m3", "temperature=1").done()
    flip(project, b"m\0m2\x001.0.0", 12)
    return project


def store_of(project) -> Path:
    return project.root.parent / "store"


def flip(project, key: bytes, behind: int) -> None:
    """Flip a bit of every record with that key; `behind` counts from the key's end."""
    path = store_of(project) / "data.mdb"
    data = bytearray(path.read_bytes())
    places = [one for one in range(len(data)) if data.startswith(key, one) and data[one + len(key)] == 1]
    assert places
    for place in places:
        data[place + len(key) + behind] ^= 2
    path.write_bytes(data)


@pytest.mark.parametrize(
    "arguments",
    [["ls"], ["ls", "--json"], ["ls", "--format", "csv"], ["export"], ["export", "--format", "settings"]],
)
def test_a_listing_has_the_others_and_names_the_damaged_one(damaged, arguments):
    outcome = damaged.run(*arguments)
    assert outcome.code == 1
    assert "m3" in outcome.out
    assert "m2" not in outcome.out
    assert outcome.err.count("\n") == 1
    assert "record m m2 1.0.0 does not match its checksum" in outcome.err
    assert "modelshelf doctor --repair" in outcome.err


def test_the_damaged_one_itself_is_refused_and_the_others_are_shown(damaged):
    outcome = damaged.run("show", "m2")
    assert (outcome.code, outcome.out) == (1, "")
    assert "modelshelf doctor --repair" in outcome.err
    assert damaged.run("show", "m1").done().lines[0] == "m1 1.0.0"
    assert damaged.run("set", "m1", "temperature=2").code == 0


def test_a_scan_records_what_is_new_and_names_the_damaged_one(damaged):
    damaged.gguf("new", folder="new", general_description="new")
    outcome = damaged.run("scan", damaged.models)
    assert outcome.code == 1
    assert "modelshelf doctor --repair" in outcome.err
    assert damaged.run("show", "new").done().lines[0] == "new 1.0.0"


def test_a_program_gets_an_exception_unless_it_asks_otherwise(damaged):
    damages = []
    with ModelRegistry(metadata_path=store_of(damaged), readonly=True) as registry:
        with pytest.raises(DamagedStoreError, match="m2"):
            registry.list_models()
        registry.on_damage = damages.append
        assert registry.list_models() == ["m0", "m1", "m3", "m4"]
    assert [str(one).split(":")[0] for one in damages] == ["record m m2 1.0.0 does not match its checksum"]


@pytest.mark.parametrize("readonly", [False, True])
def test_a_record_under_a_damaged_key_is_not_taken_for_absent(project, readonly):
    project.gguf("tiny", folder="tiny")
    project.run("scan", project.models)
    flip(project, b"m\0tiny\x001.0.0", -8)
    with ModelRegistry(metadata_path=store_of(project), readonly=readonly) as registry:
        for look in (
            lambda: registry.get("tiny"),
            lambda: registry.get_versions("tiny"),
            lambda: registry.get_by_version("tiny", "1.0.0"),
        ):
            with pytest.raises(DamagedStoreError, match="doctor --repair"):
                look()
