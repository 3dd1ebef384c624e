"""LM Studio's models on this machine: where they lie, and how its home is known."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from modelshelf.model import Problem
from modelshelf_sources.documents import UnusableDocumentError, read_object
from modelshelf_sources.local_store import LocalStore, Root, absent

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
        from modelshelf_sources.lmstudio_models import list_models

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
