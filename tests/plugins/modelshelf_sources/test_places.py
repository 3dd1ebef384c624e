from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.errors import ConfigurationError
from modelshelf_sources import modelshelf_sources
from modelshelf_sources.comfyui import ComfyUISource
from modelshelf_sources.folders import FolderSource
from modelshelf_sources.huggingface import HuggingFaceSource
from modelshelf_sources.invokeai import InvokeAISource
from modelshelf_sources.llamacpp import LlamaCppSource
from modelshelf_sources.lmstudio import LMStudioSource
from modelshelf_sources.local_store import LocalStore
from modelshelf_sources.machine import Machine
from modelshelf_sources.ollama import OllamaSource
from modelshelf_sources.ramalama import RamaLamaSource
from tests.plugins.modelshelf_sources.homes import build_home
from tests.plugins.modelshelf_sources.stores import HubCache, gguf_bytes, machine, put

SOURCES: tuple[type[LocalStore], ...] = (
    ComfyUISource,
    FolderSource,
    HuggingFaceSource,
    InvokeAISource,
    LMStudioSource,
    LlamaCppSource,
    OllamaSource,
    RamaLamaSource,
)


def listed_places(source: LocalStore, home: Path) -> list[tuple[str, str]]:
    """Each place's root, relative to the home where it lies there, with its reason."""
    return [(one.root.replace(f"{home}/", ""), one.reason.replace(f"{home}/", "")) for one in source.places()]


def test_every_source_is_offered_once_under_its_own_name() -> None:
    offered = [kind.name for kind in modelshelf_sources()]
    assert sorted(offered) == sorted(source.name for source in SOURCES)
    assert len(set(offered)) == len(offered)
    assert all(kind.make({}).name == kind.name and kind.summary for kind in modelshelf_sources())


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_settings_override_every_root(source: type[LocalStore], tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    made = source.make({"name": source.name, "root": str(tmp_path / "a"), "paths": [str(tmp_path / "b")]})
    places = made.places()
    assert [one.reason for one in places] == ["settings"] * 2
    assert all(one.root.startswith(str(tmp_path)) for one in places)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"root": 1}, "root"),
        ({"root": " "}, "root"),
        ({"paths": "~/models"}, "paths"),
        ({"paths": [1]}, "paths"),
        ({"rooot": "x"}, "rooot"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    source: type[LocalStore], settings: dict[str, object], key: str
) -> None:
    with pytest.raises(ConfigurationError, match=key) as caught:
        source.make(settings)
    assert source.name in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, [(".cache/huggingface/hub", "default")]),
        ({"XDG_CACHE_HOME": "~/c"}, [("c/huggingface/hub", "$XDG_CACHE_HOME")]),
        ({"HF_HOME": "~/hf"}, [("hf/hub", "$HF_HOME")]),
        ({"HUGGINGFACE_HUB_CACHE": "~/old", "HF_HOME": "~/hf"}, [("old", "$HUGGINGFACE_HUB_CACHE")]),
        ({"HF_HUB_CACHE": "$HOME/x", "HUGGINGFACE_HUB_CACHE": "~/old"}, [("x", "$HF_HUB_CACHE")]),
    ],
)
def test_the_hubs_cache_is_where_the_environment_says(
    tmp_path: Path, environment: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    environment = {**environment, "HOME": str(tmp_path)}
    assert listed_places(HuggingFaceSource(machine=machine(tmp_path, **environment)), tmp_path) == expected


def test_the_default_cache_is_reported_too_where_another_is_in_use_and_it_remains(tmp_path: Path) -> None:
    (tmp_path / ".cache/huggingface/hub").mkdir(parents=True)
    source = HuggingFaceSource(machine=machine(tmp_path, HF_HOME="~/hf"))
    assert listed_places(source, tmp_path)[1] == (
        ".cache/huggingface/hub",
        "default, not in use: $HF_HOME is set",
    )


def test_ollamas_places_are_the_variables_the_users_and_the_services(tmp_path: Path) -> None:
    assert listed_places(OllamaSource(machine=machine(tmp_path)), tmp_path)[0] == (
        ".ollama/models",
        "default",
    )
    named = OllamaSource(machine=machine(tmp_path, OLLAMA_MODELS="~/big"))
    assert listed_places(named, tmp_path)[0] == ("big", "$OLLAMA_MODELS")
    roots = [root.path for root in named.default_roots()]
    assert roots[2:] == ["/usr/share/ollama/.ollama/models", "/var/lib/ollama/.ollama/models"]
    assert len([*OllamaSource(machine=machine(tmp_path, "darwin")).default_roots()]) == 1


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, ".cache/llama.cpp"),
        ("linux", {"XDG_CACHE_HOME": "~/c"}, "c/llama.cpp"),
        ("darwin", {}, "Library/Caches/llama.cpp"),
        ("win32", {}, "AppData/Local/llama.cpp"),
        ("win32", {"LOCALAPPDATA": "/data"}, "/data/llama.cpp"),
    ],
)
def test_llama_cpps_flat_cache_is_where_the_platform_keeps_caches(
    tmp_path: Path, platform: str, environment: dict[str, str], expected: str
) -> None:
    source = LlamaCppSource(machine=machine(tmp_path, platform, **environment))
    assert listed_places(source, tmp_path) == [(expected, "default")]


def test_lm_studio_follows_its_settings_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    settings = tmp_path / ".lmstudio/settings.json"
    source = LMStudioSource(machine=machine(tmp_path))
    assert listed_places(source, tmp_path) == [(".lmstudio/models", "default")]
    put(settings, b'\xef\xbb\xbf{"downloadsFolder": "~/lm"}')
    assert listed_places(source, tmp_path) == [("lm", ".lmstudio/settings.json")]
    (tmp_path / ".lmstudio/models").mkdir()
    (tmp_path / ".cache/lm-studio/models").mkdir(parents=True)
    assert [root for root, _ in listed_places(source, tmp_path)] == [
        "lm",
        ".lmstudio/models",
        ".cache/lm-studio/models",
    ]


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"downloadsFolder": 1}', b'{"downloadsFolder": ""}', b"[" * 99999]
)
def test_broken_settings_of_lm_studio_leave_the_default(tmp_path: Path, content: bytes) -> None:
    put(tmp_path / ".lmstudio/settings.json", content)
    assert listed_places(LMStudioSource(machine=machine(tmp_path)), tmp_path) == [
        (".lmstudio/models", "default")
    ]


def test_comfyui_is_looked_for_where_its_installers_put_it(tmp_path: Path) -> None:
    put(tmp_path / ".config/comfy-cli/config.ini", "[DEFAULT]\ndefault_workspace = ~/work/Comfy%UI\n")
    source = ComfyUISource(machine=machine(tmp_path, COMFYUI_PATH="/srv/comfy"))
    assert listed_places(source, tmp_path) == [
        ("/srv/comfy/models", "$COMFYUI_PATH"),
        ("work/Comfy%UI/models", ".config/comfy-cli/config.ini"),
        ("ComfyUI/models", "default"),
        ("comfy/ComfyUI/models", "default"),
        ("Documents/ComfyUI/models", "default"),
    ]


@pytest.mark.parametrize("content", ["default_workspace = x", "[DEFAULT", b"\xff\xff"])
def test_a_broken_configuration_of_comfyuis_installer_is_passed_over(tmp_path: Path, content: str) -> None:
    put(tmp_path / ".config/comfy-cli/config.ini", content)
    assert len(ComfyUISource(machine=machine(tmp_path)).places()) == 3


@pytest.mark.parametrize(
    ("platform", "folder"),
    [("linux", ".config"), ("darwin", "Library/Application Support"), ("win32", "AppData/Roaming")],
)
def test_the_desktop_programs_paths_are_read_on_every_platform(
    tmp_path: Path, platform: str, folder: str
) -> None:
    put(
        tmp_path / folder / "ComfyUI/extra_models_config.yaml",
        "desk:\n  base_path: ~/pics\n  loras: loras/\n",
    )
    source = ComfyUISource(machine=machine(tmp_path, platform))
    assert ("pics/loras", f"{folder}/ComfyUI/extra_models_config.yaml: desk") in listed_places(
        source, tmp_path
    )


def test_invokeais_folder_of_models_is_where_its_settings_say(tmp_path: Path) -> None:
    source = InvokeAISource(machine=machine(tmp_path))
    assert listed_places(source, tmp_path) == [("invokeai/models", "default")]
    put(tmp_path / "invokeai/invokeai.yaml", "models_dir: /data/invoke\n")
    assert listed_places(source, tmp_path) == [("/data/invoke", "default")]
    put(tmp_path / "invokeai/invokeai.yaml", "models_dir: [")
    assert listed_places(source, tmp_path) == [("invokeai/models", "default")]
    named = InvokeAISource(machine=machine(tmp_path, INVOKEAI_ROOT="/inv"))
    assert listed_places(named, tmp_path)[0] == ("/inv/models", "$INVOKEAI_ROOT")


def test_ramalamas_system_store_is_the_administrators(tmp_path: Path) -> None:
    mine = RamaLamaSource(machine=machine(tmp_path, XDG_DATA_HOME="~/data"))
    assert listed_places(mine, tmp_path) == [("data/ramalama/store", "default")]
    root = RamaLamaSource(machine=machine(tmp_path, is_root=True))
    assert [one.root for one in root.places()][1] == "/var/lib/ramalama/store"


def test_places_tell_whether_they_are_there_and_open_nothing_else(tmp_path: Path) -> None:
    home = build_home(tmp_path)
    for source in SOURCES:
        for place in source(machine=machine(home)).places():
            assert place.source == source.name
            assert place.present is Path(place.root).exists()
            assert place.reason


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_an_empty_home_is_no_fault(source: type[LocalStore], tmp_path: Path) -> None:
    assert not any(one.present for one in source(machine=machine(tmp_path)).places())


def test_each_place_of_a_full_home_is_claimed_by_its_own_source_alone(tmp_path: Path) -> None:
    home = build_home(tmp_path)
    made = [source(machine=machine(home)) for source in SOURCES]
    present = [one for source in made for one in source.places() if one.present]
    assert len(present) == 7
    for place in present:
        assert [source.name for source in made if source.claims(place.root)] == [place.source]


def test_stores_are_recognised_wherever_they_lie(tmp_path: Path) -> None:
    home, elsewhere = build_home(tmp_path / "home"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    made = [source(machine=machine(elsewhere)) for source in SOURCES]
    for path, name in (
        (".cache/huggingface/hub", "huggingface"),
        (".cache/huggingface", "huggingface"),
        (".cache/huggingface/hub/models--qwen--old", "huggingface"),
        (".cache/huggingface/hub/models--qwen--old/snapshots/" + "a" * 40, "huggingface"),
        (".ollama/models", "ollama"),
        (".ollama", "ollama"),
        ("ComfyUI/models", "comfyui"),
        (".cache/llama.cpp", "llamacpp"),
        ("invokeai", "invokeai"),
        (".local/share/ramalama/store", "ramalama"),
    ):
        claiming = [source.name for source in made if source.claims(str(home / path))]
        assert claiming == [name], path


def test_plain_folders_are_claimed_by_nobody(tmp_path: Path) -> None:
    put(tmp_path / "models/llama/llama-Q4_K_M.gguf", b"x")
    put(tmp_path / "models/loras/x.safetensors", b"x")
    for source in SOURCES:
        assert not source(machine=machine(tmp_path / "home")).claims(str(tmp_path / "models"))


def test_one_folder_that_two_tools_name_is_one_place(tmp_path: Path) -> None:
    cache = HubCache(tmp_path / "hub")
    cache.add("a/b", {"m.gguf": gguf_bytes()})
    shared = machine(tmp_path, HF_HUB_CACHE=tmp_path / "hub", LLAMA_CACHE=tmp_path / "hub")

    def listing() -> list[str]:
        both = (HuggingFaceSource(machine=shared), LlamaCppSource(machine=shared))
        root = str(tmp_path / "hub")
        places = [place.source for source in both for place in source.places() if place.root == root]
        assert places == [source.name for source in both if source.claims(root)]
        return places

    assert listing() == ["huggingface"]
    put(tmp_path / "hub/c_d_m.gguf.etag", "x")
    assert listing() == ["llamacpp"]


def test_a_cache_of_the_hubs_layout_that_llama_cpp_alone_names_is_llama_cpps(tmp_path: Path) -> None:
    HubCache(tmp_path / "llama").add("a/b", {"m.gguf": gguf_bytes()})
    mine = machine(tmp_path, LLAMA_CACHE=tmp_path / "llama")
    assert LlamaCppSource(machine=mine).claims(str(tmp_path / "llama"))
    assert not HuggingFaceSource(machine=mine).claims(str(tmp_path / "llama"))


def test_paths_are_expanded_as_their_tools_do() -> None:
    here = Machine(environment={"A": "/a", "B": ""}, home="/home/me")
    assert [here.expand(text) for text in ("~", "~/x", "~you/x", "$A/x", "${A}b", "%A%/x", "$C", "x~")] == [
        "/home/me",
        "/home/me/x",
        "~you/x",
        "/a/x",
        "/ab",
        "/a/x",
        "$C",
        "x~",
    ]
    assert here.variable("B") is None
    assert Machine.here().home
