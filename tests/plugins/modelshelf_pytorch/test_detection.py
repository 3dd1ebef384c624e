"""Pickles where nobody would look: under foreign names, in ZIPs behind other bytes or within others."""

from __future__ import annotations

import io
import pickletools
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.model import HealthStatus
from modelshelf_pytorch.detection import names_nothing
from modelshelf_pytorch.pickle.machine import Machine
from modelshelf_pytorch.readers import BytesReader
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
        result = look_at(tmp_path, data, "model.zip")
        assert "system" in result.text
        assert (result.format, result.status) == ("archive", HealthStatus.UNHEALTHY)


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
    result = look_at(tmp_path, data, name)
    assert "posix.system" in result.text
    assert result.status is HealthStatus.UNHEALTHY


def test_a_pickle_by_its_name_is_found_behind_any_number_of_members(tmp_path):
    many = [(f"text/{number}.txt", b"text") for number in range(500)]
    result = look_at(tmp_path, zipped(*many, ("model.pkl", EVIL_4)), "model.zip")
    assert "posix.system" in result.text
    assert result.status is HealthStatus.UNHEALTHY


@pytest.mark.parametrize("name", ["archive/notes", "archive/data/7", "archive/extra/a.json"])
@pytest.mark.parametrize("method", [0, 8])
def test_a_member_that_is_a_long_pickle_without_a_protocol_is_judged(tmp_path, name, method):
    long = b"(lp0\n" + b"I1\na" * 5000
    attack = Entry(name=name.encode(), content=long + EVIL[:-1] + b"a.", method=method)
    result = look_at(tmp_path, checkpoint(attack))
    assert "os.system" in result.text
    assert result.status is HealthStatus.UNHEALTHY
    for content in (long + b".", b"K" * 20_000, b"N" * 20_000, b"])" * 9000 + b"\0"):
        assert look_at(tmp_path, checkpoint(Entry(name=name.encode(), content=content))).findings == ()


CALLS = {  # without PROTO, by every opcode that calls; the argument comes before or after the name
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
    result = look_at(tmp_path, data, name)
    assert "posix.system" in result.text
    assert result.status is HealthStatus.UNHEALTHY


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


def test_a_zip_under_a_pickles_name_is_detected_whatever_is_in_it(tmp_path):
    data = zipped(("a.txt", b"some text"))
    assert look_at(tmp_path, data, "model.pkl").format == "archive"
    assert look_at(tmp_path, data, "model.zip").format is None


def test_a_pickle_in_an_archive_without_a_folder_is_an_archive_and_no_checkpoint(tmp_path):
    """torch refuses it for its missing folder; there is nothing wrong with the pickle."""
    data = archive(Entry(name=b"version", content=b"3"), Entry(name=b"data.pkl", content=HARMLESS))
    with pytest.raises(RuntimeError, match="subdirectory"):
        torch.load(io.BytesIO(data), weights_only=True)
    result = look_at(tmp_path, data)
    assert (result.format, result.status, result.codes) == (
        "archive",
        HealthStatus.HEALTHY,
        ["no-checkpoint"],
    )
    data = archive(Entry(name=b"version", content=b"3"), Entry(name=b"data.pkl", content=EVIL_4))
    result = look_at(tmp_path, data)
    assert "posix.system" in result.text
    assert result.status is HealthStatus.UNHEALTHY


def test_an_npz_of_no_arrays_is_sound_and_an_empty_zip_no_checkpoint(tmp_path):
    stream = io.BytesIO()
    np.savez(stream)
    data = stream.getvalue()
    assert np.load(io.BytesIO(data)).files == []
    result = look_at(tmp_path, data, "arrays.npz")
    assert (result.format, result.findings) == ("numpy", ())
    assert look_at(tmp_path, data, "model.pt").status is HealthStatus.UNHEALTHY


OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


@settings(deadline=None, max_examples=500)
@given(
    st.lists(st.sampled_from([*OPCODES, b"\0", b"a\nb\n", b"\x01", b"."]), max_size=40), st.binary(max_size=9)
)
def test_what_is_ruled_out_without_the_interpreter_names_nothing_in_it(pieces, tail):
    data = b"".join(pieces) + tail
    if names_nothing(data):
        outcome = Machine(BytesReader(data), 0, len(data)).run()
        assert not outcome.globals
        assert not outcome.cut_short


@pytest.mark.parametrize("code", OPCODES)
def test_an_opcode_is_stepped_over_only_where_its_length_is_fixed(code):
    length = OPCODES[code].arg.n if OPCODES[code].arg is not None else 0
    stepped_over = names_nothing(code + bytes(9))
    assert not stepped_over or length >= 0 or code == b"."
    for size in range(10) if stepped_over else ():
        assert names_nothing(code + b"." * size + b"c") == (size > length or code == b".")


def test_a_file_of_another_format_is_ruled_out_without_the_interpreter(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"GGUF\x03\0\0\0" + bytes(24))
    code = (
        "import sys; from pathlib import Path; import modelshelf_pytorch as plugin\n"
        "from tests.support import candidate_of, reader_of\n"
        "assert plugin.modelshelf_detect_format(candidate_of(reader_of(Path(sys.argv[1])))) is None\n"
        "assert 'modelshelf_pytorch.pickle' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.gguf")], check=True)
