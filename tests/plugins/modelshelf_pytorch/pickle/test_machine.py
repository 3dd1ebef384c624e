from __future__ import annotations

import io
import pickle
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_pytorch.pickle import machine
from modelshelf_pytorch.pickle.machine import Machine
from modelshelf_pytorch.pickle.outcome import Dialect, Limits
from modelshelf_pytorch.pickle.symbols import expanded_size
from modelshelf_pytorch.readers import BytesReader
from modelshelf_pytorch.tensors import contents_of
from tests.fuzz.pickles import generate
from tests.plugins.modelshelf_pytorch.forge import saved

DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=5), inner, max_size=5)
        | st.tuples(inner)
    ),
    max_leaves=20,
)


def run(data: bytes, **options):
    return Machine(BytesReader(data), 0, len(data), **options).run()


def codes(data: bytes, **options) -> list[str]:
    return [issue.code for issue in run(data, **options).issues]


def facts(data: bytes, *, fast: bool):
    outcome = run(data, fast=fast)
    uses = [(use.module, use.name, use.offset, use.allowed, use.called) for use in outcome.globals]
    stores = [(one.dtype, one.key, one.location, one.elements, one.offset) for one in outcome.storages]
    tensors = [
        (one.name, one.tensor.dtype, one.tensor.shape, one.tensor.stride, one.tensor.start)
        for one in contents_of(outcome.value).tensors
    ]
    return (
        outcome.end,
        outcome.stopped,
        outcome.issues,
        uses,
        stores,
        outcome.strings,
        tensors,
        expanded_size(outcome.value, 10**6),
    )


@settings(deadline=None, max_examples=150)
@given(DATA, st.integers(0, 5))
def test_data_of_any_protocol_is_followed_to_its_end_without_an_issue(value, protocol):
    data = pickle.dumps(value, protocol)
    outcome = run(data)
    assert (outcome.stopped, outcome.end, outcome.issues) == (True, len(data), [])


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.binary(max_size=20))
def test_any_bytes_are_judged_alike_by_the_fast_loop_and_the_single_step(data, tail):
    for one in (data, b"\x80\x02" + data, pickle.dumps({"a": [1, (2, 3)]}, 2)[:-1] + tail):
        assert facts(one, fast=True) == facts(one, fast=False)


def test_checkpoints_are_judged_alike_by_the_fast_loop_and_the_single_step():
    import torch

    state = {f"layer.{number}.weight": torch.ones(3, number + 1) for number in range(300)}
    data = saved(state, _use_new_zipfile_serialization=False)
    pickles = [data[start:] for start in (0, data.index(b"\x80\x02}"))]
    for one in [*pickles, *generate(300, seed=7)]:
        assert facts(one, fast=True) == facts(one, fast=False)


def test_mutants_are_judged_alike_by_the_fast_loop_and_the_single_step():
    import torch

    whole = saved({"a": torch.ones(3, 2), "b": torch.ones(2)})
    start = whole.index(b"\x80\x02")
    data = whole[start : whole.index(b".PK", start) + 1] if b".PK" in whole else whole[start : start + 400]
    draw = random.Random(1)  # noqa: S311  # reproducible, not secret
    for _ in range(1500):
        mutant = bytearray(data)
        mutant[draw.randrange(len(mutant))] = draw.randrange(256)
        assert facts(bytes(mutant), fast=True) == facts(bytes(mutant), fast=False)


@settings(deadline=None, max_examples=200)
@given(DATA, st.integers(0, 5), st.data())
def test_whatever_is_clean_data_the_real_unpickler_loads(value, protocol, draw):
    data = bytearray(pickle.dumps(value, protocol))
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    outcome = run(bytes(data))
    if not outcome.issues and not outcome.globals and not outcome.storages:
        Refusing(io.BytesIO(bytes(data))).load()  # must not raise: nothing is named, so nothing can run


class Refusing(pickle.Unpickler):
    def find_class(self, module, name):
        raise AssertionError(f"{module}.{name} was named unnoticed")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"h\x01.", "pickle-malformed"),  # a memo entry that was never made
        (b"\x80\x04K\x01K\x02\x93.", "pickle-malformed"),  # STACK_GLOBAL of numbers
        (b"\x80\x04C\x02osC\x06system\x93.", "pickle-malformed"),  # STACK_GLOBAL of bytes
        (b"\x80\x02]\x80\x02.", "misplaced-proto"),
        (b"\x80\x02\x80\x02].", "misplaced-proto"),
        (b"\x80\x06].", "pickle-malformed"),
        (b"\x82\x01.", "extension-opcode"),
        (b"\x83\x01\x01.", "extension-opcode"),
        (b"\x84\x01\x00\x00\x00.", "extension-opcode"),
        (b"ctorch\nSize\n}b.", "build-on-global"),
        (b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00\x8c\x05abcde.", "frame-mismatch"),
        (b"\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00].", "pickle-truncated"),
        (b"\x80\x04\x95\x04\x00\x00\x00\x00\x00\x00\x00].]]", "frame-mismatch"),
        (
            b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x95\x01\x00\x00\x00\x00\x00\x00\x00].",
            "frame-mismatch",
        ),
        (b"]", "pickle-truncated"),
        (b"", "pickle-truncated"),
        (b"\xff.", "pickle-malformed"),
        (b"0.", "pickle-malformed"),
        (b"t.", "pickle-malformed"),
        (b"](K\x01u.", "pickle-malformed"),
        (b"](K\x01K\x01u.", "bad-target"),
        (b"}K\x01a.", "bad-target"),
        (b"}(]K\x01u.", "pickle-malformed"),  # a list as a key
        (b"X\x02\x00\x00\x00\xff\xfe.", "pickle-malformed"),
        (b"P1\n.", "bad-persistent-id"),
        (b"K\x01Q.", "bad-persistent-id"),
        (b"X\x06\x00\x00\x00module\x85Q.", "bad-persistent-id"),
        (b"\x97.", "pickle-malformed"),
        (b"]r\xff\xff\xff\x0f.", "memory-bomb"),
        (b"]p268435455\n.", "memory-bomb"),
        (b"cbuiltins\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R.", "bad-arguments"),
        (b"ctorch\nFloatTensor\nJ\xff\xff\xff\x7f\x85R.", "bad-arguments"),
        (b"ctorch._utils\n_rebuild_tensor\n)\x81.", "bad-arguments"),  # NEWOBJ of a function
        (b"ctorch\nSize\n)\x81}(K\x01K\x01ub.", "bad-target"),
        (b"U\x02\xff\xfe.", "python2-bytes"),
        (b"]].", "left-on-stack"),
    ],
)
def test_a_trick_is_an_issue(data, code):
    assert code in codes(data)
    assert code in codes(data, fast=False)


def test_a_global_is_named_with_its_byte_offset_and_whether_it_is_called():
    outcome = run(b"\x80\x02]cos\nsystem\n(tRcposix\nsystem\n0.")
    assert [(use.module, use.name, use.offset, use.called) for use in outcome.globals] == [
        ("os", "system", 3, True),
        ("posix", "system", 17, False),
    ]
    assert [(issue.code, issue.offset) for issue in outcome.issues if issue.code == "unsafe-global"] == [
        ("unsafe-global", 3),
        ("unsafe-global", 17),
    ]


def test_a_global_without_its_last_newline_is_named_all_the_same():
    assert codes(b"\x80\x02cos\nsystem") == ["unsafe-global", "pickle-truncated"]


def test_a_dotted_attribute_is_not_the_class_that_it_begins_with():
    assert "unsafe-global" in codes(b"ccollections\nOrderedDict.fromkeys\n.")


def test_classes_that_an_archive_defines_are_allowed_in_torchscript_alone():
    data = b"\x80\x02c__torch__.model\nNet\n)\x81}b."
    assert codes(data) == ["unsafe-global"]
    assert codes(data, dialect=Dialect.TORCHSCRIPT) == []


def test_a_thing_that_a_refused_call_gave_is_not_called_unnoticed():
    assert codes(b"cos\nsystem\n)R)R.") == ["unsafe-global", "unsafe-call"]


@pytest.mark.parametrize("unit", [b"]", b"}", b"\x85", b"(", b"2", b")R", b"\x94", b"N", b"]a"])
def test_memory_stays_bounded_whatever_is_repeated(unit):
    data = b"\x80\x04N" + unit * (160_000 // len(unit))
    tracemalloc.start()
    run(data, limits=Limits(objects=50_000, depth=25_000, structure=100_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 1024 * 1024


def test_a_stream_of_too_many_objects_is_not_judged_and_not_called_damaged():
    assert codes(b"]" * 5000, limits=Limits(objects=1000)) == ["not-judged"]


def test_a_vocabulary_of_600_000_entries_is_judged():
    data = pickle.dumps({f"token{number:07d}": number for number in range(600_000)}, 2)
    assert codes(data) == []


@pytest.mark.parametrize("number", [1.5, 2, 300, 70_000])
def test_numbers_of_a_long_list_are_judged_in_bounded_memory(number, monkeypatch):
    monkeypatch.setattr(machine, "KEPT_NUMBERS", 10_000)
    batch = pickle.dumps([number] * 1000, 2)[len(b"\x80\x02]q\x00") : -1]
    data = b"\x80\x02]" + batch * 3000 + b"."
    stream = Machine(BytesReader(data), 0, len(data), limits=Limits(memory=16 * 1024 * 1024))
    outcome = stream.run()
    assert (outcome.stopped, outcome.issues) == (True, [])
    assert len(outcome.value) < 200_000


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_what_outgrows_the_memory_is_not_judged_unless_it_was_dangerous_before(protocol):
    data = pickle.dumps([f"text{number}" for number in range(50_000)], protocol)
    assert codes(data, limits=Limits(memory=1 << 20)) == ["not-judged"]
    call = b"cos\nsystem\n)R0"
    assert codes(call + data[2 * (protocol > 0) :], limits=Limits(memory=1 << 20))[0] == "unsafe-global"


MEMORY_UNITS = [
    b"]", b"}", b"\x85", b"(", b"2", b")R", b"\x94", b"N", b"]a", b"(((", b"\x8f", b"K\x01", b"Mab", b"Jabcd",
    b"X\x03\x00\x00\x00\xe4\xb8\xad", b"X\x08\x00\x00\x00abcdefgh", b"\x8c\x02ab",
    b"C\x04abcd", b"C\x01a",
    b"Gabcdefgh", b"I300\n", b"F1\n", b"S'ab'\n", b"Vab\n", b"h\x00", b"2\x86", b"}NNs", b"](NNNe", b"(NNl",
    b"(NNd",
    b"(Nt",
]  # fmt: skip


@pytest.mark.parametrize("unit", MEMORY_UNITS)
def test_the_estimate_of_memory_is_not_far_below_what_is_taken(unit):
    data = b"\x80\x04Nq\x00" + unit * (20_000 // len(unit))
    stream = Machine(BytesReader(data), 0, len(data))
    run(data)
    tracemalloc.start()
    stream.run()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert stream.memory > taken * 0.7 - 50_000
