"""What people set, as a JSON document that `settings_import` puts onto another registry.

::

    {
      "modelshelf": "settings",
      "edition": 1,
      "models": [
        {
          "id": "llama", "version": "1.0.0",    # of the record
          "content_digest": "9f86d0…",          # of its files; absent where no scan found any
          "path": "/srv/llama.gguf",            # only where no scan found any: a record made by hand
          "set": {"enabled": false, …},         # fields of `ModelConfig` and `ModelMetadata` set by hand
          "use_count": 3, "last_used": 1700000000,
          "pinned": true, "default": true       # absent where they are not
        }
      ]
    }

A record is found again by its content, wherever its files lie and whatever it is called now, else by its
id. Text keeps lone surrogates (as JSON escapes); a number that JSON cannot write is the word that Python has
for it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from modelshelf.model import ModelConfig, ModelVersion, Origin
from modelshelf.model.metadata import FIELD_NAMES
from modelshelf.registry.edits import CONFIG_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modelshelf.records.read import RecordReader

KIND = "settings"
EDITION = 1
NUMBERS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
"""The numbers that JSON cannot write, by the words that stand for them."""


@frozen(kw_only=True)
class ModelSettings:
    """What was set of one record.

    Attributes:
        id: The record's id.
        version: Its version.
        content_digest: Digest of its files' content, or empty.
        path: Its path where no scan found its files, else None.
        set: Fields of `ModelConfig` and `ModelMetadata` that were set by hand, with their values.
        use_count: Number of uses.
        last_used: Unix time in seconds of the last use, or None.
        pinned: Whether its id is pinned to this version.
        default: Whether it is the default model's current version.
    """

    id: str
    version: ModelVersion
    content_digest: bytes = b""
    path: str | None = None
    set: dict[str, Any] = field(factory=dict)
    use_count: int = 0
    last_used: int | None = None
    pinned: bool = False
    default: bool = False


def collect(records: RecordReader) -> Iterator[ModelSettings]:
    """What was set of each record that has something set, was used, or is pinned or the default."""
    default_id = records.default()
    default = None if default_id is None else records.current(default_id)
    for summary in records.summaries():
        config = records.model(summary.id, ModelVersion.parse(summary.version))
        if config is None:
            continue
        by_hand = not config.content_digest
        settings = ModelSettings(
            id=config.id,
            version=config.version,
            content_digest=config.content_digest,
            path=config.path if by_hand else None,
            set=_set_by_hand(config, everything=by_hand),
            use_count=config.use_count,
            last_used=config.last_used,
            pinned=records.pinned(config.id) == str(config.version),
            default=default is not None and (config.id, config.version) == (default.id, default.version),
        )
        used = settings.use_count or settings.last_used
        if by_hand or settings.set or used or settings.pinned or settings.default:
            yield settings


def _set_by_hand(config: ModelConfig, *, everything: bool) -> dict[str, Any]:
    """The fields that a person set; where no scan found the model, all that have more than a default."""
    metadata = config.metadata
    names = {name for name, one in metadata.provenance.items() if one.origin is Origin.USER}
    names |= config.set_by_user
    if everything:
        bare = ModelConfig(id=config.id)
        names |= {name for name in CONFIG_FIELDS if getattr(config, name) != getattr(bare, name)}
        names |= set(metadata.fields_set())
    own = {name: getattr(config, name) for name in CONFIG_FIELDS if name in names}
    return own | {name: getattr(metadata, name) for name in FIELD_NAMES if name in names}


def dump(models: Iterable[ModelSettings]) -> Iterator[bytes]:
    """The document, in ASCII, a model on each line."""
    yield b'{"modelshelf": "%s", "edition": %d, "models": [' % (KIND.encode(), EDITION)
    between = b"\n"
    for one in models:
        entry: dict[str, Any] = {"id": one.id, "version": str(one.version)}
        if one.content_digest:
            entry["content_digest"] = one.content_digest.hex()
        if one.path is not None:
            entry["path"] = one.path
        entry["set"] = {name: _as_json(value) for name, value in one.set.items()}
        if one.use_count:
            entry["use_count"] = one.use_count
        if one.last_used is not None:
            entry["last_used"] = one.last_used
        entry |= {name: True for name in ("pinned", "default") if getattr(one, name)}
        yield between + json.dumps(entry, allow_nan=False).replace("\x7f", "\\u007f").encode("ascii")
        between = b",\n"
    yield b"\n]}\n"


def _as_json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return next(word for word, number in NUMBERS.items() if repr(number) == repr(value))
    return list(value) if isinstance(value, tuple) else value
