"""Archives that inflate to far more than they are: judged within a bound, and compressed arrays are sound."""

from __future__ import annotations

import io
import zipfile
import zlib

import numpy as np
import pytest
import torch

from modelshelf.errors import FormatError
from modelshelf.model import Depth, HealthStatus
from modelshelf_pytorch.containers.issues import examine
from modelshelf_pytorch.pickle.embedded import MOST_OPCODES, Effort
from modelshelf_pytorch.readers import BytesReader, DeflatedReader
from tests.plugins.modelshelf_pytorch.forge import EVIL_4, Entry, archive, look_at, saved

MAIN = Entry(name=b"archive/data.pkl", content=b"\x80\x02}.")
VERSION = Entry(name=b"archive/version", content=b"3\n")


@pytest.mark.parametrize("elements", [1000, 100_000, 12_000_000])
def test_a_compressed_array_of_any_size_is_sound(tmp_path, elements):
    stream = io.BytesIO()
    np.savez_compressed(stream, a=np.zeros(elements))
    result = look_at(tmp_path, stream.getvalue(), "arrays.npz")
    assert result.findings == ()
    assert result.metadata.parameters == elements


def test_a_compressed_pickle_that_inflates_within_reason_is_judged_whole(tmp_path):
    harmless = b"\x80\x02](" + b"K\x01" * 200_000 + b"e."
    member = Entry(name=b"archive/x.pkl", content=harmless, method=8)
    assert look_at(tmp_path, archive(MAIN, VERSION, member)).findings == ()
    attack = Entry(name=b"archive/x.pkl", content=harmless[:-1] + b"0" + EVIL_4[2:], method=8)
    assert "posix.system" in look_at(tmp_path, archive(MAIN, VERSION, attack)).text


@pytest.mark.parametrize("name", [b"archive/data.pkl", b"archive/x.pkl"])
def test_a_pickle_that_inflates_beyond_reason_is_not_judged(tmp_path, name):
    bomb = Entry(name=name, content=b"\x80\x02" + b"N0" * 2_000_000 + b"N.", method=8)
    data = archive(bomb, VERSION) if name == MAIN.name else archive(MAIN, VERSION, bomb)
    assert len(data) < 6000
    result = look_at(tmp_path, data)
    assert result.status is HealthStatus.UNKNOWN
    assert "not-judged" in result.codes


def test_what_a_pickle_does_before_it_inflates_beyond_reason_is_said(tmp_path):
    attack = EVIL_4[:-1] + b"0" + b"N0" * 2_000_000 + b"N."
    member = Entry(name=b"archive/x.pkl", content=attack, method=8)
    result = look_at(tmp_path, archive(MAIN, VERSION, member))
    assert result.status is HealthStatus.UNHEALTHY
    assert "posix.system" in result.text


def test_members_that_inflate_beyond_reason_count_for_what_was_read_of_them():
    plain = b"\x80\x02" + b"N0" * 500_000 + b"N."
    members = [Entry(name=b"archive/%d.pkl" % number, content=plain, method=8) for number in range(60)]
    effort = Effort()
    codes = [
        issue.code for issue in examine(BytesReader(archive(MAIN, VERSION, *members)), Depth.HEADER, effort)
    ]
    assert set(codes) == {"not-judged"}
    assert -len(plain) < effort.opcodes <= 0


def test_very_many_members_that_begin_as_pickles_do_share_one_bound():
    decoys = [
        Entry(name=b"archive/x/%d" % number, content=b"\x80\x02" + b"N0" * 4000 + b"N.", method=8)
        for number in range(300)
    ]
    effort = Effort()
    data = archive(MAIN, VERSION, *decoys)
    codes = [issue.code for issue in examine(BytesReader(data), Depth.HEADER, effort=effort)]
    assert set(codes) == {"not-judged"}
    assert -20_000 < effort.opcodes <= 0  # one more member at most
    few = archive(MAIN, VERSION, *decoys[:9])
    assert examine(BytesReader(few), Depth.HEADER) == ()


def test_arrays_of_objects_and_archives_within_share_that_bound_too():
    objects = b"\x93NUMPY\x01\0\x3c\0" + b"{'descr': '|O', 'fortran_order': False, 'shape': (0,)}".ljust(60)
    pickle = b"\x80\x02" + b"N0" * 4000 + b"N."
    inner = archive(Entry(name=b"archive/data.pkl", content=pickle), VERSION)
    for name, content in ((b"archive/%d.npy", objects + pickle), (b"archive/%d.pt", inner)):
        members = [Entry(name=name % number, content=content, method=8) for number in range(300)]
        effort = Effort()
        issues = examine(BytesReader(archive(MAIN, VERSION, *members)), Depth.HEADER, effort=effort)
        assert "not-judged" in {issue.code for issue in issues}
        assert effort.opcodes > -20_000


def test_stored_pickles_are_judged_as_far_as_they_are_long():
    members = [
        Entry(name=b"archive/%d.pkl" % number, content=b"\x80\x02](" + b"K\x01" * 20_000 + b"e.")
        for number in range(40)
    ]
    effort = Effort()
    assert examine(BytesReader(archive(MAIN, VERSION, *members)), Depth.HEADER, effort=effort) == ()
    assert 0 < effort.opcodes < MOST_OPCODES


def test_what_is_deflated_reads_as_it_was():
    content = bytes(range(256)) * 9000 + bytes(3_000_000)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    reader = DeflatedReader(
        BytesReader(b"xx" + packed + b"yy"), 2, len(packed), len(content), len(content) - 10
    )
    for place, length in ((0, 5), (2_000_000, 300), (100, 7), (len(content) - 30, 20)):
        assert reader.read(place, length) == content[place : place + length]
    with pytest.raises(FormatError, match="inflates to"):
        reader.read(len(content) - 15, 10)
    cut = DeflatedReader(BytesReader(packed[:-9]), 0, len(packed) - 9, len(content), len(content))
    with pytest.raises(FormatError, match="breaks off"):
        cut.read(len(content) - 1, 1)


def test_zipfile_made_archives_of_deflated_checkpoints_are_sound(tmp_path):
    source = zipfile.ZipFile(io.BytesIO(saved({f"layer.{one}.weight": torch.ones(3) for one in range(3000)})))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in source.namelist():
            packed.writestr(name, source.read(name))
    assert look_at(tmp_path, stream.getvalue()).findings == ()
