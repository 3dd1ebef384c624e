"""Runs of tensor records matched as a whole, and one opcode at a time: the results are equal."""

from __future__ import annotations

import base64
import pickle
import random
import struct
import zipfile
from collections import OrderedDict
from io import BytesIO

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.model import HealthStatus
from modelshelf_pytorch.pickle.audit import Verdict, audit
from modelshelf_pytorch.pickle.embedded import search
from modelshelf_pytorch.pickle.machine import Machine
from modelshelf_pytorch.pickle.opcodes import WINDOW_BYTES
from modelshelf_pytorch.readers import BytesReader
from modelshelf_pytorch.tensors import contents_of, count_of, elements_of, stored_bytes, types_of
from modelshelf_pytorch.zip.read import read_directory, read_member
from tests.fuzz import checkpoints
from tests.plugins.modelshelf_pytorch.forge import EVIL_4, look, saved
from tests.plugins.modelshelf_pytorch.pickle.test_machine import facts, run

LAYER = {
    "attention.q_proj.weight": (4, 4),
    "attention.q_proj.bias": (4,),
    "norm.scale": (),
    "conv.kernel": (2, 3, 1, 1),
    "mlp.cube": (300, 2, 3),
}


def stream(state: object, **options: object) -> bytes:
    """The data.pkl of a checkpoint."""
    with zipfile.ZipFile(BytesIO(saved(state, **options))) as packed:
        return packed.read("archive/data.pkl")


def model(layers: int, dtype: torch.dtype = torch.float16) -> dict[str, torch.Tensor]:
    return {
        f"layers.{n}.{name}": torch.ones(shape, dtype=dtype)
        for n in range(layers)
        for name, shape in LAYER.items()
    }


FLAT = stream(model(7))
LONG = stream(model(14))
MIXED = stream(
    {
        f"{name}.{kind}": torch.ones(3, dtype=kind)
        for name in "abcdef"
        for kind in (torch.float32, torch.int64)
    }
)
SEVEN = model(7)
TIED = stream({**SEVEN, "head": SEVEN["layers.3.mlp.cube"], "again": [SEVEN["layers.5.norm.scale"]]})
VIEWS = stream({f"view.{n}": torch.arange(60.0)[n : n + 9 : 2] for n in range(20)})
NESTED = stream(
    {"state_dict": OrderedDict(model(8)), "optimizer": {"state": list(model(2).values())}, "epoch": 3}
)
MODULE = stream(torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(8))).state_dict())
STREAMS = {"flat": FLAT, "mixed": MIXED, "tied": TIED, "views": VIEWS, "nested": NESTED, "module": MODULE}


@pytest.mark.parametrize("case", STREAMS)
def test_checkpoints_have_records_that_are_taken_whole_and_read_alike(case):
    assert run(STREAMS[case]).runs
    assert facts(STREAMS[case], fast=True) == facts(STREAMS[case], fast=False)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(sorted(STREAMS)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_mutated_checkpoints_are_read_alike(case, changes):
    data = bytearray(STREAMS[case])
    for place, byte in changes:
        data[place % len(data)] = byte
    assert facts(bytes(data), fast=True) == facts(bytes(data), fast=False)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.binary(max_size=12))
def test_checkpoints_with_a_piece_replaced_are_read_alike(place, length, other):
    for data in (FLAT, TIED):
        start = place % len(data)
        mutant = data[:start] + other + data[start + length % 200 :]
        assert facts(mutant, fast=True) == facts(mutant, fast=False)


def test_opcodes_exchanged_within_checkpoints_are_read_alike():
    draw = random.Random(11)  # noqa: S311  # reproducible, not secret
    for _ in range(300):
        data = bytearray(draw.choice((FLAT, MIXED, TIED, NESTED)))
        for _ in range(draw.choice((1, 1, 2, 5))):
            data[draw.randrange(len(data))] = draw.choice(
                b"KMJXhjqr(tRQbsu}])Nq.\x85\x86\x87\x88\x89\x94\x00\x01\x02"
            )
        assert facts(bytes(data), fast=True) == facts(bytes(data), fast=False)


def test_generated_checkpoints_are_read_alike(tmp_path):
    for path in checkpoints.generate(tmp_path, 40, seed=21):
        data = path.read_bytes()
        if zipfile.is_zipfile(path):
            main = read_directory(BytesReader(data)).member(0)
            data = read_member(BytesReader(data), main, main.size)
        else:
            data = data[data.index(b"\x80\x02", 40) :]
        assert facts(data, fast=True) == facts(data, fast=False)


def test_a_checkpoint_longer_than_the_window_is_taken_by_its_runs():
    data = stream({f"experts.{n}.weight": torch.ones(2) for n in range(2600)})
    outcome = run(data)
    assert sum(len(one.names) for one in outcome.runs) > 2550
    assert facts(data, fast=True) == facts(data, fast=False)
    assert count_of(contents_of(outcome.value).all) == 2600


def test_behind_the_first_windows_too_next_to_no_opcode_is_read_by_itself(monkeypatch):
    data = stream({f"experts.{n}.weight": torch.ones(2) for n in range(9000)})
    assert len(data) > 3 * WINDOW_BYTES
    single, step = [], Machine._step
    monkeypatch.setattr(Machine, "_step", lambda self: (single.append(self.position), step(self)))
    outcome = run(data)
    assert (count_of(contents_of(outcome.value).all), len(single) < 50) == (9000, True)


def test_the_counts_of_a_run_are_those_of_its_tensors():
    outcome = run(FLAT)
    whole = contents_of(outcome.value)
    apart = tuple(contents_of(run(FLAT, fast=False).value).tensors)
    assert any(hasattr(part, "run") for part in whole.all)
    for count in (count_of, types_of, elements_of, stored_bytes):
        assert count(whole.all) == count(apart)


def test_a_legacy_checkpoint_is_read_alike():
    data = saved(model(6), _use_new_zipfile_serialization=False)
    data = data[data.index(b"\x80\x02}") :]
    assert facts(data, fast=True) == facts(data, fast=False)


def changed(old: bytes, new: bytes, data: bytes = LONG, nth: int = 20) -> bytes:
    """The stream with the n-th place of some bytes changed."""
    place = -1
    for _ in range(nth):
        place = data.index(old, place + 1)
    return data[:place] + new + data[place + len(old) :]


PUT = b"r" + struct.pack("<I", 300)
LIES = {
    "a name that is longer than its record says": changed(b"X\x1e\0\0\0", b"X\x1d\0\0\0", nth=5),
    "a key that is longer than its record says": changed(b"X\x02\0\0\0", b"X\x01\0\0\0"),
    "a memo entry set out of turn": changed(PUT, b"r" + struct.pack("<I", 4), nth=1),
    "a memo entry far away": changed(PUT, b"r\xff\xff\xff\x0f", nth=1),
    "another function": changed(b"h\x02((", b"h\x04((", nth=30),
    "another word than storage": changed(b"((h\x03", b"((h\x01", nth=30),
    "a class that is none": changed(b"h\x03h\x04", b"h\x03h\x06", nth=30),
    "a memo entry of the record itself": changed(b"h\x02((", b"j" + struct.pack("<I", 301) + b"((", nth=33),
    "a location that is none": changed(b"h\x06M\x08\x07tr", b"h\x02M\x08\x07tr", nth=3),
    "too few elements": changed(b"h\x06K\x10tr", b"h\x06K\x0ftr", nth=3),
    "too far into its storage": changed(b"QK\0K\x04K\x04\x86", b"QK\x01K\x04K\x04\x86", nth=3),
    "a negative offset": changed(b"QK\0K\x04K\x04\x86", b"QJ\xff\xff\xff\xffK\x04K\x04\x86", nth=3),
    "a shape without its stride": changed(b"K\x04K\x01\x86", b"K\x04\x85", nth=3),
    "a tuple of fewer values than precede it": changed(b"K\x04K\x01\x86", b"K\x04K\x01\x85", nth=3),
    "hooks of another class": changed(b"\x89h\n)R", b"\x89h\x02)R", nth=30),
    "a stream that breaks off": LONG[: len(LONG) * 2 // 3],
    "an odd value before the names": LONG.replace(b"}q\x00(", b"}q\x00(N", 1),
    "no dict to set them in": LONG.replace(b"}q\x00(", b"]q\x00(", 1),
    "no mark below them": LONG.replace(b"}q\x00(", b"}q\x00)", 1),
}


@pytest.mark.parametrize("case", LIES)
def test_a_lie_within_a_run_is_reported_as_it_is_one_opcode_at_a_time(case):
    assert facts(LIES[case], fast=True) == facts(LIES[case], fast=False)
    outcome = run(LIES[case])
    assert outcome.issues or case == "a memo entry set out of turn"


def test_memo_entries_of_a_run_can_be_asked_for_and_set_again():
    end = LONG.index(b"u.")
    for tail in (
        b"uj" + struct.pack("<I", 305) + b"\x86.",
        b"uh\x02r" + struct.pack("<I", 305) + b"0j" + struct.pack("<I", 305) + b"\x86.",
        b"uN\x94h\x02\x94j" + struct.pack("<I", 350) + b"0.",
        b"uj" + struct.pack("<I", 5000) + b".",
    ):
        data = LONG[:end] + tail
        assert facts(data, fast=True) == facts(data, fast=False)


def test_a_global_behind_a_run_is_found():
    end = LONG.index(b"u.")
    data = LONG[:end] + b"X\x01\0\0\0xcos\nsystem\nX\x02\0\0\0id\x85Ru."
    assert audit(data).verdict is Verdict.DANGEROUS
    assert facts(data, fast=True) == facts(data, fast=False)


@pytest.mark.parametrize(
    "hide", [lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="), bytes.hex]
)
def test_a_pickle_hidden_in_a_tensors_name_is_found(hide):
    name = f"layer.{hide(EVIL_4)}.weight"
    state = {
        **model(14),
        name: torch.ones(2, dtype=torch.float16),
        "last": torch.ones(2, dtype=torch.float16),
    }
    data = stream(state)
    found = [list(search(run(data, fast=fast), BytesReader(data))) for fast in (True, False)]
    assert [one.code for one in found[0]] == ["embedded-pickle"]
    assert found[0] == found[1]


def test_a_name_that_is_set_twice_counts_once():
    data = LONG.replace(b"layers.7.norm.scale", b"layers.6.norm.scale")
    assert facts(data, fast=True) == facts(data, fast=False)
    assert count_of(contents_of(run(data).value).all) == 69


def test_a_model_of_many_tensors_is_read_as_torch_reads_it(tmp_path):
    from tests.plugins.modelshelf_pytorch.containers.test_checkpoint import headers, ours

    path = tmp_path / "model.pt"
    torch.save(model(40), path)
    result = look(path)
    assert (result.status, result.findings) == (HealthStatus.HEALTHY, ())
    assert ours(path) == headers(torch.load(path, weights_only=True))
    assert result.metadata.parameters == sum(one.numel() for one in model(40).values() if one.shape)
    assert result.metadata.tensor_count == 200


def test_data_that_is_no_state_dict_is_not_mistaken_for_a_run():
    data = pickle.dumps({"a": [1, (2, 3)], "b": "c" * 40}, 2)
    assert run(data).runs == []
