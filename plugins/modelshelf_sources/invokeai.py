"""InvokeAI's models: ``models/<uuid>/<file>``; in older versions ``models/<base>/<type>/…``.

Folders of its own work are not looked into: caches, conversions, previews, and installations under way, whose
``.invokeai_install.json`` has an access token and is never opened.
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
        """List the folder of models of each InvokeAI, as its ``invokeai.yaml`` says."""
        for root in super().roots():
            yield evolve(root, path=_models_of(root.path, self.machine.expand))

    def default_roots(self) -> Iterable[Root]:
        """List ``INVOKEAI_ROOT``, else ``~/invokeai``."""
        named = self.machine.variable("INVOKEAI_ROOT")
        if named is not None:
            yield Root(path=self.machine.expand(named), reason="$INVOKEAI_ROOT")
        reason = "default" if named is None else "default, not in use: $INVOKEAI_ROOT is set"
        yield Root(path=self.machine.below_home("invokeai"), reason=reason, optional=named is not None)

    def recognises(self, root: str) -> bool:
        """Whether InvokeAI's settings or its database are there."""
        return any(os.path.isfile(f"{root}/{name}") for name in (_SETTINGS, "databases/invokeai.db"))

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:
        """List every model, and installations that were not finished."""
        root = _models_of(place.root, self.machine.expand) if self.recognises(place.root) else place.root
        if not os.path.isdir(root):
            yield absent(root)
            return
        yield from _settings_problem(os.path.dirname(root))
        for name in names_in(root):
            if name.startswith(_INSTALLING) and os.path.isdir(f"{root}/{name}"):
                yield _unfinished_installation(f"{root}/{name}")
        for item in walk(root):
            if _is_skipped(relative(item.path or "", root)):
                continue
            if isinstance(item, Folder):
                yield from self._list_folder(item, root)
            else:
                yield item

    def _list_folder(self, folder: Folder, root: str) -> Iterator[Listing]:
        from modelshelf_sources.one_file_models import is_one_model, list_each
        from modelshelf_sources.tool_kinds import kind_facts

        below = relative(folder.path, root)
        top, *rest = below.split("/")
        if _UUID.fullmatch(top):
            facts: dict[str, Any] = {"key": top.lower()}
            one_file = not rest and not is_one_model(folder)
            above = ""
        else:
            facts = (
                dict(zip(("base", "model_type"), below.split("/")[:_LEVELS], strict=False)) if below else {}
            )
            facts |= kind_facts(facts["model_type"]) if "model_type" in facts else {}
            one_file = len(rest) < _LEVELS and not is_one_model(folder)
            above = f"{below}/" if below else ""
        if one_file:
            yield from list_each(folder, self.name, lambda name: above + name, facts)
        else:
            yield evolve(folder, model_id=model_id(below), facts=facts)


def _models_of(root: str, expand: Callable[[str], str]) -> str:
    """Return the folder of models: ``models_dir`` of the settings, or ``models``; relative to `root`."""
    named: Any = None
    with contextlib.suppress(UnusableDocumentError):  # `list` reports it
        named = _read_settings(root).get("models_dir")
    folder = expand(named) if isinstance(named, str) and named.strip() and "\0" not in named else "models"
    return os.path.normpath(os.path.join(root, folder))


def _read_settings(root: str) -> dict[str, Any]:
    path = f"{root}/{_SETTINGS}"
    return read_mapping(path) if os.path.lexists(path) else {}


def _settings_problem(root: str) -> Iterator[Problem]:
    try:
        _read_settings(root)
    except UnusableDocumentError as error:
        message = f"{error}; InvokeAI may keep models where only they tell"
        yield Problem(code="unreadable-settings", path=f"{root}/{_SETTINGS}", message=message)


def _is_skipped(below: str) -> bool:
    return any(part in _SKIPPED or part.startswith(_INSTALLING) for part in below.split("/"))


def _unfinished_installation(folder: str) -> UnfinishedDownload:
    """Make the listing of an installation that was not finished, with the room that its files take."""
    size = 0
    for above, _, names in os.walk(folder):
        for name in names:
            try:
                size += room_of(os.lstat(os.path.join(above, name)))
            except OSError:
                continue  # moved to its place in the meantime
    return UnfinishedDownload(path=folder, size=size, reason="an installation that was not finished")
