"""One allowance a file: whatever its members inflate to, and however slowly their headers parse."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from modelshelf.errors import ReadError
from modelshelf.model import HealthStatus
from modelshelf.reader import HEAD_BLOCK
from modelshelf_pytorch import allowance
from modelshelf_pytorch.allowance import Allowance
from modelshelf_pytorch.readers import BytesReader
from modelshelf_pytorch.zip.read import open_member, read_directory, read_member
from tests.plugins.modelshelf_pytorch.forge import EVIL, Entry, archive, checkpoint, look_at

SLOW = "[" + "('a',[('b','u1')])," * 3000 + "]"


def array(descr: str, data: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def deflated(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return stream.getvalue()


def test_an_array_of_objects_behind_600_slow_headers_is_found(tmp_path):
    slow = {f"a{number}.npy": array(SLOW, bytes(3000)) for number in range(600)}
    data = deflated({**slow, "z.npy": array("'|O'", EVIL)})
    result = look_at(tmp_path, data, "arrays.npz")
    assert result.status is HealthStatus.UNHEALTHY
    assert {"not-judged", "object-array", "unsafe-global"} <= set(result.codes)
    result = look_at(tmp_path, deflated(slow), "arrays.npz")
    assert (result.status, set(result.codes)) == (HealthStatus.UNKNOWN, {"not-judged"})


def test_very_many_arrays_of_numbers_are_sound(tmp_path):
    stream = io.BytesIO()
    np.savez_compressed(stream, **{f"a{number}": np.zeros(9) for number in range(3000)})
    result = look_at(tmp_path, stream.getvalue(), "arrays.npz")
    assert (result.status, result.metadata.parameters) == (HealthStatus.HEALTHY, 27_000)


def test_members_share_what_may_be_inflated_of_a_file(monkeypatch):
    monkeypatch.setattr(allowance, "_MOST_INFLATED", 10_000)
    reader = BytesReader(deflated({"a": bytes(6000), "b": bytes(6000)}), allowance=Allowance())
    first, second = read_directory(reader).members
    assert read_member(reader, first, 6000) == bytes(6000)
    with pytest.raises(ReadError) as raised:
        read_member(reader, second, 6000)
    assert raised.value.code == "not-judged"


def test_an_archive_within_an_archive_has_no_allowance_of_its_own():
    outer = BytesReader(deflated({"inner.zip": deflated({"a": bytes(6000)})}))
    (member,) = read_directory(outer).members
    inner = open_member(outer, member)
    assert read_directory(inner).allowance is read_directory(outer).allowance is outer.allowance


def test_of_a_member_whose_head_is_wanted_no_more_is_inflated():
    reader = BytesReader(deflated({"a": bytes(10_000_000)}))
    (member,) = read_directory(reader).members
    before = reader.allowance.inflated
    assert open_member(reader, member, whole=False).read(0, 10) == bytes(10)
    assert before - reader.allowance.inflated <= HEAD_BLOCK


def test_members_that_lie_in_one_another_are_found_before_one_is_read(tmp_path):
    whole = deflated({"000.npy": array(SLOW, bytes(3000))})
    start = whole.rindex(b"PK\x01\x02")
    entry, end = whole[start:-22], bytearray(whole[-22:])
    count = 200
    end[8:12] = count.to_bytes(2, "little") * 2
    end[12:16] = (count * len(entry)).to_bytes(4, "little")
    entries = b"".join(entry.replace(b"000.npy", b"%03d.npy" % number) for number in range(count))
    result = look_at(tmp_path, whole[:start] + entries + bytes(end), "arrays.npz")
    assert result.status is HealthStatus.UNHEALTHY
    assert "zip-overlap" in result.codes
    assert result.metadata.parameters is None


@pytest.mark.parametrize(
    ("junk", "method"),
    [
        *((b"N0" * 3000, method) for method in (0, 8)),
        *((b"A" * 5000, method) for method in (0, 8)),
        *((b"\xff" * 2_000_000 + b"\n", method) for method in (0, 8)),
        (b"N0" * 600_000, 0),
    ],
)
def test_a_pickle_without_a_protocol_is_found_behind_junk_of_any_length(tmp_path, junk, method):
    member = Entry(name=b"archive/extra", content=junk + EVIL, method=method)
    assert "unsafe-global" in look_at(tmp_path, checkpoint(member)).codes


def test_junk_that_inflates_to_more_opcodes_than_are_judged_is_never_healthy(tmp_path):
    member = Entry(name=b"archive/extra", content=b"N0" * 600_000 + EVIL, method=8)
    assert "not-judged" in look_at(tmp_path, checkpoint(member)).codes


@pytest.mark.parametrize("names", [b"\x8c\x02os\x8c\x06system", b"X\x02\0\0\0osX\x06\0\0\0system"])
def test_names_on_the_stack_are_found_there_too(tmp_path, names):
    call = names + b"\x93\x8c\x02id\x85R."
    result = look_at(tmp_path, checkpoint(Entry(name=b"archive/extra", content=b"\xff" * 9000 + call)))
    assert "unsafe-global" in result.codes


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("x", "X", True),
        ("stra\u00dfe", "strasse", False),  # which are the same to str.casefold, and to nobody who loads it
        ("\u212a", "k", False),
        ("\u00e9", "\u00c9", False),
    ],
)
def test_names_are_compared_as_torch_compares_them(tmp_path, one, other, same):
    members = [Entry(name=f"archive/{name}".encode(), content=b"1", flags=0x800) for name in (one, other)]
    assert ("zip-duplicate-name" in look_at(tmp_path, checkpoint(*members)).codes) is same


def test_a_name_of_torchscript_counts_in_its_very_letters_alone(tmp_path):
    """torch.load takes for TorchScript what has constants.pkl, not CONSTANTS.PKL."""
    call = b"\x80\x02c__torch__\nM\n)\x81."
    data = archive(
        Entry(name=b"archive/data.pkl", content=call),
        Entry(name=b"archive/CONSTANTS.PKL", content=b"\x80\x02)."),
        Entry(name=b"archive/version", content=b"3\n"),
    )
    assert look_at(tmp_path, data).status is HealthStatus.UNHEALTHY


def test_code_that_inflates_to_more_than_is_looked_through_is_not_judged(tmp_path):
    text = b"def forward(self): pass\n" * 120_000
    code = [Entry(name=b"archive/code/%d.py" % number, content=text, method=8) for number in range(3)]
    result = look_at(tmp_path, checkpoint(Entry(name=b"archive/constants.pkl", content=b"\x80\x02)."), *code))
    assert "not-judged" in result.codes
    assert result.status is HealthStatus.UNKNOWN


def test_what_comes_behind_more_opcodes_than_are_judged_is_not_called_healthy(tmp_path):
    slow = [Entry(name=b"archive/%d" % number, content=b"\x80\x02" * 2000, method=8) for number in range(300)]
    result = look_at(tmp_path, checkpoint(*slow, Entry(name=b"archive/z", content=EVIL)))
    assert "not-judged" in result.codes
    assert result.status is not HealthStatus.HEALTHY
