"""The configuration file is changed by program, and keeps what a person wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.config import load
from modelshelf.config_edit import add_source, remove_sources
from modelshelf.errors import ConfigurationError

OWN = """\
# mine
workers = 4   # as many as cores

[[sources]]
name = "ollama"  # the big disk
root = "/srv/ollama"
"""


def test_a_source_is_appended_and_comments_stay(tmp_path: Path) -> None:
    file = tmp_path / "modelshelf.toml"
    file.write_text(OWN)
    add_source(file, {"name": "local", "paths": ["/srv/models"]})
    assert file.read_text().startswith(OWN)
    assert [one["name"] for one in load(config=str(file)).sources] == ["ollama", "local"]


def test_a_file_that_is_not_there_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "modelshelf.toml"
    add_source(file, {"name": "local", "paths": ['/a "quoted"\\ path\nwith a line']})
    assert file.stat().st_mode & 0o777 == 0o600
    assert load(config=str(file)).sources[0]["paths"] == ['/a "quoted"\\ path\nwith a line']


def test_adding_and_removing_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "modelshelf.toml"
    file.write_text(OWN)
    add_source(file, {"name": "local", "paths": ["/srv/models"]})
    assert remove_sources(file, lambda table: table["name"] == "local") == 1
    assert file.read_text().strip() == OWN.strip()


def test_the_last_source_that_is_removed_leaves_no_table(tmp_path: Path) -> None:
    file = tmp_path / "modelshelf.toml"
    add_source(file, {"name": "local", "paths": ["/srv/models"]})
    assert remove_sources(file, lambda _: True) == 1
    assert load(config=str(file)).sources == ()


def test_nothing_is_removed_from_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert remove_sources(tmp_path / "none.toml", lambda _: True) == 0
    assert not (tmp_path / "none.toml").exists()


@pytest.mark.parametrize(
    "text", ["sources = [", "sources = 3", "\ufeff\x00"], ids=["broken", "number", "bytes"]
)
def test_a_file_that_is_no_toml_is_named_and_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "modelshelf.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"modelshelf\.toml"):
        add_source(file, {"name": "local"})
    assert file.read_text() == text


def test_the_same_source_is_not_added_twice(tmp_path: Path) -> None:
    file = tmp_path / "modelshelf.toml"
    add_source(file, {"name": "local", "paths": ["/srv"]})
    with pytest.raises(ConfigurationError, match="already"):
        add_source(file, {"name": "local", "paths": ["/srv"]})


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text("workers = 1\n")
    (tmp_path / "link.toml").symlink_to("real.toml")
    add_source(tmp_path / "link.toml", {"name": "local"})
    assert (tmp_path / "link.toml").is_symlink()
    assert "local" in (tmp_path / "real.toml").read_text()
