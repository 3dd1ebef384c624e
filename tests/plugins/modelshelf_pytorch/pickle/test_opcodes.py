from __future__ import annotations

import pickle
import pickletools

import pytest
from torch import _weights_only_unpickler

from modelshelf.errors import FormatError, TruncatedFileError
from modelshelf_pytorch.pickle.opcodes import LONGEST_KEPT, OPCODES, WEIGHTS_ONLY, Window
from modelshelf_pytorch.pickle.symbols import Blob
from modelshelf_pytorch.readers import BytesReader

SAMPLE = {
    "text": "é" * 300,
    "bytes": b"\x00" * 300,
    "int": -5,
    "large": 1 << 200,
    "float": 1.5,
    "true": True,
    "none": None,
    "list": [1, 70000, 1 << 31],
    "set": {1},
    "frozen": frozenset({2}),
    "array": bytearray(b"ab"),
}


def test_the_table_is_that_of_pickletools():
    theirs = {ord(one.code): one.name for one in pickletools.opcodes}
    assert {code: one.name for code, one in OPCODES.items()} == theirs


def test_the_opcodes_of_weights_only_are_those_that_torch_imports():
    names = {name for name, value in vars(_weights_only_unpickler).items() if name in vars(pickle)}
    names &= {one.name for one in OPCODES.values()}
    assert names == WEIGHTS_ONLY


@pytest.mark.parametrize("protocol", range(6))
def test_arguments_read_as_pickletools_reads_them(protocol):
    data = pickle.dumps(SAMPLE, protocol)
    window = Window(BytesReader(data), 0, len(data))
    position = 0
    for theirs, argument, offset in pickletools.genops(data):
        assert offset == position
        ours = OPCODES[data[position]]
        value, position = ours.read(window, position + 1)
        if theirs.name in {"GLOBAL", "INST"}:
            value = " ".join(part.decode() for part in value)
        if theirs.name not in {
            "LONG1",
            "STRING",
        }:  # one of 26 bytes stays an integer, text of Python 2 stays bytes
            assert value == argument or isinstance(value, Blob), theirs.name
    assert position == len(data)


def test_a_long_string_is_measured_and_not_kept():
    data = b"B" + (LONGEST_KEPT + 5).to_bytes(4, "little") + bytes(LONGEST_KEPT + 5)
    blob, end = OPCODES[ord("B")].read(Window(BytesReader(data), 0, len(data)), 1)
    assert (blob.length, len(blob.head), end) == (LONGEST_KEPT + 5, LONGEST_KEPT, len(data))


@pytest.mark.parametrize(
    "data",
    [b"X\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 8, b"\x8b\xff\xff\xff\x7f", b"Vabc", b"cos\nsystem", b"J\x00"],
)
def test_an_argument_past_the_end_is_truncated_and_nothing_is_allocated(data):
    with pytest.raises(TruncatedFileError):
        OPCODES[data[0]].read(Window(BytesReader(data), 0, len(data)), 1)


@pytest.mark.parametrize(
    "data", [b"T\xff\xff\xff\xff", b"I1x\n", b"L" + b"9" * 5000 + b"\n", b"Fzero\n", b"Sabc\n", b"g-1\n"]
)
def test_an_argument_that_no_unpickler_reads_is_malformed(data):
    with pytest.raises(FormatError):
        OPCODES[data[0]].read(Window(BytesReader(data), 0, len(data)), 1)
