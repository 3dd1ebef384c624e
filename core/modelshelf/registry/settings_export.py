"""What people set, out of one registry and into another, as a JSON document.

::

    {
      "modelshelf": "settings",
      "edition": 1,
      "models": [
        {
          "id": "llama", "version": "1.0.0",    # of the record
          "content_digest": "9f86d0…",          # of its files; absent where no scan saw any
          "path": "/srv/llama.gguf",            # only where no scan saw any: a record made by hand
          "set": {"enabled": false, …},         # fields of `ModelConfig` and `ModelMetadata` set by hand
          "use_count": 3, "last_used": 1700000000,
          "pinned": true, "default": true       # absent where they are not
        }
      ]
    }

A record is found again by its content, wherever its files lie and whatever it is called now, else by its
id. Text keeps lone surrogates (as JSON escapes); a number that JSON cannot hold is the word that Python has
for it. A document is hostile until it is read.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

from attrs import field, frozen

from modelshelf.errors import InvalidValueError
from modelshelf.model import ModelConfig, ModelMetadata, ModelVersion, Origin
from modelshelf.model.metadata import FIELD_NAMES
from modelshelf.registry.edits import CONFIG_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from modelshelf.records.read import RecordReader

LARGEST_DOCUMENT = 64 * 1024 * 1024  # bytes; what 300,000 models need
_KIND = "settings"
_EDITION = 1
_LONGEST_TEXT = 100_000  # characters
_WORDS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


@frozen(kw_only=True)
class ModelSettings:
    """What was set of one record.

    Attributes:
        id: The record's id.
        version: Its version.
        content_digest: Digest of its files' content, or empty.
        path: Its path where no scan saw its files, else None.
        fields: Fields of `ModelConfig` and `ModelMetadata` that were set by hand, with their values.
        use_count: Number of uses.
        last_used: Unix time in seconds of the last use, or None.
        pinned: Whether its id is pinned to this version.
        default: Whether it is the default model's current version.
    """

    id: str
    version: ModelVersion
    content_digest: bytes = b""
    path: str | None = None
    fields: dict[str, Any] = field(factory=dict)
    use_count: int = 0
    last_used: int | None = None
    pinned: bool = False
    default: bool = False


def collect(records: RecordReader) -> Iterator[ModelSettings]:
    """What was set of each record that has something set, was used, or is pinned or the default."""
    default = records.default()
    chosen = None if default is None else records.current(default)
    standing = None if chosen is None else (chosen.id, chosen.version)
    for summary in records.summaries():
        config = records.model(summary.id, ModelVersion.parse(summary.version))
        if config is None:
            continue
        by_hand = not config.content_digest
        told = ModelSettings(
            id=config.id,
            version=config.version,
            content_digest=config.content_digest,
            path=config.path if by_hand else None,
            fields=_fields_of(config, everything=by_hand),
            use_count=config.use_count,
            last_used=config.last_used,
            pinned=records.pinned(config.id) == str(config.version),
            default=(config.id, config.version) == standing,
        )
        if by_hand or told.fields or told.use_count or told.last_used or told.pinned or told.default:
            yield told


def _fields_of(config: ModelConfig, *, everything: bool) -> dict[str, Any]:
    """The fields that a person set; where no scan saw the model, all that hold more than a default."""
    metadata = config.metadata
    mine = {name for name, told in metadata.provenance.items() if told.origin is Origin.USER}
    mine |= config.set_by_user
    if everything:
        bare = ModelConfig(id=config.id)
        mine |= {name for name in CONFIG_FIELDS if getattr(config, name) != getattr(bare, name)}
        mine |= set(metadata.known())
    own = {name: getattr(config, name) for name in CONFIG_FIELDS if name in mine}
    return own | {name: getattr(metadata, name) for name in FIELD_NAMES if name in mine}


def dump(models: Iterable[ModelSettings]) -> Iterator[bytes]:
    """The document, in ASCII, a model on each line."""
    yield b'{"modelshelf": "%s", "edition": %d, "models": [' % (_KIND.encode(), _EDITION)
    between = b"\n"
    for one in models:
        told: dict[str, Any] = {"id": one.id, "version": str(one.version)}
        if one.content_digest:
            told["content_digest"] = one.content_digest.hex()
        if one.path is not None:
            told["path"] = one.path
        told["set"] = {name: _ready(value) for name, value in one.fields.items()}
        if one.use_count:
            told["use_count"] = one.use_count
        if one.last_used is not None:
            told["last_used"] = one.last_used
        told |= {name: True for name in ("pinned", "default") if getattr(one, name)}
        yield between + json.dumps(told, allow_nan=False).replace("\x7f", "\\u007f").encode("ascii")
        between = b",\n"
    yield b"\n]}\n"


def _ready(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return next(word for word, number in _WORDS.items() if repr(number) == repr(value))
    return list(value) if isinstance(value, tuple) else value


def parse(document: bytes) -> list[ModelSettings]:
    """Read a document.

    Raises:
        InvalidValueError: It is none, is too large, or a value in it cannot be; the message names the place.
    """
    if len(document) > LARGEST_DOCUMENT:
        raise InvalidValueError(f"the settings are larger than {LARGEST_DOCUMENT} bytes")
    try:
        content = json.loads(
            document.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"the settings are no JSON document: {error}") from None
    if not isinstance(content, dict) or content.get("modelshelf") != _KIND:
        raise InvalidValueError(
            "this is no document of settings; `modelshelf export --format settings` writes one"
        )
    if content.get("edition") != _EDITION:
        raise InvalidValueError(
            f"the settings are of edition {content.get('edition')!r}, and this modelshelf reads {_EDITION}; "
            "upgrade modelshelf"
        )
    models = content.get("models")
    if not isinstance(models, list):
        raise InvalidValueError("the settings have no list of models")
    return [_model(one, f"models[{number}]") for number, one in enumerate(models)]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return held


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _model(content: Any, where: str) -> ModelSettings:
    if not isinstance(content, dict):
        raise InvalidValueError(f"{where}: must be an object, not {_shown(content)}")
    path = content.get("path")
    settings = content.get("set", {})
    if not isinstance(settings, dict):
        raise InvalidValueError(f"{where}.set: must be an object, not {_shown(settings)}")
    return ModelSettings(
        id=_text(content.get("id"), f"{where}.id"),
        version=ModelVersion.parse(_text(content.get("version"), f"{where}.version")),
        content_digest=_digest(content.get("content_digest", ""), f"{where}.content_digest"),
        path=None if path is None else _text(path, f"{where}.path"),
        fields={name: _field(name, value, f"{where}.set") for name, value in settings.items()},
        use_count=_count(content.get("use_count", 0), f"{where}.use_count"),
        last_used=_optional(_count)(content.get("last_used"), f"{where}.last_used"),
        pinned=_flag(content.get("pinned", False), f"{where}.pinned"),
        default=_flag(content.get("default", False), f"{where}.default"),
    )


def _field(name: str, value: Any, where: str) -> Any:
    read = _readers().get(name)
    if read is None:
        raise InvalidValueError(f"{where}: there is no field {_shown(name)}")
    return read(value, f"{where}.{name}")


@cache
def _readers() -> dict[str, Callable[[Any, str], Any]]:
    """What checks the value of each field that can be set, by the field's declared type."""
    hints = {**get_type_hints(ModelMetadata), **get_type_hints(ModelConfig)}
    by_type: dict[Any, Callable[[Any, str], Any]] = {
        str: _text,
        bool: _flag,
        tuple[str, ...]: _texts,
        str | None: _optional(_text),
        int | None: _optional(_integer),
        float | None: _optional(_number),
        bool | None: _optional(_flag),
        tuple[str, ...] | None: _optional(_texts),
        dict[str, int] | None: _optional(_counts),
    }
    return {name: by_type[hints[name]] for name in (*CONFIG_FIELDS, *FIELD_NAMES)}


def _optional(read: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    return lambda value, where: None if value is None else read(value, where)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise InvalidValueError(
            f"{where}: must be text of {_LONGEST_TEXT} characters at most, not {_shown(value)}"
        )
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InvalidValueError(f"{where}: must be a list of texts, not {_shown(value)}")
    return tuple(_text(one, f"{where}[{number}]") for number, one in enumerate(value))


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidValueError(f"{where}: must be true or false, not {_shown(value)}")
    return value


def _integer(value: Any, where: str) -> int:
    if type(value) is not int:
        raise InvalidValueError(f"{where}: must be an integer, not {_shown(value)}")
    return value


def _count(value: Any, where: str) -> int:
    if _integer(value, where) < 0:
        raise InvalidValueError(f"{where}: must be 0 or more, not {_shown(value)}")
    return int(value)


def _number(value: Any, where: str) -> float:
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValueError(f"{where}: must be a number, not {_shown(value)}")
    return value


def _counts(value: Any, where: str) -> dict[str, int]:
    if not isinstance(value, dict):
        raise InvalidValueError(f"{where}: must be an object of counts, not {_shown(value)}")
    return {name: _integer(one, f"{where}.{name}") for name, one in value.items()}


def _digest(value: Any, where: str) -> bytes:
    try:
        return bytes.fromhex(_text(value, where))
    except ValueError:
        raise InvalidValueError(f"{where}: must be hexadecimal digits, not {_shown(value)}") from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"  # noqa: PLR2004 - enough to know it again
