"""A new plugin's distribution, written out of templates."""

from __future__ import annotations

import re
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from modelshelf.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("format", "source", "store", "serializer")

_PREFIX = "modelshelf-"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 40  # characters
_MAGIC = 8  # bytes


def write_plugin(name: str, kind: str, parent: Path) -> list[Path]:
    """Write the distribution ``modelshelf-NAME`` into a new folder of that name below `parent`.

    Args:
        name: The plugin's name, with or without ``modelshelf-`` before it.
        kind: What it offers, one of `KINDS`.
        parent: A folder.

    Returns:
        The files, the module of the hooks first.

    Raises:
        ConfigurationError: The name cannot be a plugin's or is another plugin's, or the folder is there.
        OSError: It cannot be written.
    """
    name = name.removeprefix(_PREFIX)
    _check_name(name)
    distribution, module = _PREFIX + name, f"modelshelf_{name.replace('-', '_')}"
    folder = parent / distribution
    if folder.exists() or folder.is_symlink():
        raise ConfigurationError(
            f"{folder}: is there already; choose another name, or another folder with --into"
        )
    texts = {
        f"src/{module}/__init__.py": kind,
        f"src/{module}/py.typed": None,
        f"tests/test_{module}.py": f"test_{kind}",
        "pyproject.toml": "pyproject",
        "README.md": "readme",
    }
    values = {
        "name": name,
        "kind": kind,
        "distribution": distribution,
        "module": module,
        "class_name": "".join(word.capitalize() for word in name.split("-")),
        "suffix": name.replace("-", ""),
        "magic": name.upper().ljust(_MAGIC, ".")[:_MAGIC],
    }
    folder.mkdir(parents=True)
    written = []
    for path, template in texts.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("" if template is None else _filled(template, values), encoding="utf-8")
        written.append(file)
    return written


def _filled(template: str, values: dict[str, str]) -> str:
    text = (files("modelshelf.cli") / "templates" / f"{template}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(values)


def _check_name(name: str) -> None:
    from modelshelf.plugin.find import find

    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise ConfigurationError(
            f"{name!r} is no name for a plugin: lower-case words of letters and digits, joined by hyphens, "
            f"{_LONGEST} characters or fewer, as in word2vec"
        )
    for one in find():
        if name == one.name:
            raise ConfigurationError(f"the name {name!r} is taken by {one.display}; choose another")
