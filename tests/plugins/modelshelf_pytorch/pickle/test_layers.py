"""Layers that repeat are guessed: a stack read so gives what it gives one opcode at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.model import HealthStatus
from modelshelf_pytorch.pickle.tensor_records import last_layer
from modelshelf_pytorch.tensors import contents_of, count_of, stored_bytes
from tests.plugins.modelshelf_pytorch.forge import look
from tests.plugins.modelshelf_pytorch.pickle.test_machine import facts, run
from tests.plugins.modelshelf_pytorch.pickle.test_tensor_records import stream

LAYER = {"attn.weight": (4, 4), "attn.bias": (4,), "norm": (), "mlp.weight": (300, 2, 3)}
State = dict[str, torch.Tensor]


def layers(numbers: range, name: str = "layers.{}.{}", dtype: torch.dtype = torch.float16) -> State:
    return {
        name.format(number, part): torch.ones(shape, dtype=dtype)
        for number in numbers
        for part, shape in LAYER.items()
    }


def without(state: State, name: str) -> State:
    return {key: value for key, value in state.items() if key != name}


def replaced(state: State, name: str, value: torch.Tensor) -> State:
    return {**state, name: value}


STACK = layers(range(120))
ODD = {
    "one tensor more in a layer": {
        **layers(range(17)),
        "layers.16.gate": torch.ones(2),
        **layers(range(17, 40)),
    },
    "one tensor less in a layer": without(layers(range(40)), "layers.21.norm"),
    "another shape in a layer": replaced(layers(range(40)), "layers.30.attn.weight", torch.ones(2, 8).half()),
    "another type in a layer": replaced(layers(range(40)), "layers.30.attn.bias", torch.ones(4)),
    "a last layer that is cut": dict(list(layers(range(40)).items())[:-2]),
    "numbers that do not begin at 0": layers(range(7, 60)),
    "numbers with zeros before them": layers(range(40), "layers.{:02}.{}"),
    "numbers that jump": layers(range(0, 90, 3)),
    "numbers that fall": layers(range(40, 0, -1)),
    "one name for two layers": layers(range(20)) | layers(range(15, 40)),
    "two stacks": layers(range(30), "encoder.{}.{}") | layers(range(30), "decoder.{}.{}"),
    "two stacks of other types": layers(range(30), "a.{}.{}") | layers(range(30), "b.{}.{}", torch.bfloat16),
    "numbers alone": layers(range(40), "{}.{}"),
    "numbers last": {f"experts.{number}": torch.ones(2) for number in range(90)},
    "numbers in numbers": {
        f"blocks.{outer}.experts.{inner}.w": torch.ones(2) for outer in range(9) for inner in range(7)
    },
    "two parts of one layer share": replaced(
        layers(range(40)), "layers.12.mlp.weight", STACK["layers.3.mlp.weight"]
    ),
    "a storage that two layers share": replaced(
        STACK, "layers.80.mlp.weight", STACK["layers.3.mlp.weight"].view(2, 300, 3)
    ),
    "a tensor that two layers share": replaced(STACK, "layers.80.mlp.weight", STACK["layers.3.mlp.weight"]),
    "names as long as names can be": layers(range(98, 102), "x" * 240 + ".{}.{}") | layers(range(40)),
}


@pytest.mark.parametrize("case", ODD)
def test_a_stack_that_is_not_all_alike_is_read_as_it_is_one_opcode_at_a_time(case):
    data = stream(ODD[case])
    assert facts(data, fast=True) == facts(data, fast=False)
    whole, apart = (contents_of(run(data, fast=fast).value) for fast in (True, False))
    assert count_of(whole.all) == len(ODD[case])
    assert stored_bytes(whole.all) == stored_bytes(tuple(apart.tensors))


def test_a_stack_is_matched_in_few_segments():
    (taken,) = run(stream(STACK)).runs
    assert len(taken.names) == len(STACK) - 1  # the first names what the others ask the memo for
    assert len(taken.segments) < 8


SAVED = stream(layers(range(40)))


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=3))
def test_mutated_stacks_are_read_alike(changes):
    data = bytearray(SAVED)
    for place, byte in changes:
        data[place % len(data)] = byte
    assert facts(bytes(data), fast=True) == facts(bytes(data), fast=False)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 300), st.integers(0, 10**6))
def test_stacks_with_a_piece_moved_are_read_alike(start, length, to):
    start %= len(SAVED)
    piece, rest = SAVED[start : start + length], SAVED[:start] + SAVED[start + length :]
    data = rest[: to % len(rest)] + piece + rest[to % len(rest) :]
    assert facts(data, fast=True) == facts(data, fast=False)


def test_what_two_layers_share_counts_once_in_the_metadata(tmp_path):
    for case in ("a storage that two layers share", "a tensor that two layers share"):
        path = tmp_path / "model.pt"
        torch.save(ODD[case], path)
        result = look(path)
        size = sum(
            {
                one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in ODD[case].values()
            }.values()
        )
        assert result.status is HealthStatus.HEALTHY
        assert result.metadata.bits_per_weight == round(8 * size / result.metadata.parameters, 3)


@pytest.mark.parametrize(
    ("names", "keys", "found"),
    [
        (b"e a.0.x a.0.y a.1.x", b"0 1 2 3", (1, 3)),
        (b"e a.0.x a.0.y a.1.x a.1.y a.2.x", b"0 1 2 3 4 5", (3, 5)),
        (b"a.0.x a.0.y a.1.x", b"1 2 3", None),  # the first layer may have begun before
        (b"e a.0.x a.0.y a.1.x", b"0 1 3 4", None),
        (b"e a.0.x a.0.y a.2.x", b"0 1 2 3", None),
        (b"e a.00.x a.01.x", b"0 1 2", None),
        (b"e a.0.x a.0.y", b"0 1 2", None),
        (b"e a b", b"0 1 2", None),
        (b"e a.0 a.1", b"0 1 2", None),
    ],
)
def test_the_last_whole_layer_is_found(names, keys, found):
    layer = last_layer(names.split(), keys.split())
    assert (layer and (layer.start, layer.stop)) == found
