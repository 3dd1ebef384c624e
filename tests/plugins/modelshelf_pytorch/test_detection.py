"""Pickles where nobody would look: under foreign names, in ZIPs behind other bytes or within others."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import torch

from modelshelf.model import HealthStatus
from tests.plugins.modelshelf_pytorch.forge import EVIL, EVIL_4, Entry, archive, checkpoint, look_at

HARMLESS = b"\x80\x02}X\x01\x00\x00\x00aK\x01s."


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED, before: bytes = b"") -> bytes:
    stream = io.BytesIO()
    stream.write(before)
    with zipfile.ZipFile(stream, "a" if before else "w", method) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize("content", [EVIL, EVIL_4])
def test_a_zip_behind_other_bytes_is_looked_into_as_zipfile_does(tmp_path, content):
    stub = b"MZ" + bytes(500)
    for data in (
        zipped(("model/data.pkl", content), before=stub),
        stub + zipped(("model/data.pkl", content)),
    ):
        assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["model/data.pkl"]
        told = look_at(tmp_path, data, "model.zip")
        assert "system" in told.text
        assert (told.format, told.status) == ("archive", HealthStatus.UNHEALTHY)


def test_a_zip_of_other_things_behind_other_bytes_is_let_be(tmp_path):
    for data in (b"MZ", b"MZ" + zipped(("a.txt", b"some text")), zipped(("a.txt", b"text"), before=b"MZ")):
        assert look_at(tmp_path, data, "model.zip").format is None


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("name", ["model.zip", "model.pkl", "model.pt", "model.dat"])
def test_a_pickle_within_archives_within_one_another_is_named(tmp_path, method, depth, name):
    data = zipped(("payload", EVIL_4), method=method)
    for _ in range(depth):
        data = zipped(("inner.zip", data), method=method)
    told = look_at(tmp_path, data, name)
    assert "posix.system" in told.text
    assert told.status is HealthStatus.UNHEALTHY


def test_a_pickle_by_its_name_is_found_behind_any_number_of_members(tmp_path):
    many = [(f"text/{number}.txt", b"text") for number in range(500)]
    told = look_at(tmp_path, zipped(*many, ("model.pkl", EVIL_4)), "model.zip")
    assert "posix.system" in told.text
    assert told.status is HealthStatus.UNHEALTHY


@pytest.mark.parametrize("name", ["archive/notes", "archive/data/7", "archive/extra/a.json"])
@pytest.mark.parametrize("method", [0, 8])
def test_a_member_that_is_a_long_pickle_without_a_protocol_is_judged(tmp_path, name, method):
    long = b"(lp0\n" + b"I1\na" * 5000
    attack = Entry(name=name.encode(), content=long + EVIL[:-1] + b"a.", method=method)
    told = look_at(tmp_path, checkpoint(attack))
    assert "os.system" in told.text
    assert told.status is HealthStatus.UNHEALTHY
    for content in (long + b".", b"K" * 20_000, b"N" * 20_000, b"])" * 9000 + b"\0"):
        assert look_at(tmp_path, checkpoint(Entry(name=name.encode(), content=content))).findings == ()


CALLS = {  # without PROTO, by every opcode that calls; the argument stands before or behind the name
    "REDUCE": b"cposix\nsystem\n(S'%b'\ntR.",
    "REDUCE, the string first": b"S'%b'\n0cposix\nsystem\n(S'id'\ntR.",
    "INST": b"(S'%b'\niposix\nsystem\n.",
    "OBJ": b"(cposix\nsystem\nS'%b'\no.",
}


@pytest.mark.parametrize(
    "name", ["weights", "weights.dat", "model.gguf", "bare.zip", "archive.zip", "model.pt", "model.bin"]
)
@pytest.mark.parametrize("length", [2, 600, 5_000, 100_000])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_in_a_pickle_without_a_protocol_is_found_whatever_the_name(tmp_path, name, length, call):
    data = CALLS[call] % (b"a" * length)
    if name == "archive.zip":
        data = zipped(("notes.txt", data), method=zipfile.ZIP_DEFLATED)
    elif name == "model.pt":
        data = checkpoint(Entry(name=b"archive/notes.txt", content=data))
    told = look_at(tmp_path, data, name)
    assert "posix.system" in told.text
    assert told.status is HealthStatus.UNHEALTHY


@pytest.mark.parametrize(
    "text",
    [
        "cache\nbuild\n.git\n",  # reads as GLOBAL and STOP
        "cos\nsystem\nare words of a list\n",
        "import os\nos.system('ls')\n",
        "ctest\nrunpy\n" + "words\n" * 200,
        "(a list, in brackets)\n" * 40,
        "1 2 3\n" * 200,
        "I1\n" * 400,
    ],
)
@pytest.mark.parametrize("name", ["words", "words.dat"])
def test_text_that_begins_like_a_pickle_is_no_pickle(tmp_path, text, name):
    assert look_at(tmp_path, text.encode(), name).format is None


def test_a_zip_under_a_pickles_name_is_told_of_whatever_it_holds(tmp_path):
    data = zipped(("a.txt", b"some text"))
    assert look_at(tmp_path, data, "model.pkl").format == "archive"
    assert look_at(tmp_path, data, "model.zip").format is None


def test_a_pickle_in_an_archive_without_a_folder_is_an_archive_and_no_checkpoint(tmp_path):
    """torch refuses it for its missing folder; there is nothing wrong with the pickle."""
    data = archive(Entry(name=b"version", content=b"3"), Entry(name=b"data.pkl", content=HARMLESS))
    with pytest.raises(RuntimeError, match="subdirectory"):
        torch.load(io.BytesIO(data), weights_only=True)
    told = look_at(tmp_path, data)
    assert (told.format, told.status, told.codes) == ("archive", HealthStatus.HEALTHY, ["no-checkpoint"])
    data = archive(Entry(name=b"version", content=b"3"), Entry(name=b"data.pkl", content=EVIL_4))
    told = look_at(tmp_path, data)
    assert "posix.system" in told.text
    assert told.status is HealthStatus.UNHEALTHY


def test_an_npz_of_no_arrays_is_sound_and_an_empty_zip_no_checkpoint(tmp_path):
    stream = io.BytesIO()
    np.savez(stream)
    data = stream.getvalue()
    assert np.load(io.BytesIO(data)).files == []
    told = look_at(tmp_path, data, "arrays.npz")
    assert (told.format, told.findings) == ("numpy", ())
    assert look_at(tmp_path, data, "model.pt").status is HealthStatus.UNHEALTHY
