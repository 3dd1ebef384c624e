"""Conditions and choices over records: which ones a query means, which one suits a task. Pure.

Works on summaries; the classes of `modelshelf.model` are imported where one is needed, as by few listings.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from modelshelf.model.status import HealthStatus, current_health, current_verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from modelshelf.model import ModelVersion, Query
    from modelshelf.records.summary import Summary

SIMPLE, COMPLEX = "simple", "complex"
_FOLDED_TO = "[fiklst]"
TASKS = (SIMPLE, COMPLEX)


def matches(query: Query, one: Summary) -> bool:
    """Whether a record meets every condition of a query, by its summary."""
    return all(condition(one) for condition in conditions(query))


def conditions(query: Query) -> list[Callable[[Summary], bool]]:
    """The conditions that a query asks for, each as a test of a summary."""
    found: list[Callable[[Summary], bool]] = []
    for name in ("format", "architecture", "quantization", "kind", "source", "license"):
        wanted = getattr(query, name)
        if wanted is not None:
            found.append(_equals(name, wanted))
    if query.text is not None:
        text = query.text
        found.append(
            lambda one: any(text in (part or "").casefold() for part in (one.id, one.display_name, one.path))
        )
    found += _of_verdict(query)
    for wanted, names in (
        (query.tag, ("tags",)),
        (query.capability, ("capabilities",)),
        (query.modality, ("input_modalities", "output_modalities")),
    ):
        if wanted is not None:
            found.append(_has_word(wanted, *names))
    if query.enabled is not None:
        found.append(lambda one: one.enabled is query.enabled)
    if query.missing is not None:
        found.append(lambda one: one.missing is query.missing)
    for name, wanted, sign in (
        ("parameters", query.min_parameters, 1),
        ("parameters", query.max_parameters, -1),
        ("context_length", query.min_context, 1),
    ):
        if wanted is not None:
            found.append(_reaches(name, wanted, sign))
    return found


def _of_verdict(query: Query) -> Iterator[Callable[[Summary], bool]]:
    if query.health is not None:
        yield _has_health(query.health.value)
    if query.verdict is not None:
        wanted = query.verdict
        yield lambda one: current_verdict(one) == wanted


def needle(query: Query) -> bytes:
    """Bytes in the packed summary of each record that meets a query, its ASCII letters made small.

    Empty where nothing is sure. Text is compared case-folded, and some letters outside of ASCII fold to the
    letters that are left out here: a long s to an s, a ligature to several.
    """
    wanted = [
        getattr(query, name)
        for name in (
            *("format", "architecture", "quantization", "source", "license", "tag"),
            *("kind", "capability", "modality"),
        )
    ]
    if query.health not in {None, HealthStatus.UNKNOWN}:  # which every missing model is, whatever it was
        wanted.append(str(query.health))
    pieces = [piece for text in wanted if text and text.isascii() for piece in re.split(_FOLDED_TO, text)]
    return max(pieces, key=len, default="").encode()


def _equals(name: str, wanted: str) -> Callable[[Summary], bool]:
    return lambda one: (getattr(one, name) or "").casefold() == wanted


def _has_word(wanted: str, *names: str) -> Callable[[Summary], bool]:
    return lambda one: any(wanted == word.casefold() for name in names for word in getattr(one, name) or ())


def _has_health(wanted: str) -> Callable[[Summary], bool]:
    if wanted == HealthStatus.UNKNOWN.value:  # as every missing one is
        return lambda one: current_health(one) == wanted
    return lambda one: one.health_status == wanted and current_health(one) == wanted  # the quick one first


def _reaches(name: str, wanted: int, sign: int) -> Callable[[Summary], bool]:
    def reaches(one: Summary) -> bool:
        value = getattr(one, name)
        return value is not None and sign * value >= sign * wanted

    return reaches


def _by_version(one: Summary) -> ModelVersion:
    from modelshelf.model.version import ModelVersion

    return ModelVersion.parse(one.version)


_HEALTH_ORDER = {status.value: place for place, status in enumerate(HealthStatus)}
_SORT: dict[str, Callable[[Summary], Any]] = {
    "id": lambda one: one.id.casefold(),
    "version": _by_version,
    "size": lambda one: one.size_bytes,
    "parameters": lambda one: one.parameters,
    "context": lambda one: one.context_length,
    "format": lambda one: one.format,
    "quantization": lambda one: one.quantization,
    "kind": lambda one: one.kind or None,
    "health": lambda one: _HEALTH_ORDER.get(current_health(one), 0),
    "used": lambda one: one.last_used,
    "added": lambda one: one.added_at,
}


def by_id(found: Iterable[Summary]) -> list[Summary]:
    """Summaries by id, without regard to case; the order of a query that names none."""
    return sorted(found, key=lambda one: (one.id.casefold(), one.id))


def arranged(query: Query, found: Iterable[Summary]) -> list[Summary]:
    """Summaries in the query's order, what is unknown last, and no more than its limit."""
    key, ordered = _SORT[query.sort], by_id(found)
    if query.sort == "id" and not query.descending:
        return ordered[: query.limit]
    found = [one for one in ordered if key(one) is not None]
    found.sort(key=key, reverse=query.descending)
    return [*found, *(one for one in ordered if key(one) is None)][: query.limit]


def parameters_of(one: Summary) -> int | None:
    """Exact parameters, else those that the name or card gives; None where neither does."""
    if one.parameters is not None:
        return one.parameters
    from modelshelf.model.quantity import parse_parameters

    return parse_parameters(one.parameter_count) if one.parameter_count else None


def able(
    found: Iterable[Summary], kind: str | None, capability: str | None, modality: str | None
) -> Iterator[Summary]:
    """Those of a kind that can do something and take or give something; None asks nothing."""
    from modelshelf.model.query import Query

    if kind is None and capability is None and modality is None:
        return iter(found)
    tests = conditions(Query(kind=kind, capability=capability, modality=modality))
    return (one for one in found if all(meets(one) for meets in tests))


def for_text(found: Iterable[Summary]) -> list[Summary]:
    """Those that write text: by their kind, else those of which nobody ever looked for a kind.

    Those are records of earlier releases and of programs; of what a scan looked at in vain nothing is said.
    """
    found = list(found)
    writers = [one for one in found if one.kind == "text-generation"]
    return writers or [one for one in found if one.kind == "" or (one.kind is None and one.source is None)]


def best(task: str, usable: Iterable[Summary]) -> Summary | None:
    """The largest model for a complex task, the smallest for a simple one, of those whose size is known."""
    sized = [(size, one.id, one) for one in usable if (size := parameters_of(one)) is not None and size > 0]
    if not sized:
        return None
    if task == COMPLEX:
        return max(sized, key=lambda entry: entry[0])[2]
    return min(sized, key=lambda entry: entry[:2])[2]
