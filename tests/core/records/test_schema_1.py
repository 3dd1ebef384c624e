"""What release 0.1 stored is read as it was meant: `schema_1.json` has the bytes of every table."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from modelshelf import ModelConfig, ModelRegistry, ModelVersion, PluginFailure, Severity
from modelshelf.maintenance.doctor import diagnose_store
from modelshelf.model import Depth
from modelshelf.records.codec import decode_record, encode_record, summary_of
from modelshelf.records.frame import decode_frame, decode_value, encode_frame, pack, unpack
from modelshelf.records.json import json_record
from modelshelf.records.read import RecordReader
from modelshelf.records.summary import decode_summary, summaries
from modelshelf.records.tables import FAILURES, RECORDS, SHARED_NAMES, TABLES, table_of
from modelshelf.records.write import Records
from tests.core.records.test_read import State

STORED = json.loads((Path(__file__).parent / "schema_1.json").read_text("ascii"))
ENTRIES = {base64.b64decode(key): base64.b64decode(value) for key, value in STORED["entries"].items()}
_SUMMARY_FIELDS = 21  # as of that release, which leaves out what follows
NEWEST = ModelVersion.parse("1.2.3-rc.1+build.5")


@pytest.fixture
def records() -> RecordReader:
    return RecordReader(State(dict(ENTRIES)))


def test_every_table_is_among_what_was_stored():
    assert {table_of(key) for key in ENTRIES} == set(TABLES) - {SHARED_NAMES}  # which came later


def _as_stored(model: ModelConfig) -> dict[str, Any]:
    """A record as JSON of that release, with the health that is stored, be the model missing or not."""
    content = {**json_record(model), "health_status": model.health_status.value}
    del content["verdict"], content["given_aliases"]
    for name in ("kind", "modalities", "capabilities"):
        del content["metadata"][name]
    for one in content["findings"]:
        del one["concern"]
    return content


def _as_of_then(key: bytes, value: bytes) -> bytes:
    """A stored value without the fields that later releases add at the end of a summary."""
    _, summary, content = decode_frame(key, value)
    then = pack(unpack(summary)[:_SUMMARY_FIELDS]) if summary else b""
    return encode_frame(key, content, then)


def test_records_are_read_whole_and_written_as_they_were():
    found = [(key, value) for key, value in ENTRIES.items() if table_of(key) is RECORDS]
    models = {key: decode_record(key, value) for key, value in found}
    expected = {one["id"]: one for one in STORED["records"]}
    assert {one.id: json.loads(json.dumps(_as_stored(one))) for one in models.values()} == expected
    for key, value in found:
        assert _as_of_then(key, encode_record(key, models[key])) == value
        assert decode_summary(key, value) == summary_of(models[key])._replace(verdict="", kind="")
    assert len(list(summaries(found))) == len(expected) == 3


def test_what_json_leaves_out_is_read_too(records: RecordReader):
    model = records.current("house")
    assert model is not None
    assert model.metadata.details["rope"] == [1.5, float("inf")]
    assert model.metadata.details["big"] == 2**70
    first, away = model.locations
    assert [one.inode for one in first.files] == [2**63 + 1, 7, 0, 0]
    assert (first.files[0].sha256, first.files[3].etag) == ("ab" * 32, '"tag"')
    assert (away.offline, away.fingerprint) == (True, b"\xff" * 16)


def test_what_points_to_records_is_read(records: RecordReader):
    assert records.pins() == {b"org/llama": str(NEWEST)}
    assert records.pinned("org/llama") == str(NEWEST)
    assert records.default() == "by hand"
    assert records.alias("l\udcffa") == "org/llama"
    assert records.by_content(bytes(range(32))) == ("org/llama", NEWEST)
    entries = records.path_entries_below("/models")
    assert entries.keys() == {"/models/llama/m-00001.gguf", "/models/gone\udcff.gguf", "/models/x\udcff.bin"}
    found = entries["/models/llama/m-00001.gguf"]
    assert found == records.location("/models/llama/m-00001.gguf")
    assert (found.model_id, found.version, found.missing, found.depth, found.fingerprint) == (
        "org/llama",
        NEWEST,
        False,
        Depth.FULL,
        bytes(range(16)),
    )
    assert entries["/models/gone\udcff.gguf"].missing
    assert list(records.unhealthy_below("/models")) == [("org/llama", str(NEWEST), "degraded")]


def test_what_scans_left_is_read(records: RecordReader):
    rejected = records.rejection("/models/x\udcff.bin")
    assert rejected is not None
    assert (rejected.fingerprint, rejected.code, rejected.message) == (
        b"\x01" * 16,
        "no-format",
        "no plugin knows it",
    )
    index = (7, 1, 9, ["m-00001.gguf", "m-00002\udcff.gguf"])
    assert records.shard_indexes_below("/models") == {"/models/llama/model.index.json": index}
    assert records.folder_cache("/models") == [b"rules", b"cache"]
    assert records.changed_paths("/models") == ["/models/llama/m-00001.gguf"]
    assert sorted(records.mounts()) == ["/mnt/a\udcff", "/mnt/b"]
    assert records.failures() == [
        PluginFailure(plugin="p[q]", version=None, hook="probe_health", reason="broke", path="/models/m")
    ]


def test_a_doctor_finds_nothing_wrong_with_it(tmp_path: Path):
    with ModelRegistry(tmp_path, tmp_path / "store") as registry:
        registry.store.update(lambda state: [state.put(*one) for one in ENTRIES.items()])
        assert [one for one in diagnose_store(registry.store) if one.severity is not Severity.INFO] == []


def test_what_is_written_today_is_what_was_written_then(records: RecordReader):
    """So that a store can be read by both releases."""
    state = State({})
    today = Records(state)
    for model_id in ("org/llama", "gone\udcff", "by hand"):
        model = records.current(model_id)
        assert model is not None
        today.put(model)
    today.pin("org/llama", NEWEST)
    today.set_default("by hand")
    today.save_mounts(records.mounts())
    today.save_failures(records.failures())
    written = {key: _as_of_then(key, value) for key, value in state.entries.items()}
    assert written.items() <= ENTRIES.items()
    assert len(state.entries) == 14


def test_what_a_plugin_failed_at_is_read_by_both_releases():
    failed = [
        PluginFailure(plugin="p", version="1", hook="formats", reason="a", file="/p.py", line=3),
        PluginFailure(plugin="p", version="1", hook="formats", reason="b", path="/m", always=True),
        PluginFailure(plugin="p", version=None, hook="load", reason="a"),
    ]
    state = State({})
    Records(state).save_failures(failed)
    assert RecordReader(state).failures() == failed
    assert {len(one) for one in decode_value(FAILURES, state.entries[FAILURES])} == {5}
    Records(state).save_failures([])
    assert RecordReader(state).failures() == []
