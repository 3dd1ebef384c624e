"""Files of one folder become artifacts: shards together, companions beside them, ids proposed.

The JSON and reading modules are loaded with the first index of shards: most folders have none.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs
from attrs import field, frozen

from modelshelf.errors import FormatError, ReadError
from modelshelf.model import Artifact, ArtifactFile, Problem, Role, UnfinishedDownload
from modelshelf.model.converters import as_tuple
from modelshelf.model.names import is_generic, name_of_folder
from modelshelf.scan.beside import GENERIC_STEMS, NAME, NUMBERED, QUANTIZATION, Beside, stem_of
from modelshelf.scan.file_names import FormatTable, is_companion, suffix_of, unfinished_reason

if TYPE_CHECKING:
    from modelshelf.source import Folder

_MOST_SHARDS = 100_000
_LARGEST_INDEX = 64 * 1024 * 1024  # bytes; the largest in use are about 10 MB

_ShardSet = tuple[str, list[ArtifactFile], ArtifactFile | None, tuple[str, ...]]
"""Name of the file to load, the shards present, their index, the names of those that are missing."""

IndexReader = Callable[[str, ArtifactFile], "Sequence[str] | Problem"]
"""Gives the shard names that an index in a folder declares, or why it cannot."""


@frozen(kw_only=True, eq=False, repr=False)
class Grouped:
    """What one folder's files make.

    Attributes:
        artifacts: Artifacts, in the order of their primary names, each with a proposed id.
        unfinished: Unfinished downloads.
        problems: Files that could not be grouped, and why.
    """

    artifacts: tuple[Artifact, ...] = field(default=(), converter=as_tuple)
    unfinished: tuple[UnfinishedDownload, ...] = field(default=(), converter=as_tuple)
    problems: tuple[Problem, ...] = field(default=(), converter=as_tuple)


def group(folder: Folder, formats: FormatTable, read_index: IndexReader, source: str = "local") -> Grouped:
    """Group the files of one folder."""
    unfinished, problems = [], []
    companions: list[ArtifactFile] = []
    weights: dict[str, ArtifactFile] = {}
    indexes: list[ArtifactFile] = []
    for one in folder.files:
        reason = unfinished_reason(one.name)
        if reason:
            path = _join(folder.path, one.name)
            unfinished.append(UnfinishedDownload(path=path, size=one.size, reason=reason))
        elif is_companion(one.name):
            companions.append(attrs.evolve(one, role=Role.COMPANION))
        elif formats.is_index(one.name):
            indexes.append(attrs.evolve(one, role=Role.INDEX))
        else:
            weights[one.name] = one
    sets: list[_ShardSet] = []
    for index in indexes:
        declared = read_index(folder.path, index)
        if isinstance(declared, Problem):
            problems.append(declared)
            continue
        present = [weights.pop(name) for name in declared if name in weights]
        if present:
            names = {one.name for one in present}
            sets.append((index.name, present, index, tuple(name for name in declared if name not in names)))
        else:
            path = _join(folder.path, index.name)
            message = f"{path}: none of the {len(declared)} shards that it names is in the folder"
            problems.append(Problem(code="index-without-shards", path=path, message=message))
    beside = None
    if len(weights) + len(sets) > 1:  # else nothing lies beside a model but what is a companion by its name
        beside = Beside.of(weights, [shards[0].name for _, shards, _, _ in sets], formats.claims)
        weights = {name: one for name, one in weights.items() if name not in beside.taken}
    companions.sort(key=NAME)
    sets += _numbered_sets(weights)
    sets += [(name, [one], None, ()) for name, one in weights.items()]
    sets.sort(key=lambda one: one[0])
    ids = _ids(folder, [shards[0].name for _, shards, _, _ in sets], formats)
    artifacts = [
        Artifact(
            folder=folder.path,
            primary=primary,
            files=(
                *shards,
                *((index,) if index else ()),
                *(beside.with_companions(shards[0].name, companions) if beside else companions),
            ),
            source=source,
            model_id=model_id,
            facts=dict(folder.facts),
            missing=missing,
            named_directly=folder.named is not None,
        )
        for (primary, shards, index, missing), model_id in zip(sets, ids, strict=True)
    ]
    grouped = Grouped(artifacts=artifacts, unfinished=unfinished, problems=problems)
    return grouped if folder.named is None else _only(grouped, folder.path, folder.named)


def _only(grouped: Grouped, folder: str, name: str) -> Grouped:
    """What concerns one file alone: the model that it belongs to."""
    path = _join(folder, name)
    return Grouped(
        artifacts=artifacts_with(grouped, name),
        unfinished=[one for one in grouped.unfinished if one.path == path],
        problems=[one for one in grouped.problems if one.path == path],
    )


def artifacts_with(grouped: Grouped, name: str) -> list[Artifact]:
    """The artifact whose weights or index a file is, or else those that it lies beside."""
    found = [one for one in grouped.artifacts if name in {file.name for file in one.files}]
    own = [one for one in found if name not in {file.name for file in one.companions}]
    return own or found


def _numbered_sets(
    weights: dict[str, ArtifactFile],
) -> list[_ShardSet]:
    """Take the files that number themselves `N of M` out of `weights`, one set per stem, count and ending."""
    sets: defaultdict[tuple[str, str, str], dict[int, ArtifactFile]] = defaultdict(dict)
    for name, one in weights.items():
        match = NUMBERED.fullmatch(name)
        if match is None or not 1 <= int(match["number"]) <= int(match["total"]) <= _MOST_SHARDS:
            continue
        key = (match["stem"], match["total"], match["suffix"])
        if int(match["number"]) in sets[key]:
            continue
        sets[key][int(match["number"])] = one
    grouped: list[_ShardSet] = []
    for key, shards in sets.items():
        for one in shards.values():
            del weights[one.name]
        ordered = [shards[number] for number in sorted(shards)]
        missing = tuple(
            _numbered_name(ordered[0].name, number)
            for number in range(1, int(key[1]) + 1)
            if number not in shards
        )
        grouped.append((ordered[0].name, ordered, None, missing))
    return grouped


def _numbered_name(like: str, number: int) -> str:
    match = NUMBERED.fullmatch(like)
    assert match is not None  # noqa: S101 - `like` was grouped by this very pattern
    start, end = match.span("number")
    return f"{like[:start]}{number:0{end - start}d}{like[end:]}"


def _ids(folder: Folder, first_weights: list[str], formats: FormatTable) -> list[str]:
    """The id that each artifact's place proposes, by its first weight file."""
    # A file that no format claims by name may be no model at all: it must not change its neighbours' ids.
    claimed = [name for name in first_weights if formats.claims(name)]
    own_name = os.path.basename(os.path.normpath(folder.path)).strip()
    if folder.model_id is None and is_generic(own_name):
        return _ids_by_stem(name_of_folder(folder.path) or own_name or "models", first_weights, claimed)
    base = folder.model_id or own_name
    is_named = folder.model_id is not None or not _is_cache_of_tool(folder.path)
    if is_named and (len(claimed) == 1 or len(first_weights) == 1):
        claimed = claimed or first_weights
        return [base if name == claimed[0] else f"{base}/{name}" for name in first_weights]
    variants = dict(zip(claimed, _variants(claimed), strict=True))
    return [f"{base}:{variants[name]}" if name in variants else f"{base}/{name}" for name in first_weights]


def _is_cache_of_tool(path: str) -> bool:
    """Whether a folder is what a program keeps in a user's cache: it has the program's name, no model's."""
    return os.path.basename(os.path.dirname(os.path.normpath(path))) == ".cache"


def _ids_by_stem(base: str, first_weights: list[str], claimed: list[str]) -> list[str]:
    """The ids in a folder whose own name names nothing: the files' own names, where they name something."""
    stems = {name: stem_of(name) for name in first_weights}
    counted: defaultdict[str, int] = defaultdict(int)
    for name in claimed:
        counted[stems[name].casefold()] += 1
    generic = [name for name in claimed if is_generic(stems[name])]
    variants = dict(zip(generic, _variants(generic), strict=True))
    return [
        (base if len(generic) == 1 else f"{base}:{variants[name]}")
        if name in variants
        else f"{base}/{name}"
        if is_generic(stems[name])
        else name
        if counted[stems[name].casefold()] != 1
        else stems[name]
        for name in first_weights
    ]


def _variants(names: list[str]) -> list[str]:
    """What distinguishes several models of one folder: quantization, format, stem, or the whole name."""
    stems = [stem_of(name) for name in names]
    quantizations = [[match[1].upper() for match in QUANTIZATION.finditer(stem)] for stem in stems]
    bare = {QUANTIZATION.sub("", stem).strip("-_. ").casefold() for stem in stems}
    last = [found[-1] if found else "" for found in quantizations]
    if len(bare) == 1 and all(last) and len(set(last)) == len(last) and len(last) > 1:
        return last
    if len(names) > 1 and GENERIC_STEMS.issuperset(stems):  # one model in several formats
        endings = [suffix_of(name).lstrip(".") for name in names]
        if len(set(endings)) == len(endings):
            return endings
    counted: defaultdict[str, int] = defaultdict(int)
    for stem in stems:
        counted[stem.casefold()] += 1
    return [name if counted[stem.casefold()] > 1 else stem for name, stem in zip(names, stems, strict=True)]


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


def read_index(folder: str, index: ArtifactFile) -> list[str] | Problem:
    """The shards that the index in a folder on this machine names; a problem where it cannot be used."""
    from modelshelf.reader import Budget, LocalFile

    path = _join(folder, index.name)
    try:
        file = LocalFile(path, index.name, Budget(_LARGEST_INDEX), index)
        try:
            return shard_names(file.read(0, file.size), index.name)
        finally:
            file.close()
    except ReadError as error:
        return Problem(code=error.code, path=path, message=f"{path}: {error}")


def shard_names(text: bytes, name: str) -> list[str]:
    """The files that an index's ``weight_map`` names, sorted, each once.

    Names that would leave the folder are left out here; the format's probe names them.

    Raises:
        FormatError: It is not JSON, or has no ``weight_map`` of text.
    """
    import json

    try:
        content = json.loads(text)
    except UnicodeDecodeError as error:
        what = f"it is not UTF-8 at byte {error.start}"
        raise FormatError(f"{name}: is not JSON: {what}", code="broken-index", file=name) from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{name}: is not JSON: {error}", code="broken-index", file=name) from None
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict):
        raise FormatError(f"{name}: has no weight_map that names the shards", code="broken-index", file=name)
    return sorted({shard for shard in weight_map.values() if _is_name(shard)})


def _is_name(name: object) -> bool:
    """Whether a name from an index stays within the folder: no separator, no parent, nothing absolute."""
    return isinstance(name, str) and bool(name) and name not in {".", ".."} and not set(name) & set("/\\\0:")
