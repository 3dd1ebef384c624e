"""Which model a name means that somebody types: a whole name in any case, a path, ``repo:QUANT``, a part."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from modelshelf.errors import AmbiguousNameError, UnknownModelError
from modelshelf.model.artifact import Role
from modelshelf.model.names import stem_of
from modelshelf.records.read import RecordReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from modelshelf.records.summary import Summary
    from modelshelf.store import Snapshot

_MOST_CLOSE = 3  # names that a message proposes
_LEAST_LIKENESS = 0.5  # of 0 to 1: what is less alike is no help


def resolve_id(state: Snapshot, models: list[Summary], name: str, *, whole: bool = False) -> str:
    """The id of the one model that a name means.

    Tried in this order, and the first that fits decides: an id or alias; the same in any case; what people
    call it, in any case; a path of its file or of a folder with that model alone; an id and its quantization,
    ``repo:QUANT``; the last part of ids, ``name`` of ``org/name``; the end of its file's path, with the
    ending or without; any part of ids and aliases; any part of its file's name and of what people call it.

    Args:
        state: The store as it is.
        models: Each model's current version.
        name: What somebody typed.
        whole: Whether it has to be a whole name: an id, an alias, or what people call it.

    Raises:
        AmbiguousNameError: It fits several models alike.
        UnknownModelError: It fits none; the message proposes the nearest names.
    """
    records = RecordReader(state)
    if any(one.id == name for one in models):
        return name
    aliased = records.alias(name)
    if aliased is not None:
        return aliased
    wanted = name.casefold()
    names = _names(records, models)
    ways: list[Callable[[], Iterable[str]]] = [
        lambda: (model_id for one, model_id in names if one == wanted),
        lambda: (one.id for one in models if one.display_name.casefold() == wanted),
    ]
    if not whole:
        ways += [
            lambda: _at_path(records, name),
            lambda: _of_quantization(models, wanted),
            lambda: (model_id for one, model_id in names if one.rpartition("/")[2] == wanted),
            lambda: _at_end_of_path(records, models, wanted),
            lambda: (model_id for one, model_id in names if wanted and wanted in one),
            lambda: _with_part(records, models, wanted),
        ]
    for way in ways:
        found = sorted(set(way()))
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousNameError(name, found)
    raise UnknownModelError(name, close=_close(wanted, names))


def _names(records: RecordReader, models: list[Summary]) -> list[tuple[str, str]]:
    """Every id and alias in small letters, with the id that it means."""
    ids = {one.id for one in models}
    aliases = [(alias, model_id) for alias, model_id in records.aliases() if model_id in ids]
    return [*((one.casefold(), one) for one in sorted(ids)), *((one.casefold(), own) for one, own in aliases)]


def _at_path(records: RecordReader, name: str) -> list[str]:
    path = os.path.abspath(os.path.expanduser(name))
    entry = records.location(path)
    if entry is not None and entry.model_id is not None:
        return [entry.model_id]
    if path == os.sep or not os.path.lexists(path):
        return []
    below = [model_id for model_id, _ in records.models_below(path)]
    if below or os.path.isdir(path):
        return below
    beside = {model_id for model_id, _ in records.models_below(os.path.dirname(path))}
    owners = [one for one in beside if _has_weights_at(records, one, path)]  # a further shard
    return owners or (list(beside) if len(beside) == 1 else [])  # or a companion, of the folder's one model


def _has_weights_at(records: RecordReader, model_id: str, path: str) -> bool:
    model = records.current(model_id)
    return model is not None and any(
        one.role is Role.WEIGHTS and f"{place.folder}/{one.name}" == path
        for place in model.locations
        for one in place.files
    )


def _at_end_of_path(records: RecordReader, models: list[Summary], wanted: str) -> Iterator[str]:
    """The models with a file whose path ends in a name, as tools show ``folder/file.gguf`` or ``file``."""
    end = f"/{wanted.replace(os.sep, '/').strip('/')}"
    for path, model_id in _files(records, models):
        folder = path.rpartition("/")[0]
        if path.endswith(end) or f"{folder}/{stem_of(path)}".endswith(end):
            yield model_id


def _with_part(records: RecordReader, models: list[Summary], wanted: str) -> Iterator[str]:
    """The models with a text in their file's name, or in what people call them."""
    if not wanted:
        return
    yield from (one.id for one in models if wanted in one.display_name.casefold())
    yield from (own for path, own in _files(records, models) if wanted in path.rpartition("/")[2])


def _files(records: RecordReader, models: list[Summary]) -> Iterator[tuple[str, str]]:
    """The path of each file of a model's current version in small letters, with the model's id."""
    current = {(one.id, one.version) for one in models}
    for path, model_id, version in records.files():
        if (model_id, version) in current:
            yield path.casefold(), model_id


def _of_quantization(models: list[Summary], wanted: str) -> list[str]:
    repository, _, quantization = wanted.rpartition(":")
    return [
        one.id
        for one in models
        if repository
        and one.id.casefold().partition(":")[0] == repository
        and (one.quantization or "").casefold() == quantization
    ]


def _close(wanted: str, names: list[tuple[str, str]]) -> tuple[str, ...]:
    from difflib import SequenceMatcher  # only where nothing fits

    def likeness(name: str) -> float:
        ends = (name, name.rpartition("/")[2])
        return max(SequenceMatcher(None, wanted, one, autojunk=False).ratio() for one in ends)

    found: dict[str, float] = {}
    for name, model_id in names:
        found[model_id] = max(found.get(model_id, 0.0), likeness(name))
    nearest = sorted(found, key=lambda one: (-found[one], one))[:_MOST_CLOSE]
    return tuple(one for one in nearest if found[one] >= _LEAST_LIKENESS)
