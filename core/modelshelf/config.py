"""Settings: arguments, then the environment, then a TOML file, then what the working directory suggests.

The file is ``modelshelf.toml`` in the user's configuration folder, or the one that ``--config`` or
``MODELSHELF_CONFIG`` names::

    store = "~/models/.modelshelf"          # MODELSHELF_STORE, --store
    paths = ["~/models", "/srv/models"]     # MODELSHELF_PATHS, separated as PATH is
    disable_plugins = ["mylab"]             # MODELSHELF_DISABLE_PLUGINS, separated by commas
    workers = 4                             # MODELSHELF_WORKERS

    [[sources]]                             # settings of one source, which reads the rest of the table
    name = "ollama"
    root = "/srv/ollama"
    defaults = false                        # and do not look where Ollama keeps its models by default

Relative paths in the file are relative to its folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from modelshelf.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FILE_NAME = "modelshelf.toml"
STORE_FOLDER = "vendor/layerData"
MODELS_FOLDER = "vendor/layerModels"


@frozen(kw_only=True)
class Settings:
    """What a run works with.

    Attributes:
        store: Folder or URL of the store.
        paths: Folders and files to scan where none is named, each absolute or a URL.
        sources: Settings of sources, each a table with the source's ``name``.
        disable_plugins: Names of plugins that are not loaded.
        workers: Number of workers of a scan, or None to let the scan decide.
        file: The configuration file that was read, or None.
    """

    store: str
    paths: tuple[str, ...] = ()
    sources: tuple[dict[str, Any], ...] = ()
    disable_plugins: frozenset[str] = frozenset()
    workers: int | None = None
    file: str | None = None


def load(
    *,
    store: str | None = None,
    config: str | None = None,
    workers: int | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Put the settings together.

    Args:
        store: What the command line says of the store.
        config: The configuration file that the command line names.
        workers: What the command line says of workers.
        environ: The environment; the process's own by default.

    Raises:
        ConfigurationError: A setting cannot be used; the message names its file or variable and its key.
    """
    environ = os.environ if environ is None else environ
    file = settings_file(config, environ)
    in_file = _read(file, must_exist=bool(config or environ.get("MODELSHELF_CONFIG")))
    in_environment = _from_environment(environ)
    told = {**in_file, **in_environment}
    none: frozenset[str] = frozenset()
    return Settings(
        store=store or told.get("store") or _default_store(),
        paths=told.get("paths") or _default_paths(),
        sources=told.get("sources", ()),
        disable_plugins=in_file.get("disable_plugins", none) | in_environment.get("disable_plugins", none),
        workers=workers if workers is not None else told.get("workers"),
        file=str(file) if in_file else None,
    )


def settings_file(named: str | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The configuration file that would be read, whether it is there or not.

    Args:
        named: The one that the command line names.
        environ: The environment.
    """
    told = named or environ.get("MODELSHELF_CONFIG")
    if told:
        return Path(os.path.expanduser(told))
    import platformdirs

    return Path(platformdirs.user_config_dir("modelshelf", appauthor=False)) / FILE_NAME


def _default_store() -> str:
    if Path(STORE_FOLDER).is_dir():
        return STORE_FOLDER
    import platformdirs

    return platformdirs.user_data_dir("modelshelf", appauthor=False)


def _default_paths() -> tuple[str, ...]:
    return (str(Path(MODELS_FOLDER).absolute()),) if Path(MODELS_FOLDER).is_dir() else ()


def _read(file: Path, *, must_exist: bool) -> dict[str, Any]:
    """The settings of a file, checked; none where it is absent and nobody named it."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        if must_exist:
            raise ConfigurationError(f"{file}: the configuration file is not there") from None
        return {}
    except OSError as error:
        raise ConfigurationError(
            f"{file}: the configuration file cannot be read: {error.strerror}"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{file}: is not valid TOML: it is not UTF-8") from error
    import tomllib  # costs as much as a small run, and most have no file

    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{file}: is not valid TOML: {error}") from error
    return {
        key: _checked(key, value, f"{file}: {key}", file.absolute().parent) for key, value in table.items()
    }


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, split in _VARIABLES.items():
        name = f"MODELSHELF_{key.upper()}"
        if text := environ.get(name, "").strip():
            values[key] = _checked(key, split(text, name), name, Path.cwd())
    return values


def _checked(key: str, value: Any, where: str, folder: Path) -> Any:
    check = _KEYS.get(key)
    if check is None:
        raise ConfigurationError(f"{where}: there is no such setting; the settings are {', '.join(_KEYS)}")
    return check(value, where, folder)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{where}: must be text that is not empty, not {value!r}")
    return value


def _texts(value: Any, where: str) -> list[str]:
    if not isinstance(value, list):
        raise ConfigurationError(f"{where}: must be a list of texts, not {value!r}")
    return [_text(one, f"{where}[{number}]") for number, one in enumerate(value)]


def _place(value: Any, where: str, folder: Path) -> str:
    text = _text(value, where)
    # os.path's, because Path's own raises where the user after ~ is unknown
    return text if "://" in text else str(folder / os.path.expanduser(text))


def _places(value: Any, where: str, folder: Path) -> tuple[str, ...]:
    return tuple(_place(one, where, folder) for one in _texts(value, where))


def _names(value: Any, where: str, _folder: Path) -> frozenset[str]:
    return frozenset(_texts(value, where))


def _count(value: Any, where: str, _folder: Path) -> int:
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"{where}: must be an integer of 1 or more, not {value!r}")
    return value


def _tables(value: Any, where: str, folder: Path) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ConfigurationError(f"{where}: must be tables, each begun with [[sources]]")
    for number, one in enumerate(value):
        _text(one.get("name"), f"{where}[{number}].name")
    return tuple(_table(one, f"{where}[{number}]", folder) for number, one in enumerate(value))


def _table(table: dict[str, Any], where: str, folder: Path) -> dict[str, Any]:
    """One source's settings; its ``root`` and ``paths`` are places like every other in the file."""
    found = dict(table)
    if "root" in found:
        found["root"] = _place(found["root"], f"{where}.root", folder)
    if "paths" in found:
        found["paths"] = list(_places(found["paths"], f"{where}.paths", folder))
    return found


_KEYS: dict[str, Callable[[Any, str, Path], Any]] = {
    "store": _place,
    "paths": _places,
    "sources": _tables,
    "disable_plugins": _names,
    "workers": _count,
}


def _as_it_is(text: str, _name: str) -> str:
    return text


def _parts(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]


def _integer(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"{name}: must be an integer of 1 or more, not {text!r}") from None


_VARIABLES: dict[str, Callable[[str, str], Any]] = {
    "store": _as_it_is,
    "paths": lambda text, _name: _parts(text, os.pathsep),
    "disable_plugins": lambda text, _name: _parts(text, ","),
    "workers": _integer,
}
