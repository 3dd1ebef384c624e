"""LM Studio's models: ``<publisher>/<model>/<file>.gguf``, or a folder of safetensors for MLX.

Virtual models are ``model.yaml`` files ``{model: publisher/name, base: [{key: publisher/model, …}]}``, below
``hub/models`` of LM Studio's home or among the models. They have no weights: the model that a key names gets
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

_VIRTUAL = "model.yaml"
_LEVELS = 2  # publisher and model
_MAX_BYTES = 1024 * 1024


@frozen(kw_only=True, eq=False, repr=False)
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


class LMStudioSource(LocalStore):
    """Models that LM Studio keeps, named as it names them: ``publisher/model``."""

    name = "lmstudio"

    def default_roots(self) -> Iterable[Root]:
        """List ``downloadsFolder`` of ``~/.lmstudio/settings.json``, the default, and the older one."""
        try:
            named = _downloads_folder(self._settings)
        except UnusableDocumentError:  # `list` reports it
            named = None
        if named is not None:
            yield Root(path=self.machine.expand(named), reason=self._settings)
        reason = "default" if named is None else "default, not in use: settings.json names another"
        yield Root(
            path=self.machine.below_home(".lmstudio", "models"), reason=reason, optional=named is not None
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
        """Whether it is LM Studio's home, with its settings and models."""
        is_home = os.path.isfile(f"{root}/settings.json") and os.path.isdir(f"{root}/hub")
        return is_home and os.path.isdir(f"{root}/models")

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:
        """List every model, with the virtual models based on it; virtual models without a base here."""
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
        yield from _list_models(root, walk)


def _downloads_folder(settings: str) -> str | None:
    """Return the folder that LM Studio's settings name; None where they are absent or name none.

    Raises:
        UnusableDocumentError: They are there and cannot be used.
    """
    if not os.path.lexists(settings):
        return None
    folder = read_object(settings, _MAX_BYTES).get("downloadsFolder")
    return folder if isinstance(folder, str) and folder.strip() and "\0" not in folder else None


def _list_models(root: str, walk: Walk) -> Iterator[Listing]:
    virtual: list[_VirtualModel] = []
    for file in _virtual_files(root):
        try:
            virtual += _read_virtual(file)
        except UnusableDocumentError as error:
            yield Problem(code="unreadable-settings", path=file, message=f"{error}; it names no model")
    present: set[str] = set()
    for item in walk(root, link_levels=_LEVELS):  # as LM Studio itself does
        if not isinstance(item, Folder):
            yield item
            continue
        name = relative(item.path, root)
        if item.files:
            present.add(_base_key(name))
        yield _name_model(item, name, virtual) if name else item
    for model in virtual:
        if not model.bases & present:
            message = f"{model.name}: none of the models that it is based on is on this machine"
            yield Problem(code="no-weights-here", path=model.path, message=message)


def _name_model(folder: Folder, name: str, virtual: Iterable[_VirtualModel]) -> Folder:
    publisher = text_of(name.partition("/")[0], 256) if "/" in name else None
    facts: dict[str, Any] = {} if publisher is None else {"publisher": publisher}
    names = [model.name for model in virtual if _base_key(name) in model.bases]
    if names:
        facts["virtual_models"] = names
    return evolve(folder, model_id=model_id(name), facts=facts)


def _base_key(name: str) -> str:
    return "/".join(name.split("/")[:_LEVELS]).lower()


def _virtual_files(root: str) -> Iterator[str]:
    """Find each ``model.yaml`` two folders below the models, and below ``hub/models`` beside them."""
    for base in (root, os.path.join(os.path.dirname(root), "hub", "models")):
        for publisher in names_in(base):
            for model in names_in(f"{base}/{publisher}"):
                file = f"{base}/{publisher}/{model}/{_VIRTUAL}"
                if os.path.lexists(file):
                    yield file


def _read_virtual(file: str) -> Iterator[_VirtualModel]:
    content = read_mapping(file, _MAX_BYTES)
    name = text_of(content.get("model"), 256)
    base = content.get("base")
    if name is None:
        return
    entries = base if isinstance(base, list) else [{"key": base}] if isinstance(base, str) else []
    keys = frozenset(key for entry in entries if isinstance(entry, dict) for key in _base_keys(entry))
    yield _VirtualModel(name=name, bases=keys, path=file)


def _base_keys(base: Mapping[str, Any]) -> Iterator[str]:
    """List the names of a base: its key, and the repositories that it can be downloaded from."""
    key = base.get("key")
    if isinstance(key, str):
        yield key.lower()
    sources = base.get("sources")
    for source in sources if isinstance(sources, list) else ():
        if not isinstance(source, dict):
            continue
        user, repository = source.get("user"), source.get("repo")
        if isinstance(user, str) and isinstance(repository, str):
            yield f"{user}/{repository}".lower()
