from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.config import load, settings_file
from modelshelf.errors import ConfigurationError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty home and working directory."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    for name in [name for name in os.environ if name.startswith(("XDG_", "MODELSHELF_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_without_any_setting_the_store_lies_in_the_users_data_folder(home):
    loaded = load(environ={})
    assert loaded.store == str(home / ".local/share/modelshelf")
    assert (loaded.paths, loaded.workers, loaded.file) == ((), None, None)


def test_the_working_directorys_own_folders_come_before_the_users(tmp_path):
    (tmp_path / "work/vendor/layerData").mkdir(parents=True)
    (tmp_path / "work/vendor/layerModels").mkdir()
    loaded = load(environ={})
    assert loaded.store == "vendor/layerData"
    assert loaded.paths == (str(tmp_path / "work/vendor/layerModels"),)


def test_an_argument_beats_the_environment_which_beats_the_file(tmp_path):
    file = written(tmp_path / "some.toml", 'store = "/from/file"\nworkers = 2\npaths = ["/from/file"]')
    environ = {"MODELSHELF_STORE": "/from/environment", "MODELSHELF_PATHS": f"/one{os.pathsep}/two"}
    loaded = load(config=file, environ=environ)
    assert (loaded.store, loaded.workers, loaded.paths) == ("/from/environment", 2, ("/one", "/two"))
    assert load(store="/from/argument", config=file, environ=environ).store == "/from/argument"
    assert load(config=file, environ={}).store == "/from/file"


def test_the_users_own_file_is_found(home):
    file = written(home / ".config/modelshelf/modelshelf.toml", "workers = 3")
    loaded = load(environ={})
    assert (loaded.workers, loaded.file) == (3, file)


def test_the_environment_can_name_the_file(tmp_path):
    assert load(environ={"MODELSHELF_CONFIG": written(tmp_path / "a.toml", "workers = 5")}).workers == 5


def test_paths_in_the_file_are_relative_to_it_and_know_the_home(tmp_path, home):
    file = written(
        tmp_path / "etc/a.toml", 'paths = ["models", "~/more", "s3://bucket/x"]\nstore = "records"'
    )
    loaded = load(config=file, environ={})
    assert loaded.paths == (str(tmp_path / "etc/models"), str(home / "more"), "s3://bucket/x")
    assert loaded.store == str(tmp_path / "etc/records")


def test_plugins_are_disabled_by_file_and_environment_together(tmp_path):
    file = written(tmp_path / "a.toml", 'disable_plugins = ["one"]')
    loaded = load(config=file, environ={"MODELSHELF_DISABLE_PLUGINS": "two, three,"})
    assert loaded.disable_plugins == {"one", "two", "three"}


def test_sources_keep_their_own_settings(tmp_path):
    file = written(
        tmp_path / "a.toml", '[[sources]]\nname = "ollama"\nroot = "/srv"\n[[sources]]\nname = "lab"'
    )
    assert load(config=file, environ={}).sources == ({"name": "ollama", "root": "/srv"}, {"name": "lab"})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("workers = 0", "workers: must be an integer of 1 or more, not 0"),
        ("workers = true", "workers: must be an integer"),
        ('workers = "4"', "workers: must be an integer"),
        ("store = 3", "store: must be text"),
        ('store = " "', "store: must be text that is not empty"),
        ('paths = "models"', "paths: must be a list"),
        ('paths = ["models", 3]', "paths[1]: must be text"),
        ("disable_plugins = [1]", "disable_plugins[0]: must be text"),
        ("sources = 1", "sources: must be tables"),
        ("[[sources]]\nroot = 1", "sources[0].name: must be text"),
        ("[store]\npath = 1", "store: must be text"),
        ("stroe = 1", "stroe: there is no such setting; the settings are store, paths"),
        ("store = ", "is not valid TOML"),
        ("x = " + "[" * 5000, "is not valid TOML"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_file(tmp_path, text, complaint):
    file = written(tmp_path / "bad.toml", text)
    with pytest.raises(ConfigurationError) as caught:
        load(config=file, environ={})
    assert str(caught.value).startswith(file)
    assert complaint in str(caught.value)


def test_a_file_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "bad.toml").write_bytes(b'store = "\xff"')
    with pytest.raises(ConfigurationError, match=r"bad\.toml: is not valid TOML"):
        load(config=str(tmp_path / "bad.toml"), environ={})


def test_a_named_file_that_is_absent_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: the configuration file is not there"):
        load(config=str(tmp_path / "nowhere.toml"), environ={})


def test_a_folder_in_place_of_the_file_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(config=str(tmp_path), environ={})


@pytest.mark.parametrize("text", ["many", "0", "-1", "1.5"])
def test_a_variable_that_cannot_be_used_is_named(text):
    with pytest.raises(ConfigurationError, match="MODELSHELF_WORKERS: must be an integer of 1 or more"):
        load(environ={"MODELSHELF_WORKERS": text})


def test_an_empty_variable_says_nothing(home):
    loaded = load(environ={"MODELSHELF_STORE": "", "MODELSHELF_PATHS": "", "MODELSHELF_WORKERS": " "})
    assert loaded.store == str(home / ".local/share/modelshelf")


@given(text=st.text(max_size=80))
@settings(deadline=None, max_examples=200)
def test_no_text_raises_anything_but_a_configuration_error(text, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text(text, encoding="utf-8")
    with suppress(ConfigurationError):
        load(config=str(file), environ={})


@pytest.mark.parametrize("user", ["/home/one", "/home/one/", "/", "relative", "", None])
@pytest.mark.parametrize("own", ["/own", "/own//folder/", "own", " ", "~/own", "", None])
def test_the_users_folders_are_those_that_platformdirs_names(monkeypatch, user, own):
    for name, value in (("HOME", user), ("XDG_CONFIG_HOME", own), ("XDG_DATA_HOME", own)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    dirs = platformdirs.PlatformDirs("modelshelf", appauthor=False)
    assert settings_file(environ={}) == Path(dirs.user_config_dir) / "modelshelf.toml"
    assert load(environ={}).store == dirs.user_data_dir


@settings(max_examples=300)
@given(parts=st.lists(st.sampled_from(["/", ".", "..", "a", "b c", "~", "é"]), min_size=1, max_size=9))
def test_a_place_is_written_as_pathlib_writes_it(parts):
    text = "".join(parts)
    loaded = load(environ={"MODELSHELF_STORE": text, "MODELSHELF_CONFIG": os.devnull})
    assert loaded.store == str(Path.cwd() / os.path.expanduser(text))


@pytest.mark.parametrize("make", [getattr(os, "mkfifo", os.mkdir), os.mkdir])
def test_a_settings_file_that_is_a_fifo_or_a_folder_is_refused_at_once(home, make):
    make(home / "odd.toml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(environ={"MODELSHELF_CONFIG": str(home / "odd.toml")})


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no such device here")
def test_a_settings_file_without_end_is_refused_at_once():
    with pytest.raises(ConfigurationError, match="is no settings file"):
        load(environ={"MODELSHELF_CONFIG": "/dev/zero"})


def test_a_settings_file_of_terabytes_is_refused_at_once(home):
    path = home / "large.toml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ConfigurationError, match="is no settings file"):
        load(environ={"MODELSHELF_CONFIG": str(path)})
