"""Archives that torch.load refuses by its own rules: none of them is healthy."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch

from modelshelf.model import HealthStatus
from tests.plugins.modelshelf_pytorch.forge import (
    Entry,
    archive,
    checkpoint,
    checkpoint_pickle,
    look_at,
    saved,
)

MAIN = Entry(name=b"archive/data.pkl", content=checkpoint_pickle())
WEIGHTS = Entry(name=b"archive/data/0", content=bytes(16))
VERSION = Entry(name=b"archive/version", content=b"3\n")


def record(name: bytes, content: bytes) -> bytes:
    return checkpoint(Entry(name=b"archive/" + name, content=content))


def legacy_persistent_id(data: bytes) -> bytes:
    """The same with a sixth part, None, in the storage's persistent id."""
    return data.replace(b"K\x04tQ", b"K\x04NtQ")


REFUSED = {
    "a member without a folder": (checkpoint(Entry(name=b"notes", content=b"ab")), "bad-member-name"),
    "a member in another folder": (checkpoint(Entry(name=b"other/x", content=b"ab")), "bad-member-name"),
    "a first member without a folder": (
        archive(Entry(name=b"notes", content=b"ab"), MAIN, WEIGHTS, VERSION),
        "no-checkpoint",
    ),
    "a first member in another folder": (
        archive(Entry(name=b"other/x", content=b"ab"), MAIN, WEIGHTS, VERSION),
        "no-checkpoint",
    ),
    "no member at all": (b"PK\x03\x04" + archive(), "zip-malformed"),
    "no data.pkl": (archive(WEIGHTS, VERSION), "no-checkpoint"),
    "a data.pkl with a Kelvin sign": (
        archive(
            Entry(name="archive/data.p\u212al".encode(), content=MAIN.content, flags=0x800), WEIGHTS, VERSION
        ),
        "no-checkpoint",
    ),
    "no version": (archive(MAIN, WEIGHTS), "bad-record"),
    "an empty alignment": (record(b".storage_alignment", b""), "bad-record"),
    "an alignment that is no number": (record(b".storage_alignment", b"big"), "bad-record"),
    "an alignment with a NUL": (record(b".storage_alignment", b"64\0"), "bad-record"),
    "an identifier that is no UTF-8": (record(b".data/serialization_id", b"12\x80"), "bad-record"),
    "weights that claim to be encrypted": (
        archive(MAIN, Entry(name=WEIGHTS.name, content=WEIGHTS.content, flags=0x1), VERSION),
        "archive-encrypted",
    ),
    "weights packed by a method that nobody knows": (
        archive(MAIN, Entry(name=WEIGHTS.name, content=WEIGHTS.content, method=99), VERSION),
        "zip-unknown-method",
    ),
    "a name that is no UTF-8": (
        checkpoint(Entry(name=b"archive/\xed\xa0\x80", content=b"ab")),
        "bad-member-name",
    ),
    "a persistent id of a legacy checkpoint": (
        checkpoint(pickle=legacy_persistent_id(checkpoint_pickle())),
        "bad-persistent-id",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_torch_refuses_is_not_healthy(tmp_path, case):
    data, code = REFUSED[case]
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        torch.load(io.BytesIO(data), weights_only=True)
    result = look_at(tmp_path, data)
    assert code in result.codes
    assert (result.format, result.status) != ("pytorch", HealthStatus.HEALTHY)


def test_deflated_weights_that_do_not_inflate_are_unhealthy(tmp_path):
    weights = Entry(name=WEIGHTS.name, content=WEIGHTS.content, method=8, data=b"\xff" * 9)
    assert look_at(tmp_path, archive(MAIN, weights, VERSION)).codes == ["zip-malformed"]


def with_extra_length(data: bytes, name: bytes, length: int) -> bytes:
    """The archive with another extra length in the local header of a member."""
    forged = bytearray(data)
    struct.pack_into("<H", forged, data.index(name) - 2, length)
    return bytes(forged)


@pytest.mark.parametrize("length", [1, 60, 2049, 65535])
def test_weights_whose_own_header_moves_them_into_what_follows_are_dangerous(tmp_path, length):
    result = look_at(tmp_path, with_extra_length(checkpoint(), WEIGHTS.name, length))
    assert ("zip-overlap", result.status) == (result.codes[0], HealthStatus.UNHEALTHY)


def test_the_padding_that_torch_writes_into_local_headers_is_sound(tmp_path):
    data = saved({f"w{number}": torch.ones(number) for number in range(20)})
    place = data.index(b"archive/data/7")
    padding = int.from_bytes(data[place - 2 : place], "little")
    assert padding > 0
    assert look_at(tmp_path, data).findings == ()
    # Sixteen bytes of a data descriptor follow the weights: that far they could move without an overlap.
    forged = with_extra_length(data, b"archive/data/7", padding + 17)
    assert look_at(tmp_path, forged).codes == ["zip-overlap"]


@pytest.mark.parametrize("number", [3, 40])
def test_a_six_part_persistent_id_in_a_run_of_tensors_is_found(tmp_path, number):
    data = saved({f"layer.{one}.weight": torch.ones(2) for one in range(number)})
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
    main = contents["archive/data.pkl"]
    contents["archive/data.pkl"] = main.replace(b"K\x02t", b"K\x02Nt")
    assert contents["archive/data.pkl"] != main
    forged = archive(*(Entry(name=name.encode(), content=one) for name, one in contents.items()))
    with pytest.raises(ValueError, match="unpack"):
        torch.load(io.BytesIO(forged), weights_only=True)
    assert look_at(tmp_path, forged).codes == ["bad-persistent-id"]


@pytest.mark.parametrize("number", [1, 40])
def test_a_legacy_checkpoint_whose_persistent_ids_have_five_parts_is_found(tmp_path, number):
    state = {f"layer.{one}.weight": torch.ones(2) for one in range(number)}
    data = saved(state, _use_new_zipfile_serialization=False)
    forged = data.replace(b"K\x02Nt", b"K\x02t")
    assert forged != data
    with pytest.raises(ValueError, match="unpack"):
        torch.load(io.BytesIO(forged), weights_only=True)
    assert look_at(tmp_path, forged).codes == ["legacy-malformed"]


@pytest.mark.parametrize("text", [b"I03", b"I-010", b"L007L"])
def test_a_number_with_a_leading_zero_is_malformed(tmp_path, text):
    """C's unpickler counts it by eights, Python's refuses it; what follows is looked at all the same."""
    result = look_at(tmp_path, b"(lp0\n" + text + b"\n0\x8c\x05posix\x8c\x06system\x93.", "data.pkl")
    assert {"pickle-malformed", "unsafe-global"} <= set(result.codes)
    assert look_at(tmp_path, b"(lp0\nI30\naI0\naI-7\naL-5L\na.", "data.pkl").findings == ()


@pytest.mark.parametrize(("needed", "sound"), [(20, True), (63, True), (64, False), (146, False)])
def test_a_version_of_zip_that_does_not_exist_is_found_as_zipfile_does(tmp_path, needed, sound):
    stream = io.BytesIO()
    np.savez(stream, a=np.ones(2), b=np.ones(3), c=np.ones(1), d=np.ones(4), e=np.ones(5))
    data = bytearray(stream.getvalue())
    data[data.rindex(b"PK\x01\x02") + 6] = needed
    result = look_at(tmp_path, bytes(data), "arrays.npz")
    assert result.codes == ([] if sound else ["zip-odd-version"])
    if not sound:
        with pytest.raises(NotImplementedError):
            np.load(io.BytesIO(bytes(data)))


def test_a_broken_extra_field_is_found_as_zipfile_does(tmp_path):
    more = Entry(name=b"more.npy", content=npy(b"(2,)"), extra=b"\x75\x70\xff\xff")
    data = archive(Entry(name=b"a.npy", content=npy(b"(2,)")), more)
    with pytest.raises(zipfile.BadZipFile):
        np.load(io.BytesIO(data))
    assert look_at(tmp_path, data, "arrays.npz").codes == ["zip-odd-extra"]


def npy(shape: bytes, version: int = 1, space: bytes = b" ") -> bytes:
    """A ``.npy`` file of two bytes."""
    header = b"{'descr': '|u1', 'fortran_order': False,%b'shape': %b, }\n" % (space, shape)
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY%c\0" % version + length + header + bytes(2)


@pytest.mark.parametrize(
    ("data", "sound"),
    [
        (npy(b"(2,)", 3), True),
        (npy(b"(2L,)"), True),
        (npy(b"(2L,)", 3), False),
        (npy(b"(2,)", 1, b"\xa0"), False),
    ],
)
@pytest.mark.filterwarnings("ignore:Reading `.npy`")
def test_a_header_is_read_as_numpy_reads_it(tmp_path, data, sound):
    result = look_at(tmp_path, data, "array.npy")
    assert result.codes == ([] if sound else ["npy-malformed"])
    if sound:
        assert np.load(io.BytesIO(data)).shape == (2,)
    else:
        with pytest.raises(ValueError, match="header"):
            np.load(io.BytesIO(data))


@pytest.mark.parametrize(
    "key",
    [
        b"\x96\x01\x00\x00\x00\x00\x00\x00\x00a",
        b"cbuiltins\nbytearray\n)R",
        b"cbuiltins\nbytearray\nC\x01a\x85R",
        b"cbuiltins\nbytearray\nX\x01\x00\x00\x00aX\x05\x00\x00\x00ascii\x86R",
    ],
)
def test_a_bytearray_is_no_key(tmp_path, key):
    data = b"\x80\x05}" + key + b"Ns."
    with pytest.raises(TypeError, match="unhashable"):
        pickle.loads(data)  # noqa: S301  # made here
    assert "pickle-malformed" in look_at(tmp_path, data, "data.pkl").codes


ODD_CALLS = {
    "an encoding that is a list": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00a]\x86R.",
    "a layout of what no layout is given": (
        b"\x80\x02ctorch._utils\n_rebuild_sparse_tensor\nctorch.serialization\n_get_layout\n"
        b"ctorch.serialization\n_get_layout\n)RR)\x86R."
    ),
}


@pytest.mark.parametrize("case", ODD_CALLS)
def test_a_call_whose_arguments_are_odd_is_reported_and_no_crash(tmp_path, case):
    assert "bad-arguments" in look_at(tmp_path, checkpoint(pickle=ODD_CALLS[case])).codes


def test_a_script_whose_class_is_made_by_a_call_is_reported_and_no_crash(tmp_path):
    pickle = b"\x80\x02c__torch__\nA\n)R)R."
    data = checkpoint(Entry(name=b"archive/constants.pkl", content=b"\x80\x02)."), pickle=pickle)
    assert look_at(tmp_path, data).status is HealthStatus.UNHEALTHY


def test_an_empty_record_that_claims_to_be_encrypted_is_found(tmp_path):
    data = checkpoint(Entry(name=b"archive/.format_version", content=b"", flags=0x1))
    with pytest.raises(RuntimeError, match="encryption"):
        torch.load(io.BytesIO(data), weights_only=True)
    assert look_at(tmp_path, data).codes == ["archive-encrypted"]


@pytest.mark.parametrize(
    "name", ["archive/.data/extern_modules", "archive/archive_format", "serialized_exported_program.json"]
)
def test_an_archive_of_another_loader_of_torch_is_not_said_to_lack_a_checkpoint(tmp_path, name):
    root = name.partition("/")[0] + "/" if "/" in name else ""
    data = archive(
        Entry(name=name.encode(), content=b"{}"), Entry(name=root.encode() + b"version", content=b"0")
    )
    assert look_at(tmp_path, data, "model.pt2").findings == ()
