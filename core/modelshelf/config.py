"""Settings: arguments, then the environment, then a TOML file, then what the working directory suggests.

The file is ``modelshelf.toml`` in the user's configuration folder, or the one that ``--config`` or
``MODELSHELF_CONFIG`` names::

    store = "~/models/.modelshelf"          # MODELSHELF_STORE, --store
    paths = ["~/models", "/srv/models"]     # MODELSHELF_PATHS, separated as PATH is
    disable_plugins = ["mylab"]             # MODELSHELF_DISABLE_PLUGINS, separated by commas
    workers = 4                             # MODELSHELF_WORKERS
    follow_links = true                     # of plain folders, links to folders elsewhere

    [[sources]]                             # settings of one source, which reads the rest of the table
    name = "ollama"
    root = "/srv/ollama"
    defaults = false                        # and do not look where Ollama keeps its models by default

Relative paths in the file are relative to its folder. The values are checked by hand: importing cattrs takes
as long as the rest of a short command.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from modelshelf.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

FILE_NAME = "modelshelf.toml"
STORE_FOLDER = "vendor/layerData"
MODELS_FOLDER = "vendor/layerModels"
_MOST_CHARACTERS = 1 << 20
_PROGRAM = "modelshelf"
_USER_FOLDERS = {
    "config": ("XDG_CONFIG_HOME", "~/.config"),
    "data": ("XDG_DATA_HOME", "~/.local/share"),
}


class Settings(NamedTuple):
    """What a run works with. A named tuple, since a run that only lists has no other use for attrs.

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
    file = _settings_path(config, environ)
    in_file = _read(file, must_exist=bool(config or environ.get("MODELSHELF_CONFIG")))
    in_environment = _from_environment(environ)
    values = {**in_file, **in_environment}
    none: frozenset[str] = frozenset()
    return Settings(
        store=store or values.get("store") or _default_store(),
        paths=values.get("paths") or _default_paths(),
        sources=_with_links(values.get("sources", ()), follow=values.get("follow_links", False)),
        disable_plugins=in_file.get("disable_plugins", none) | in_environment.get("disable_plugins", none),
        workers=workers if workers is not None else values.get("workers"),
        file=file if in_file else None,
    )


def settings_file(named: str | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The configuration file that would be read, whether it is there or not.

    Args:
        named: The one that the command line names.
        environ: The environment.
    """
    from pathlib import Path

    return Path(_settings_path(named, environ))


def _settings_path(named: str | None, environ: Mapping[str, str]) -> str:
    chosen = named or environ.get("MODELSHELF_CONFIG")
    return _joined("", os.path.expanduser(chosen)) if chosen else _joined(_user_folder("config"), FILE_NAME)


def _user_folder(kind: str) -> str:
    """Where the platform keeps a user's ``config`` or ``data`` of this program.

    `platformdirs` says so. In the plain case on Linux its answer is given here: it takes longer to load than
    all of the settings to read (https://specifications.freedesktop.org/basedir-spec/latest/).
    """
    variable, below_home = _USER_FOLDERS[kind]
    base, home = os.environ.get(variable), os.environ.get("HOME", "")
    if sys.platform == "linux" and "ANDROID_DATA" not in os.environ and os.path.isabs(base or home):
        return os.path.join(base or os.path.expanduser(below_home), _PROGRAM)
    import platformdirs

    dirs = platformdirs.PlatformDirs(_PROGRAM, appauthor=False)
    return dirs.user_config_dir if kind == "config" else dirs.user_data_dir


def _default_store() -> str:
    return STORE_FOLDER if os.path.isdir(STORE_FOLDER) else _user_folder("data")


def _default_paths() -> tuple[str, ...]:
    return (os.path.join(os.getcwd(), MODELS_FOLDER),) if os.path.isdir(MODELS_FOLDER) else ()


def _read(file: str, *, must_exist: bool) -> dict[str, Any]:
    """The settings of a file, checked; none where it is absent and nobody named it."""
    try:
        with open(file, encoding="utf-8", opener=_opened_at_once) as opened:
            text = opened.read(_MOST_CHARACTERS + 1)
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
    if len(text) > _MOST_CHARACTERS:
        raise ConfigurationError(f"{file}: is no settings file: it has over {_MOST_CHARACTERS} characters")
    import tomllib  # costs as much as a small run, and most have no file

    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{file}: is not valid TOML{_place_in_text(error)}") from None
    folder = os.path.join(os.getcwd(), os.path.dirname(file))
    return {key: _checked(key, value, f"{file}: {key}", folder) for key, value in table.items()}


def _place_in_text(error: Exception) -> str:
    """Where the parser gave up. What it found there is not shown: the file may be anything, a key even."""
    import re  # as above

    place = re.search(r"\(at (line \d+, column \d+|end of document)\)$", str(error))
    return f", at {place[1]}" if place else ""


def _opened_at_once(file: str, flags: int) -> int:
    """A descriptor of a file that can be read at once; a FIFO would be waited for. ``/dev/null`` is empty."""
    descriptor = os.open(file, flags | getattr(os, "O_NONBLOCK", 0), 0o600)
    if not (stat.S_ISREG(mode := os.fstat(descriptor).st_mode) or stat.S_ISCHR(mode)):
        os.close(descriptor)
        raise ConfigurationError(f"{file}: the configuration file cannot be read: it is not a regular file")
    return descriptor


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, split in _VARIABLES.items():
        name = f"MODELSHELF_{key.upper()}"
        if text := environ.get(name, "").strip():
            values[key] = _checked(key, split(text, name), name, os.getcwd())
    return values


def _checked(key: str, value: Any, where: str, folder: str) -> Any:
    check = _KEYS.get(key)
    if check is None:
        if not (key.isascii() and key.isidentifier() and key.islower()):  # of a file that is no settings file
            where = f"{where[: -len(key)]}a key"
        raise ConfigurationError(f"{where}: there is no such setting; the settings are {', '.join(_KEYS)}")
    return check(value, where, folder)


def _kind(value: Any) -> str:
    """What a value is, for a message that does not show it where it may be a secret."""
    kinds: dict[type, str] = {
        str: "a text" if str(value).strip() else "an empty one",
        list: "a list",
        dict: "a table",
    }
    return kinds.get(type(value)) or repr(value)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{where}: must be text that is not empty, not {_kind(value)}")
    return value


def _texts(value: Any, where: str) -> list[str]:
    if not isinstance(value, list):
        raise ConfigurationError(f"{where}: must be a list of texts, not {_kind(value)}")
    return [_text(one, f"{where}[{number}]") for number, one in enumerate(value)]


def _place(value: Any, where: str, folder: str) -> str:
    text = _text(value, where)
    return text if "://" in text else _joined(folder, os.path.expanduser(text))


def _joined(folder: str, path: str) -> str:
    """The path, from the folder on, as `pathlib` writes it: without dots and doubled slashes, ``..`` kept."""
    joined = os.path.join(folder, path)
    if joined == os.path.normpath(joined):
        return joined
    from pathlib import Path

    return str(Path(joined))


def _places(value: Any, where: str, folder: str) -> tuple[str, ...]:
    return tuple(_place(one, where, folder) for one in _texts(value, where))


def _names(value: Any, where: str, _folder: str) -> frozenset[str]:
    return frozenset(_texts(value, where))


def _count(value: Any, where: str, _folder: str) -> int:
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"{where}: must be an integer of 1 or more, not {_kind(value)}")
    return value


def _tables(value: Any, where: str, folder: str) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ConfigurationError(f"{where}: must be tables, each begun with [[sources]]")
    for number, one in enumerate(value):
        _text(one.get("name"), f"{where}[{number}].name")
    return tuple(_table(one, f"{where}[{number}]", folder) for number, one in enumerate(value))


def _table(table: dict[str, Any], where: str, folder: str) -> dict[str, Any]:
    """One source's settings; its ``root`` and ``paths`` are places like every other in the file."""
    found = dict(table)
    if "root" in found:
        found["root"] = _place(found["root"], f"{where}.root", folder)
    if "paths" in found:
        found["paths"] = list(_places(found["paths"], f"{where}.paths", folder))
    return found


def _flag(value: Any, where: str, _folder: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{where}: must be true or false, not {value!r}")
    return value


def _with_links(tables: tuple[dict[str, Any], ...], *, follow: bool) -> tuple[dict[str, Any], ...]:
    """The tables, with the setting of all plain folders where a table of some does not say otherwise."""
    if not follow:
        return tables
    kept = [{"follow_links": True, **one} if one["name"] == "local" else one for one in tables]
    return ({"name": "local", "defaults": False, "follow_links": True}, *kept)


_KEYS: dict[str, Callable[[Any, str, str], Any]] = {
    "store": _place,
    "paths": _places,
    "sources": _tables,
    "disable_plugins": _names,
    "workers": _count,
    "follow_links": _flag,
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
