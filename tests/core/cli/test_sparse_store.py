"""A data file that claims terabytes costs no more than what is stored of it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

TERABYTES = 1 << 42
PAGE = 4096


@pytest.fixture
def data(project) -> Path:
    """The data file of a store with two models."""
    project.gguf("one", folder="one", general_name="one")
    project.gguf("two", folder="two", general_name="two")
    project.run("scan", project.models)
    file = project.root.parent / "store" / "data.mdb"
    os.truncate(file, TERABYTES)
    if file.stat().st_blocks * 512 > TERABYTES // 2:
        pytest.skip("no sparse files here")
    return file


def all_zeros(file: Path) -> None:
    os.truncate(file, 0)
    os.truncate(file, TERABYTES)


def no_meta_pages(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(bytes(2 * PAGE))


def a_far_last_page(file: Path) -> None:
    with file.open("r+b") as opened:
        for page in (0, PAGE):
            opened.seek(page + 136)
            opened.write(struct.pack("=Q", TERABYTES // PAGE - 1))


def a_far_root(file: Path) -> None:
    a_far_last_page(file)
    with file.open("r+b") as opened:
        for page in (0, PAGE):
            opened.seek(page + 128)
            opened.write(struct.pack("=Q", TERABYTES // PAGE - 2))


@pytest.mark.usefixtures("data")
def test_a_sound_store_in_a_file_of_terabytes_is_read_and_sound(project) -> None:
    assert len(project.run("ls", "--json").done().json) == 2
    assert project.run("doctor", "--json").done().json["sound"] is True
    project.run("scan", "--force", project.models).done()


@pytest.mark.parametrize("damage", [all_zeros, no_meta_pages, a_far_last_page, a_far_root])
def test_a_damaged_file_of_terabytes_is_named_and_repaired_by_what_is_stored(project, data, damage) -> None:
    damage(data)
    outcome = project.run("doctor", "--json")
    assert outcome.code == 1
    assert "store-damaged" in {one["code"] for one in outcome.json["findings"]}
    assert project.run("doctor", "--repair").code in {0, 1}
    assert data.stat().st_size < TERABYTES
    # Zeros do not say where the models lay.
    assert len(project.run("ls", "--json").done().json) == (0 if damage is all_zeros else 2)
