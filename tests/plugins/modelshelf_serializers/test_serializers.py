from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import modelshelf_serializers
from modelshelf.model import Finding, ModelConfig, ModelMetadata, Severity
from modelshelf.records.json import json_record, openai_listing
from modelshelf_serializers.csv_table import COLUMNS
from tests.core.record_strategies import CONFIGS

BY_NAME = {one.name: one for one in modelshelf_serializers.modelshelf_serializers()}
LISTS = st.lists(CONFIGS, max_size=3)


def dumped(name: str, models: list[ModelConfig]) -> bytes:
    return b"".join(BY_NAME[name].dump(models))


def rows(document: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(document.decode(), newline=""), strict=True))


def test_the_hook_offers_five_serializers_with_their_media_types():
    assert {one.name: one.media_type.split(";")[0] for one in BY_NAME.values()} == {
        "openai": "application/json",
        "json": "application/json",
        "jsonl": "application/jsonl",
        "yaml": "application/yaml",
        "csv": "text/csv",
    }


@settings(deadline=None, max_examples=60)
@given(models=LISTS)
def test_every_document_reads_back_as_the_same_data(models):
    records = [json_record(model) for model in models]
    assert json.loads(dumped("json", models)) == records
    assert [json.loads(line) for line in dumped("jsonl", models).split(b"\n") if line] == records
    assert json.loads(dumped("openai", models)) == openai_listing(models)
    assert yaml.safe_load(dumped("yaml", models)) == records


@settings(deadline=None, max_examples=60)
@given(models=LISTS)
@pytest.mark.parametrize("name", ["openai", "json", "jsonl", "yaml"])
def test_documents_are_plain_ascii_without_controls(name, models):
    document = dumped(name, models)
    assert all(byte == 0x0A or 0x20 <= byte < 0x7F for byte in document)


@settings(deadline=None, max_examples=80)
@given(models=LISTS)
def test_csv_has_one_clean_line_for_each_record_and_no_formula(models):
    document = dumped("csv", models)
    table = rows(document)
    assert table[0] == list(COLUMNS)
    assert [len(row) for row in table] == [len(COLUMNS)] * (len(models) + 1)
    assert document.count(b"\r\n") == len(models) + 1
    assert document.replace(b"\r\n", b"").decode().isprintable()
    numbers = {"parameters", "context_length", "size_bytes", "temperature"}
    for row in table[1:]:
        for column, cell in zip(COLUMNS, row, strict=True):
            if column not in numbers:
                assert not cell.lstrip().startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("name", BY_NAME)
def test_no_records_give_a_valid_empty_document(name):
    document = dumped(name, [])
    empty = {
        "openai": lambda: json.loads(document) == {"object": "list", "data": []},
        "json": lambda: json.loads(document) == [],
        "jsonl": lambda: document == b"",
        "yaml": lambda: yaml.safe_load(document) == [],
        "csv": lambda: rows(document) == [list(COLUMNS)],
    }
    assert empty[name]()


@pytest.mark.parametrize("name", BY_NAME)
def test_records_are_written_one_by_one(name):
    taken = []

    def models():
        for number in range(1000):
            taken.append(number)
            yield ModelConfig(id=f"m{number}", added_at=1, updated_at=1)

    chunks = BY_NAME[name].dump(models())
    for _ in range(5):
        next(chunks)
    assert len(taken) < 10
    again = [ModelConfig(id="a", added_at=1, updated_at=1)] * 2
    assert dumped(name, again) == dumped(name, again)


def test_a_formula_gets_an_apostrophe_and_a_number_does_not():
    model = ModelConfig(
        id="=cmd|' /C calc'!A0",
        path="\t=1",
        display_name=" @SUM(1)",
        temperature=0.5,
        metadata=ModelMetadata(license="-x", tags=("+a", "b"), architecture="\uff1d1", size_bytes=-3),
        findings=(Finding(code="one", severity=Severity.INFO, message=""),) * 2,
    )
    cells = dict(zip(*rows(dumped("csv", [model])), strict=True))
    assert cells["id"] == "'=cmd|' /C calc'!A0"
    assert cells["path"] == "'\\x09=1"
    assert cells["display_name"] == "' @SUM(1)"
    assert (cells["license"], cells["tags"], cells["architecture"]) == ("'-x", "'+a; b", "'\uff1d1")
    assert (cells["size_bytes"], cells["temperature"], cells["findings"]) == ("-3", "0.5", "one; one")
    assert (cells["max_tokens"], cells["enabled"]) == ("", "true")


def test_csv_writes_out_what_is_not_to_be_seen():
    model = ModelConfig(id="a\x1b[31m\u202eb\x9b", path='/m/odd\udcff,"x"\nnext', display_name="日本")
    cells = dict(zip(*rows(dumped("csv", [model])), strict=True))
    assert cells["id"] == "a\\x1b[31m\\u202eb\\x9b"
    assert cells["path"] == '/m/odd\\xff,"x"\\x0anext'
    assert cells["display_name"] == "日本"


def test_yaml_of_equal_records_has_no_aliases():
    model = ModelConfig(id="a", metadata=ModelMetadata(tags=("x",)), added_at=1, updated_at=1)
    assert b"&id" not in dumped("yaml", [model, model])
    assert b"*id" not in dumped("yaml", [model, model])


def test_importing_the_plugin_imports_no_writer():
    program = (
        "import sys, modelshelf_serializers; print(sorted({'yaml', 'csv', 'cattrs'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
