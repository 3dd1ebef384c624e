"""Settings out of a document of `settings_export`, put onto the records of this registry in one transaction.

The document is hostile until it is read: no value is taken for one of another type, and one fault ends it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_type_hints

import attrs
from attrs import frozen

from modelshelf.errors import InvalidValueError
from modelshelf.model import ModelConfig, ModelMetadata, ModelVersion, Origin
from modelshelf.model.metadata import FIELD_NAMES
from modelshelf.registry import edits
from modelshelf.registry.settings_export import EDITION, KIND, NUMBERS, ModelSettings

if TYPE_CHECKING:
    from cattrs import Converter

    from modelshelf.model import ModelEvent
    from modelshelf.records.write import Records

LARGEST_DOCUMENT = 64 * 1024 * 1024  # bytes; what 300,000 models need
_LONGEST_TEXT = 100_000  # characters
_LONGEST_SHOWN = 40  # characters of a value in a message

Key = tuple[str, ModelVersion]


def parse(document: bytes) -> list[ModelSettings]:
    """Read a document.

    Raises:
        InvalidValueError: It is none, is too large, or a value in it cannot be; the message names the place,
            as in ``must be true or false, not 'yes' @ $.models[0].set.enabled``.
    """
    if len(document) > LARGEST_DOCUMENT:
        raise InvalidValueError(f"the settings are larger than {LARGEST_DOCUMENT} bytes")
    try:
        content = json.loads(
            document.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"the settings are no JSON document: {error}") from None
    if not isinstance(content, dict) or content.get("modelshelf") != KIND:
        raise InvalidValueError(
            "this is no document of settings; `modelshelf export --format settings` writes one"
        )
    if content.get("edition") != EDITION:
        raise InvalidValueError(
            f"the settings are of edition {content.get('edition')!r}, and this modelshelf reads {EDITION}; "
            "upgrade modelshelf"
        )
    models = content.get("models")
    if not isinstance(models, list):
        raise InvalidValueError("the settings have no list of models")
    return [_structured(one, f"$.models[{number}]") for number, one in enumerate(models)]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("an object has one key twice")
    return content


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _structured(content: Any, place: str) -> ModelSettings:
    """One model; each by itself, so that the errors of a document full of them do not fill the memory."""
    from cattrs import transform_error
    from cattrs.errors import BaseValidationError

    try:
        return _converter().structure(_object(content), ModelSettings)
    except (InvalidValueError, BaseValidationError) as error:
        raise InvalidValueError(transform_error(error, place, _reason)[0]) from None


def _reason(error: BaseException, _kind: type | None) -> str:
    from cattrs.errors import ForbiddenExtraKeysError

    if isinstance(error, ForbiddenExtraKeysError):
        return f"there is no field {_shown(min(error.extra_fields))}"
    return "is missing" if isinstance(error, KeyError) else str(error)


@lru_cache(maxsize=1)
def _converter() -> Converter:
    """Makes settings of a document's plain data; it turns no type into another."""
    from cattrs import Converter
    from cattrs.gen import make_dict_structure_fn, override

    made = Converter()
    for kind, read in (
        (str, _text),
        (bool, _flag),
        (int, _integer),
        (float, _number),
        (bytes, _digest),
        (ModelVersion, _version),
    ):
        made.register_structure_hook(kind, read)
    made.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _texts)
    made.register_structure_hook_func(lambda kind: kind == dict[str, int], _integers)

    hints = {**get_type_hints(ModelMetadata), **get_type_hints(ModelConfig)}
    names = (*edits.CONFIG_FIELDS, *FIELD_NAMES)
    fields = {name: attrs.field(default=None, type=hints[name]) for name in names}
    settable: type[Any] = attrs.make_class("Settable", fields)
    structure_set: Callable[[Any, Any], Any] = make_dict_structure_fn(
        settable, made, _cattrs_forbid_extra_keys=True
    )

    def read_set(content: Any, _kind: Any) -> dict[str, Any]:
        values = structure_set(_object(content), settable)
        return {name: getattr(values, name) for name in content}

    made.register_structure_hook(
        ModelSettings,
        make_dict_structure_fn(
            ModelSettings,
            made,
            set=override(struct_hook=read_set),
            use_count=override(struct_hook=_count),
            last_used=override(struct_hook=lambda value, _: None if value is None else _count(value)),
        ),
    )
    return made


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidValueError(f"must be an object, not {_shown(value)}")
    return value


def _text(value: Any, _kind: object = None) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise InvalidValueError(f"must be text of {_LONGEST_TEXT} characters at most, not {_shown(value)}")
    return value


def _flag(value: Any, _kind: object = None) -> bool:
    if not isinstance(value, bool):
        raise InvalidValueError(f"must be true or false, not {_shown(value)}")
    return value


def _integer(value: Any, _kind: object = None) -> int:
    if type(value) is not int:
        raise InvalidValueError(f"must be an integer, not {_shown(value)}")
    return value


def _count(value: Any, _kind: object = None) -> int:
    if _integer(value) < 0:
        raise InvalidValueError(f"must be 0 or more, not {_shown(value)}")
    return int(value)


def _number(value: Any, _kind: object = None) -> float:
    if isinstance(value, str) and value in NUMBERS:
        return NUMBERS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValueError(f"must be a number, not {_shown(value)}")
    return value


def _digest(value: Any, _kind: object = None) -> bytes:
    try:
        return bytes.fromhex(_text(value))
    except ValueError:
        raise InvalidValueError(f"must be hexadecimal digits, not {_shown(value)}") from None


def _version(value: Any, _kind: object = None) -> ModelVersion:
    return ModelVersion.parse(_text(value))


def _texts(value: Any, _kind: object = None) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InvalidValueError(f"must be a list of texts, not {_shown(value)}")
    return tuple(_each(_text, enumerate(value)))


def _integers(value: Any, _kind: object = None) -> dict[str, int]:
    return dict(zip(_object(value), _each(_integer, value.items()), strict=True))


def _each(read: Callable[[Any], Any], items: Iterable[tuple[int | str, Any]]) -> Iterator[Any]:
    """Read the values of a list or an object. The first fault ends it; cattrs would collect them all."""
    from cattrs.errors import IterableValidationError, IterableValidationNote

    for place, value in items:
        try:
            yield read(value)
        except InvalidValueError as error:
            error.add_note(IterableValidationNote("", place, None))
            raise IterableValidationError("a value cannot be", [error], list) from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


@frozen(kw_only=True)
class Restored:
    """What became of settings; each entry is one line for a person.

    Attributes:
        changed: Ids of the models that were changed.
        unchanged: Number of models that had it all already.
        unknown: Models that are not registered here; a later import may find them.
        superseded: Older versions whose files are not here, while a newer version's are.
        by_id: Models that were found by their id alone, with other content.
        conflicts: What a person has set otherwise here, and was left so.
        refused: Values that cannot be here.
    """

    changed: tuple[str, ...] = ()
    unchanged: int = 0
    unknown: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()
    by_id: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything that could be wanted was taken over."""
        return not (self.unknown or self.conflicts or self.refused)


class Undone(Exception):  # noqa: N818 - it ends a transaction that went well
    """Raised within a transaction to undo it.

    Attributes:
        restored: What would have been done.
    """

    def __init__(self, restored: Restored) -> None:
        super().__init__("nothing was changed")
        self.restored = restored


def restore(
    records: Records, settings: Iterable[ModelSettings], *, replace: bool
) -> tuple[Restored, list[ModelEvent]]:
    """Put settings onto the records that they belong to.

    Args:
        records: The registry's, within a transaction.
        settings: What `parse` gave.
        replace: Whether what a person has set otherwise here gives way.
    """
    work = _Restoring(records, replace=replace)
    work.match(settings)
    for key, one in work.matched.items():
        work.apply(key, one)
    return work.result(), work.events


class _Restoring:
    """One run; see `restore`."""

    def __init__(self, records: Records, *, replace: bool) -> None:
        self._records = records
        self._replace = replace
        self.matched: dict[Key, ModelSettings] = {}
        self.events: list[ModelEvent] = []
        self._registered: set[Key] = set()
        self._changed: list[str] = []
        self._unchanged = 0
        self._lines: dict[str, list[str]] = {
            name: [] for name in ("unknown", "superseded", "by_id", "conflicts", "refused")
        }

    def match(self, settings: Iterable[ModelSettings]) -> None:
        """Find each entry's record: by content, else by id, the newest entry of an id first."""
        rest = []
        for one in settings:
            found = self._records.by_content(one.content_digest) if one.content_digest else None
            if found is None or self._records.model(*found) is None:
                rest.append(one)
            elif found in self.matched:
                self._lines["superseded"].append(f"{one.id} {one.version}: has the content of {found[0]}")
            else:
                self.matched[found] = one
        for one in sorted(rest, key=lambda entry: entry.version, reverse=True):
            self._match_by_id(one)

    def _match_by_id(self, one: ModelSettings) -> None:
        versions = self._records.versions(one.id)
        if not versions:
            if one.path is not None:
                self._register(one)
            else:
                self._lines["unknown"].append(f"{one.id} {one.version}")
            return
        version = one.version if one.version in versions else versions[0]
        if (one.id, version) in self.matched:
            self._lines["superseded"].append(f"{one.id} {one.version}: its files are not here")
            return
        record = self._records.model(one.id, version)
        if record is not None and record.content_digest and one.content_digest:
            self._lines["by_id"].append(f"{one.id} {version}: has other content than {one.version} had there")
        self.matched[one.id, version] = one

    def _register(self, one: ModelSettings) -> None:
        """Add a record that a person had made without files that a scan found."""
        metadata = {name: value for name, value in one.set.items() if name in FIELD_NAMES}
        try:
            config = ModelConfig(
                id=one.id,
                version=one.version,
                path=one.path or "",
                metadata=ModelMetadata.partial(Origin.USER, **metadata),
            )
            _, events = edits.register(self._records, config)
        except InvalidValueError as error:
            self._lines["refused"].append(str(error))
            return
        self.events += events
        self._registered.add((one.id, one.version))
        self.matched[one.id, one.version] = one

    def apply(self, key: Key, one: ModelSettings) -> None:
        """Set what is to be set on one record."""
        model_id, version = key
        before = self._records.model(model_id, version)
        if before is None:
            return
        self._set(before, self._wanted(before, one))
        changed = self._records.model(model_id, version) or before
        counted = attrs.evolve(
            changed,
            use_count=max(changed.use_count, one.use_count),
            last_used=max((at for at in (changed.last_used, one.last_used) if at is not None), default=None),
        )
        if counted != changed:
            self._records.put(counted)
        pointed = self._point(counted, one)
        if counted == before and not pointed and key not in self._registered:
            self._unchanged += 1
        else:
            self._changed.append(model_id)

    def _wanted(self, record: ModelConfig, one: ModelSettings) -> dict[str, Any]:
        """The fields that are to be set; those that a person has set otherwise are left out and reported."""
        wanted = {}
        for name, value in one.set.items():
            by_hand = name in record.set_by_user
            now = getattr(record.metadata if name in FIELD_NAMES else record, name)
            if by_hand and _same(now, value):
                continue
            if by_hand and not self._replace:
                self._lines["conflicts"].append(f"{record.id} {record.version}: {name} was set by hand here")
            else:
                wanted[name] = value
        return wanted

    def _set(self, record: ModelConfig, wanted: dict[str, Any]) -> None:
        """Set all fields at once; where one cannot be, each by itself, so that the others are."""
        if not wanted:
            return
        try:
            self.events += edits.update(self._records, record.id, record.version, wanted)[1]
        except InvalidValueError as error:
            if len(wanted) == 1:
                self._lines["refused"].append(str(error))
            else:
                for name, value in wanted.items():
                    self._set(record, {name: value})

    def _point(self, record: ModelConfig, one: ModelSettings) -> bool:
        """Pin, and make the default; whether anything was changed."""
        before = len(self.events)
        pinned = self._records.pinned(record.id)
        if one.pinned and pinned != str(record.version):
            if pinned is None or self._replace:
                self.events += edits.pin(self._records, record.id, record.version)[1]
            else:
                self._lines["conflicts"].append(f"{record.id}: is pinned to {pinned} here")
        if one.default:
            self.events += edits.set_default(self._records, record.id)[1]
        return len(self.events) > before

    def result(self) -> Restored:
        """The account of it."""
        lines = {name: tuple(all_) for name, all_ in self._lines.items()}
        return Restored(changed=tuple(self._changed), unchanged=self._unchanged, **lines)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or repr(one) == repr(other)  # NaN equals nothing
