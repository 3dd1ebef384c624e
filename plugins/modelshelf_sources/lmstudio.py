"""LM Studio's models: ``<publisher>/<model>/<file>.gguf``, or a folder of safetensors for MLX.

Virtual models are ``model.yaml`` files ``{model: publisher/name, base: [{key: publisher/model, …}]}``, below
``hub/models`` of LM Studio's home or among the models. They hold no weights: the model that a key names gets
their names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from modelshelf.model import Problem
from modelshelf.source import Folder
from modelshelf_sources.documents import UnusableDocumentError, read_mapping, read_object, text_of
from modelshelf_sources.listing import absent, model_id, names_in, relative
from modelshelf_sources.local_store import LocalStore, Root

if TYPE_CHECKING:
    from modelshelf.source import Listing, Place, Walk


_MOST_BYTES = 1024 * 1024


class LMStudioSource(LocalStore):
    """Models that LM Studio keeps, named as it names them: ``publisher/model``."""

    name = "lmstudio"

    def told_roots(self) -> Iterable[Root]:
        """``downloadsFolder`` of ``~/.lmstudio/settings.json``, the default, and that of older versions."""
        try:
            told = _downloads_folder(self._settings)
        except UnusableDocumentError:  # `list` says so
            told = None
        if told is not None:
            yield Root(path=self.machine.expand(told), reason=self._settings)
        reason = "default" if told is None else "default, not in use: settings.json names another"
        yield Root(
            path=self.machine.below_home(".lmstudio", "models"), reason=reason, optional=told is not None
        )
        yield Root(
            path=self.machine.below_home(".cache", "lm-studio", "models"),
            reason="default of older versions",
            optional=True,
        )

    @property
    def _settings(self) -> str:
        return self.machine.below_home(".lmstudio", "settings.json")

    def recognises(self, root: str) -> bool:
        """Whether it is LM Studio's home, which holds its settings and models."""
        return os.path.isfile(f"{root}/settings.json") and os.path.isdir(f"{root}/hub") and _has_models(root)

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:
        """Every model, with the virtual models that are based on it; virtual models without a base here."""
        root = f"{place.root}/models" if self.recognises(place.root) else place.root
        if not os.path.isdir(root):
            yield absent(root)
            return
        if root == self.machine.below_home(".lmstudio", "models"):
            try:
                _downloads_folder(self._settings)
            except UnusableDocumentError as error:
                message = f"{error}; LM Studio may keep models where only they tell"
                yield Problem(code="unreadable-settings", path=self._settings, message=message)
        yield from list_models(root, walk)


def _downloads_folder(settings: str) -> str | None:
    """The folder that LM Studio's settings name; None where they are absent or name none.

    Raises:
        UnusableDocumentError: They are there and cannot be used.
    """
    if not os.path.lexists(settings):
        return None
    told = read_object(settings, _MOST_BYTES).get("downloadsFolder")
    return told if isinstance(told, str) and told.strip() and "\0" not in told else None


def _has_models(home: str) -> bool:
    return os.path.isdir(f"{home}/models")


_VIRTUAL = "model.yaml"

_LEVELS = 2  # publisher and model

_MOST_BYTES = 1024 * 1024


@frozen(kw_only=True)
class _VirtualModel:
    """A name for one of several models.

    Attributes:
        name: ``publisher/name``.
        bases: Lower-case ``publisher/model`` of every model that it may be loaded from.
        path: Its file.
    """

    name: str
    bases: frozenset[str]
    path: str

    @property
    def problem(self) -> Problem:
        message = f"{self.name}: none of the models that it is based on is on this machine"
        return Problem(code="no-weights-here", path=self.path, message=message)


def list_models(root: str, walk: Walk) -> Iterator[Listing]:
    """Every model below a folder, with the virtual models that are based on it; those without a base here."""
    virtual: list[_VirtualModel] = []
    for file in _virtual_files(root):
        try:
            virtual += _read_virtual(file)
        except UnusableDocumentError as error:
            yield Problem(code="unreadable-settings", path=file, message=f"{error}; it names no model")
    present: set[str] = set()
    for listed in walk(root):
        if not isinstance(listed, Folder):
            yield listed
            continue
        name = relative(listed.path, root)
        if listed.files:
            present.add(_base_key(name))
        yield _named(listed, name, virtual) if name else listed
    yield from (one.problem for one in virtual if not one.bases & present)


def _named(folder: Folder, name: str, virtual: Iterable[_VirtualModel]) -> Folder:
    facts: dict[str, Any] = {"publisher": text_of(name.partition("/")[0], 256)} if "/" in name else {}
    names = [one.name for one in virtual if _base_key(name) in one.bases]
    if names:
        facts["virtual_models"] = names
    return evolve(folder, model_id=model_id(name), facts={key: told for key, told in facts.items() if told})


def _base_key(name: str) -> str:
    return "/".join(name.split("/")[:_LEVELS]).lower()


def _virtual_files(root: str) -> Iterator[str]:
    """The ``model.yaml`` two folders below the models, and below ``hub/models`` beside them."""
    for base in (root, os.path.join(os.path.dirname(root), "hub", "models")):
        for publisher in names_in(base):
            for model in names_in(f"{base}/{publisher}"):
                file = f"{base}/{publisher}/{model}/{_VIRTUAL}"
                if os.path.lexists(file):
                    yield file


def _read_virtual(file: str) -> Iterator[_VirtualModel]:
    content = read_mapping(file, _MOST_BYTES)
    name = text_of(content.get("model"), 256)
    base = content.get("base")
    if name is None:
        return
    told = base if isinstance(base, list) else [{"key": base}] if isinstance(base, str) else []
    bases = frozenset(key for one in told if isinstance(one, dict) for key in _keys(one))
    yield _VirtualModel(name=name, bases=bases, path=file)


def _keys(base: Mapping[str, Any]) -> Iterator[str]:
    """The names that a base has: its key, and the repositories that it can be had from."""
    key = base.get("key")
    if isinstance(key, str):
        yield key.lower()
    sources = base.get("sources")
    for one in sources if isinstance(sources, list) else ():
        if isinstance(one, dict) and isinstance(one.get("user"), str) and isinstance(one.get("repo"), str):
            yield f"{one['user']}/{one['repo']}".lower()
