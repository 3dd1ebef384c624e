"""InvokeAI's models: ``models/<uuid>/<file>``; in older versions ``models/<base>/<type>/…``.

Folders of its own work are not looked into: caches, conversions, previews, and installations under way, whose
``.invokeai_install.json`` holds an access token and is never opened.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from attrs import evolve

from modelshelf.model import Problem, UnfinishedDownload
from modelshelf.source import Folder, room_of
from modelshelf_sources.documents import UnusableDocumentError, read_mapping
from modelshelf_sources.listing import absent, model_id, names_in, relative
from modelshelf_sources.local_store import LocalStore, Root

if TYPE_CHECKING:
    from modelshelf.source import Listing, Place, Walk

_SKIPPED = frozenset({".download_cache", ".convert_cache", ".convert_tmp", "model_images"})
_INSTALLING = "tmpinstall_"
_SETTINGS = "invokeai.yaml"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_LEVELS = 2  # base and type


class InvokeAISource(LocalStore):
    """Models that InvokeAI manages."""

    name = "invokeai"

    def roots(self) -> Iterable[Root]:
        """The folder of models of each InvokeAI, as its ``invokeai.yaml`` says."""
        for root in super().roots():
            yield evolve(root, path=_models_of(root.path, self.machine.expand))

    def told_roots(self) -> Iterable[Root]:
        """``INVOKEAI_ROOT``, else ``~/invokeai``."""
        told = self.machine.variable("INVOKEAI_ROOT")
        if told is not None:
            yield Root(path=self.machine.expand(told), reason="$INVOKEAI_ROOT")
        reason = "default" if told is None else "default, not in use: $INVOKEAI_ROOT is set"
        yield Root(path=self.machine.below_home("invokeai"), reason=reason, optional=told is not None)

    def recognises(self, root: str) -> bool:
        """Whether InvokeAI's settings or its database lie there."""
        return any(os.path.isfile(f"{root}/{name}") for name in (_SETTINGS, "databases/invokeai.db"))

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:
        """Every model, and installations that were not finished."""
        root = _models_of(place.root, self.machine.expand) if self.recognises(place.root) else place.root
        if not os.path.isdir(root):
            yield absent(root)
            return
        yield from _settings_problem(os.path.dirname(root))
        for name in names_in(root):
            if name.startswith(_INSTALLING) and os.path.isdir(f"{root}/{name}"):
                yield _installing(f"{root}/{name}")
        for listed in walk(root):
            if _is_skipped(relative(listed.path or "", root)):
                continue
            if isinstance(listed, Folder):
                yield from self._list_folder(listed, root)
            else:
                yield listed

    def _list_folder(self, folder: Folder, root: str) -> Iterator[Listing]:
        from modelshelf_sources.one_file_models import holds_one_model, list_each

        below = relative(folder.path, root)
        top, *rest = below.split("/")
        if _UUID.fullmatch(top):
            facts: dict[str, Any] = {"key": top.lower()}
            alone = not rest and not holds_one_model(folder)
            above = ""
        else:
            facts = dict(zip(("base", "kind"), below.split("/")[:_LEVELS], strict=False)) if below else {}
            alone = len(rest) < _LEVELS and not holds_one_model(folder)
            above = f"{below}/" if below else ""
        if alone:
            yield from list_each(folder, self.name, lambda name: above + name, facts)
        else:
            yield evolve(folder, model_id=model_id(below), facts=facts)


def _models_of(root: str, expand: Callable[[str], str]) -> str:
    """The folder of models: ``models_dir`` of the settings, relative to InvokeAI's own; else ``models``."""
    told: Any = None
    with contextlib.suppress(UnusableDocumentError):  # `list` says so
        told = _settings_of(root).get("models_dir")
    folder = expand(told) if isinstance(told, str) and told.strip() and "\0" not in told else "models"
    return os.path.normpath(os.path.join(root, folder))


def _settings_of(root: str) -> dict[str, Any]:
    path = f"{root}/{_SETTINGS}"
    return read_mapping(path) if os.path.lexists(path) else {}


def _settings_problem(root: str) -> Iterator[Problem]:
    try:
        _settings_of(root)
    except UnusableDocumentError as error:
        message = f"{error}; InvokeAI may keep models where only they tell"
        yield Problem(code="unreadable-settings", path=f"{root}/{_SETTINGS}", message=message)


def _is_skipped(below: str) -> bool:
    return any(part in _SKIPPED or part.startswith(_INSTALLING) for part in below.split("/"))


def _installing(folder: str) -> UnfinishedDownload:
    """An installation that was not finished, with the room that its files take."""
    size = 0
    for above, _, names in os.walk(folder):
        for name in names:
            try:
                size += room_of(os.lstat(os.path.join(above, name)))
            except OSError:
                continue  # moved to its place in the meantime
    return UnfinishedDownload(path=folder, size=size, reason="an installation that was not finished")
