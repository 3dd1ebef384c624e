"""Settings as a document: what was written comes back, and a hostile one is a plain error."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.errors import InvalidValueError
from modelshelf.model import ModelVersion
from modelshelf.model.metadata import FIELD_NAMES
from modelshelf.registry.settings_export import ModelSettings, dump
from modelshelf.registry.settings_import import LARGEST_DOCUMENT, parse
from tests.core.record_strategies import CONFIGS

OWN = ("display_name", "enabled", "preload", "max_workers", "max_tokens", "temperature", "aliases")


def settings_of(config) -> ModelSettings:
    fields = {name: getattr(config, name) for name in OWN}
    return ModelSettings(
        id=config.id,
        version=config.version,
        content_digest=config.content_digest,
        path=None if config.content_digest else config.path,
        set=fields | {name: getattr(config.metadata, name) for name in FIELD_NAMES},
        use_count=config.use_count,
        last_used=config.last_used,
        pinned=config.preload,
        default=config.enabled,
    )


@settings(max_examples=150, deadline=None)
@given(configs=st.lists(CONFIGS, max_size=3))
def test_whatever_was_set_comes_back_as_it_was(configs):
    wanted = [settings_of(one) for one in configs]
    document = b"".join(dump(wanted))
    document.decode("ascii")
    assert repr(parse(document)) == repr(wanted)  # by its text, because NaN equals nothing


@settings(max_examples=200, deadline=None)
@given(
    content=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "version", "set", "path", "use_count", "enabled", "tags", "x"]),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    ),
    raw=st.binary(max_size=40),
)
def test_any_document_is_read_or_refused_plainly(content, raw):
    models = {"modelshelf": "settings", "edition": 1, "models": content}
    for document in (raw, json.dumps(content).encode(), json.dumps(models).encode()):
        with contextlib.suppress(InvalidValueError):
            assert all(isinstance(one, ModelSettings) for one in parse(document))


def document(**model: object) -> bytes:
    entry = {"id": "a", "version": "1.0.0", **model}
    return json.dumps({"modelshelf": "settings", "edition": 1, "models": [entry]}).encode()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"modelshelf": "settings", "edition": 1, "models": [], "models": []}', "one key twice"),
        (b'{"modelshelf": "settings", "edition": 1, "models": NaN}', "NaN"),
        (b'{"modelshelf": "settings", "edition": 1, "models": ' + b"9" * 5000 + b"}", "no JSON"),
        (b"{}", "no document of settings"),
        (b'{"modelshelf": "settings", "edition": 2, "models": []}', "edition 2"),
        (b'{"modelshelf": "settings", "edition": 1}', "no list"),
        (document(id=5), r"models\[0\]\.id"),
        (document(version="1"), "invalid version"),
        (document(content_digest="zz"), r"models\[0\]\.content_digest"),
        (document(use_count=-1), r"models\[0\]\.use_count"),
        (document(use_count=True), r"models\[0\]\.use_count"),
        (document(last_used="x"), r"models\[0\]\.last_used"),
        (document(set=[]), r"models\[0\]\.set"),
        (document(set={"nonsense": 1}), "there is no field 'nonsense'"),
        (document(set={"id": "b"}), "there is no field 'id'"),
        (document(set={"enabled": "yes"}), r"set\.enabled"),
        (document(set={"tags": "x"}), r"set\.tags"),
        (document(set={"aliases": [5]}), r"set\.aliases\[0\]"),
        (document(set={"temperature": True}), r"set\.temperature"),
        (document(set={"license": "x" * 200_000}), r"set\.license"),
        (document(set={"tensor_types": {"F32": "x"}}), r"set\.tensor_types\['F32'\]"),
        (b" " * (LARGEST_DOCUMENT + 1), "larger than"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(broken, message):
    with pytest.raises(InvalidValueError, match=message):
        parse(broken)


def test_what_is_left_out_is_what_was_not_set():
    [one] = parse(document())
    assert one == ModelSettings(id="a", version=ModelVersion(major=1))
