"""Plugins that are passed in beside the installed ones: modules, objects and one-file plugins.

Another process, a scan's worker above all, can load the same ones if each is a module that its name or its
file leads to. A `PluginSelection` says which, in names and paths that can be sent anywhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from importlib.machinery import PathFinder
from threading import RLock
from types import ModuleType

from attrs import frozen

from modelshelf.plugin.find import FoundPlugin, files_of_environment

_MAIN = "__main__"
_importing = RLock()  # no thread sees a module that another is still importing
_LARGEST = 1 << 20  # bytes of a file that its version depends on


@frozen(kw_only=True)
class PluginSelection:
    """Which plugins a process loads beside the installed ones, and which it does not load.

    Attributes:
        blocked: Names of plugins that are not loaded: an entry point's, a distribution's, or as displayed.
        modules: Names of modules to import, each a plugin.
        files: Absolute paths of one-file plugins.
    """

    blocked: frozenset[str] = frozenset()
    modules: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @classmethod
    def of(cls, plugins: Iterable[object], blocked: frozenset[str] = frozenset()) -> PluginSelection | None:
        """What another process needs to load the same plugins, or None where one cannot be loaded elsewhere.

        Args:
            plugins: Modules, objects, or paths of one-file plugins.
            blocked: Names of plugins that are not loaded.
        """
        modules: list[str] = []
        files: list[str] = []
        for plugin in plugins:
            if (name := _importable_name(plugin)) is not None:
                modules.append(name)
            elif (path := _path_of(plugin)) is not None:
                files.append(path)
            else:
                return None
        return cls(blocked=blocked, modules=tuple(modules), files=tuple(files))


def with_environment(plugins: Iterable[object]) -> list[object]:
    """The plugins and those of `MODELSHELF_PLUGINS`; paths are absolute, and each is there once."""
    paths: set[str] = set()
    unique: list[object] = []
    for plugin in [*plugins, *files_of_environment()]:
        if isinstance(plugin, str | os.PathLike):
            path = os.path.abspath(os.path.expanduser(plugin))
            if path not in paths:
                paths.add(path)
                unique.append(path)
        else:
            unique.append(plugin)
    return unique


def given(plugins: Iterable[object]) -> list[FoundPlugin]:
    """Plugins that are passed in: modules, objects whose methods are hooks, or paths of one-file plugins."""
    return [_found(plugin, number) for number, plugin in enumerate(plugins)]


def selected(selection: PluginSelection) -> list[FoundPlugin]:
    """The plugins of a selection, to be imported in this process."""
    modules = [_given(name, partial(import_module, name)) for name in selection.modules]
    return [*modules, *(_in_file(path, partial(import_file, path)) for path in selection.files)]


def import_file(path: str) -> ModuleType:
    """Import a one-file plugin under a module name of its own, once in a process; threads wait in turn.

    The name is a digest of the path, so that two files of one name are two modules, and a file is the same
    module in every process.

    Raises:
        ImportError: It is no Python source file.
        Exception: What its code raises.
    """
    from importlib.util import module_from_spec, spec_from_file_location

    name = f"modelshelf_file_{_digest(os.fsencode(path))}"
    with _importing:
        if name in sys.modules:
            return sys.modules[name]
        spec = spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path}: is no Python file")
        module = module_from_spec(spec)
        sys.modules[name] = module  # before it runs, as its classes look for their module there
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module


def _found(plugin: object, number: int) -> FoundPlugin:
    path = _path_of(plugin) if _importable_name(plugin) is None else None
    if path is not None:
        is_path = isinstance(plugin, str | os.PathLike)
        return _in_file(path, partial(import_file, path) if is_path else partial(_itself, plugin))
    name = getattr(plugin, "__name__", None) or f"{type(plugin).__name__}-{number}"
    return _given(name, partial(_itself, plugin))


def _given(name: str, load: Callable[[], object], version: str | None = None) -> FoundPlugin:
    return FoundPlugin(name=name, display=f"given[{name}]", load=load, version=version)


def _in_file(path: str, load: Callable[[], object]) -> FoundPlugin:
    """A one-file plugin. Its version is a digest of its text: a file that changed is another release."""
    stem = os.path.splitext(os.path.basename(path))[0]
    try:
        with open(path, "rb") as file:
            version = _digest(file.read(_LARGEST))
    except OSError:  # importing it fails, with the reason
        version = None
    return _given(stem, load, version)


def _digest(content: bytes) -> str:
    from hashlib import blake2b  # few runs have such plugins

    return blake2b(content, digest_size=4).hexdigest()


def _itself(plugin: object) -> object:
    return plugin


def _path_of(plugin: object) -> str | None:
    """The file that the plugin is, or that is all of its module; None where there is no such file."""
    if isinstance(plugin, str | os.PathLike):
        return os.path.abspath(plugin)
    if not isinstance(plugin, ModuleType) or plugin.__name__ == _MAIN or "." in plugin.__name__:
        return None
    path: str | None = getattr(plugin, "__file__", None)
    if path is None or hasattr(plugin, "__path__") or not path.endswith(".py") or not os.path.isfile(path):
        return None
    return os.path.abspath(path)


def _importable_name(plugin: object) -> str | None:
    """The module's name, where a fresh interpreter with the same import path finds this very module by it."""
    if not isinstance(plugin, ModuleType) or plugin.__name__ == _MAIN:
        return None
    name, spec = plugin.__name__, plugin.__spec__
    if spec is None or spec.origin is None or sys.modules.get(name) is not plugin:
        return None
    package = name.rpartition(".")[0]
    path = getattr(sys.modules.get(package), "__path__", None) if package else None
    if package and path is None:
        return None
    found = PathFinder.find_spec(name, path)
    return name if found is not None and found.origin == spec.origin else None
