from __future__ import annotations

import json

import attrs
from hypothesis import given, settings

from modelshelf.model import Finding, Location, ModelConfig, ModelMetadata, Origin, Severity
from modelshelf.model.metadata import FIELD_NAMES
from modelshelf.records.json import json_record, openai_entry, openai_listing
from tests.core.record_strategies import CONFIGS

RECORD = ModelConfig(
    id="org/model",
    path="/m/odd\udcff.gguf",
    metadata=ModelMetadata.partial(
        Origin.HEADER,
        "general.*",
        architecture="llama",
        parameters=1_235_814_400,
        tags=("a", "b"),
        source="huggingface",
        bits_per_weight=float("nan"),
        details={"rope": [1.5, float("inf")], "raw": b"\x01"},
    ),
    findings=(Finding(code="odd", severity=Severity.WARNING, message="odd", offset=7),),
    locations=(Location(path="/m/odd\udcff.gguf", folder="/m", fingerprint=b"\x02\x03"),),
    content_digest=b"\xab\xcd",
    added_at=100,
    updated_at=200,
    set_by_user=frozenset({"tags", "enabled"}),
)


@settings(deadline=None, max_examples=100)
@given(config=CONFIGS)
def test_every_record_is_json_and_comes_back_as_the_same_data(config):
    for data in (json_record(config), openai_entry(config), openai_listing([config], strict=True)):
        assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_a_record_has_all_its_fields():
    data = json_record(RECORD)
    assert data.keys() == {one.name for one in attrs.fields(ModelConfig)} | {"fingerprint", "verdict"}
    modalities = {"input_modalities", "output_modalities"}
    assert data["metadata"].keys() == {*FIELD_NAMES, "modalities", "details", "provenance"} - modalities
    assert data["metadata"]["modalities"] == {"input": None, "output": None}
    assert data["locations"][0].keys() == {"path", "folder", "source", "missing", "depth", "files"}
    assert (data["content_digest"], data["fingerprint"]) == ("abcd", "0203")
    assert data["set_by_user"] == ["enabled", "tags"]
    assert data["health_status"] == "unknown"
    assert data["verdict"] == "not judged"
    assert data["findings"] == [
        {
            "code": "odd",
            "severity": "warning",
            "concern": "doubt",
            "message": "odd",
            "file": None,
            "offset": 7,
        }
    ]
    assert data["metadata"]["provenance"]["architecture"] == {"origin": "header", "detail": "general.*"}


def test_what_json_has_no_word_for_becomes_null_or_text():
    metadata = json_record(RECORD)["metadata"]
    assert metadata["bits_per_weight"] is None
    assert metadata["details"] == {"rope": [1.5, None], "raw": "01"}


def test_undecodable_bytes_of_a_path_are_escaped_and_come_back():
    text = json.dumps(json_record(RECORD))
    assert text.isascii()
    assert json.loads(text)["path"] == "/m/odd\udcff.gguf"


def test_a_strict_entry_has_openais_four_fields():
    assert openai_listing([RECORD], strict=True) == {
        "object": "list",
        "data": [{"id": "org/model", "object": "model", "created": 100, "owned_by": "org"}],
    }


def test_an_entry_leaves_out_what_is_unset():
    bare = ModelConfig(id="bare", added_at=5, updated_at=5)
    assert openai_entry(bare) == {
        "id": "bare",
        "object": "model",
        "created": 5,
        "owned_by": "local",
        "display_name": "bare",
        "path": "",
        "version": "1.0.0",
        "enabled": True,
        "health_status": "unknown",
        "verdict": "not judged",
        "use_count": 0,
        "preload": False,
    }


def test_an_entry_has_the_registrys_own_fields():
    entry = openai_entry(attrs.evolve(RECORD, max_workers=4, max_tokens=4096, temperature=0.7, use_count=42))
    assert entry["architecture"] == "llama"
    assert entry["parameter_count"] == "1.24B"
    assert entry["tags"] == ["a", "b"]
    assert [entry[name] for name in ("max_workers", "max_tokens", "temperature", "use_count")] == [
        4,
        4096,
        0.7,
        42,
    ]


def test_the_owner_is_the_organisation_else_the_source_and_created_is_the_weights_time():
    plain_id = attrs.evolve(RECORD, id="model", metadata=ModelMetadata(source="ollama", created_at=77))
    assert openai_entry(plain_id, strict=True) == {
        "id": "model",
        "object": "model",
        "created": 77,
        "owned_by": "ollama",
    }
