"""Links are followed where the tool follows them; out of a plain folder only to a model's files by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelshelf import ModelRegistry, Problem
from modelshelf.model import DiscoveryStats
from tests.core.toy import ToyFormat, write_toy

PRIVATE = "root:x:0:0:secret"


class Home:
    """A folder to scan, one beside it, and a registry over the first."""

    def __init__(self, root: Path) -> None:
        self.folder, self.outside = root / "models", root / "outside"
        self.folder.mkdir()
        self.outside.mkdir()
        self.store = root / "store"
        self.opened: list[ModelRegistry] = []

    def scan(self, path: Path | None = None, *, sources: object = (), **options: object) -> DiscoveryStats:
        self.opened.append(ModelRegistry(self.folder, self.store, plugins=[ToyFormat()], sources=sources))
        return self.opened[-1].discover_models(path or self.folder, **options)

    @property
    def paths(self) -> dict[str, str | None]:
        """Paths of the present models below the folder, each with the real path that it is marked with."""
        return {
            os.path.relpath(place.path, self.folder): model.metadata.details.get("real_path")
            for model in self.opened[-1]
            for place in model.locations
            if not place.missing
        }


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    for one in made.opened:
        one.close()


def codes(stats: DiscoveryStats) -> dict[str, str]:
    return {os.path.basename(str(one.path)): one.code for one in stats.passed_over}


def follow(folder: Path) -> list[dict[str, object]]:
    return [{"name": "local", "root": str(folder), "follow_links": True, "defaults": False}]


@pytest.mark.parametrize("depth", ["header", "full"])
@pytest.mark.parametrize("name", ["m.toy", "sha256-" + "a" * 64, "b" * 40])
def test_a_link_out_to_a_file_of_a_model_is_followed_and_marked(home: Home, name: str, depth: str) -> None:
    target = write_toy(home.outside / name, title="x")
    (home.folder / "link.toy").symlink_to(target)
    for _ in range(2):
        stats = home.scan(depth=depth)
        assert (home.paths, codes(stats), stats.errors) == ({"link.toy": str(target)}, {}, 0)


def test_a_link_within_the_folder_is_followed_whatever_it_leads_to(home: Home) -> None:
    write_toy(home.folder / "data", title="x")
    (home.folder / "a").mkdir()
    (home.folder / "a" / "link.toy").symlink_to("../data")
    home.scan()
    assert home.paths["a/link.toy"] is None


@pytest.mark.parametrize("depth", ["header", "full"])
@pytest.mark.parametrize(
    "name", ["link.toy", "config.json", "tokenizer.json", "README.md", "m.toy.index.json"]
)
def test_nothing_is_shown_of_what_is_no_file_of_a_model(
    home: Home, capfd: pytest.CaptureFixture[str], name: str, depth: str
) -> None:
    (home.outside / "passwd").write_text(PRIVATE)
    write_toy(home.folder / "good.toy", title="x")
    (home.folder / name).symlink_to(home.outside / "passwd")
    for _ in range(2):
        stats = home.scan(depth=depth)
        assert codes(stats) == {name: "link-leaves-root"}
        assert (home.paths, stats.errors) == ({"good.toy": None}, 0)
    registry = home.opened[-1]
    shown = [str(stats), registry.to_json(), *map(str, registry.why(home.folder / name))]
    assert not any("secret" in text for text in (*shown, *capfd.readouterr()))


def test_a_link_that_is_named_itself_is_followed(home: Home) -> None:
    target = write_toy(home.outside / "data", title="x")
    (home.folder / "link").symlink_to(target)
    home.scan(home.folder / "link")
    assert list(home.paths) == ["link"]


def test_a_folder_out_there_is_followed_where_the_settings_say_so(home: Home) -> None:
    write_toy(home.outside / "m" / "m.toy", title="x")
    (home.folder / "link").symlink_to(home.outside)
    stats = home.scan()
    assert (home.paths, codes(stats), stats.errors) == ({}, {"link": "link-leaves-root"}, 0)
    for _ in range(2):
        stats = home.scan(sources=follow(home.folder))
        assert home.paths == {"link/m/m.toy": str(home.outside / "m" / "m.toy")}
        assert codes(stats) == {}
    home.scan()  # what was recorded is not taken for gone
    assert list(home.paths) == ["link/m/m.toy"]


def loop(home: Home) -> set[str]:
    (home.outside / "again").symlink_to(home.outside)
    return {"again"}


def back(home: Home) -> set[str]:
    (home.outside / "back").symlink_to(home.folder)
    return {"back"}


def twice(home: Home) -> set[str]:
    (home.folder / "second").symlink_to(home.outside)
    return {"second"}


def inner_first(home: Home) -> set[str]:
    (home.folder / "an-inner").symlink_to(home.outside / "m")
    return {"m"}


def inner_last(home: Home) -> set[str]:
    (home.folder / "z-inner").symlink_to(home.outside / "m")
    return {"z-inner"}


@pytest.mark.parametrize("make", [loop, back, twice, inner_first, inner_last])
def test_loops_and_repeats_are_named_and_walked_once(home: Home, make: Callable[[Home], set[str]]) -> None:
    write_toy(home.outside / "m" / "m.toy", title="x")
    (home.folder / "link").symlink_to(home.outside)
    repeated = make(home)
    stats = home.scan(sources=follow(home.folder))
    assert codes(stats) == dict.fromkeys(repeated, "linked-folder")
    assert len(home.paths) == 1


def test_links_to_links_and_dead_ones_end(home: Home) -> None:
    target = write_toy(home.outside / "m.toy", title="x")
    (home.outside / "hop").symlink_to(target)
    (home.folder / "far.toy").symlink_to(home.outside / "hop")
    (home.folder / "dead.toy").symlink_to(home.outside / "nowhere.toy")
    (home.folder / "round.toy").symlink_to(home.folder / "round.toy")
    problems: tuple[Problem, ...] = home.scan().problems
    assert home.paths == {"far.toy": str(target)}
    assert {os.path.basename(str(one.path)): one.code for one in problems} == dict.fromkeys(
        ("dead.toy", "round.toy"), "unreadable"
    )


def test_a_setting_that_is_no_flag_is_refused(home: Home) -> None:
    table = {"name": "local", "root": str(home.folder), "follow_links": "yes"}
    with pytest.raises(Exception, match="follow_links of the source 'local' must be true or false"):
        home.scan(sources=[table])


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_lm_studio_follows_links_to_publishers_and_models(home: Home, levels: int) -> None:
    parts = ["publisher", "model", "sub"][:levels]
    write_toy(home.outside / "/".join(["publisher", "model", "sub"][levels:]) / "m.toy", title="x")
    link = home.folder.joinpath(*parts)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(home.outside)
    home.scan(sources=[{"name": "lmstudio", "root": str(home.folder), "defaults": False}])
    assert len(home.paths) == (1 if levels <= 2 else 0)
    assert all(path.startswith(str(home.outside)) for path in home.paths.values() if path)


def test_comfyui_follows_links_everywhere(home: Home) -> None:
    target = write_toy(home.outside / "x" / "data.toy", title="x")
    (home.folder / "models" / "loras" / "a" / "b").mkdir(parents=True)
    (home.folder / "models" / "loras" / "a" / "b" / "link").symlink_to(home.outside)
    home.scan(sources=[{"name": "comfyui", "root": str(home.folder), "defaults": False}])
    assert home.paths == {"models/loras/a/b/link/x/data.toy": str(target)}


def test_the_settings_file_has_it_for_all_plain_folders(home: Home) -> None:
    from modelshelf.config import load

    write_toy(home.outside / "m.toy", title="x")
    (home.folder / "link").symlink_to(home.outside)
    file = home.store.with_name("settings.toml")
    named = json.dumps(str(home.folder))
    file.write_text(
        f'follow_links = true\n[[sources]]\nname = "local"\nroot = {named}\nfollow_links = false\n'
    )
    settings = load(config=str(file), environ={})
    home.scan(sources=settings.sources)
    assert list(home.paths) == ["link/m.toy"]
    assert [one["follow_links"] for one in settings.sources] == [True, False]


@pytest.mark.parametrize(
    "name",
    [
        *(f"m.{end}" for end in ["gguf", "safetensors", "bin", "pt", "pth", "ckpt", "pkl", "npy", "npz"]),
        *(f"m.{end}" for end in ["onnx", "h5", "tflite", "zip"]),
        *(
            "config.json",
            "README.md",
            "tokenizer_config.json",
            "generation_config.json",
            "chat_template.jinja",
        ),
        *(
            "m.safetensors.index.json",
            "pytorch_model.bin.index.json",
            "adapter_config.json",
            "model_index.json",
        ),
    ],
)
def test_no_message_shows_bytes_of_a_file_that_is_no_model(
    home: Home, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    (home.outside / "passwd").write_text(PRIVATE)
    place = home.folder / "publisher" / "model"
    write_toy(place / "good.toy", title="x")
    (place / name).symlink_to(home.outside / "passwd")
    stats = home.scan(sources=[{"name": "lmstudio", "root": str(home.folder), "defaults": False}])
    registry = home.opened[-1]
    registry.check(depth="full")
    shown = [str(stats), registry.to_json(), *map(str, registry.why(place / name)), *capfd.readouterr()]
    shown = [text.replace(str(home.folder.parent), "") for text in shown]
    assert not any(word in text for text in shown for word in ("root", "secret", "726f6f74"))
