"""Named attacks on scanners and unpicklers, one test each where no other module has it."""

from __future__ import annotations

import base64
import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from modelshelf.model import HealthStatus
from modelshelf_pytorch.pickle.audit import Verdict, audit
from tests.plugins.modelshelf_pytorch.forge import EVIL, EVIL_4, Entry, archive, checkpoint, look_at


def short(text: bytes) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text


NAMED = {
    "INST": (b"(S'id'\nios\nsystem\n.", "os.system"),
    "OBJ, then POP": (b"\x80\x02(cos\nsystem\nS'id'\no0N.", "os.system"),
    "REDUCE, then POP": (b"\x80\x02cos\nsystem\nS'id'\n\x85R0N.", "os.system"),
    "NEWOBJ": (b"\x80\x02csubprocess\nPopen\nS'id'\n\x85\x81.", "subprocess.Popen"),
    "NEWOBJ_EX": (b"\x80\x04csubprocess\nPopen\nS'id'\n\x85}\x92.", "subprocess.Popen"),
    "BUILD on what was made": (b"\x80\x02cbuiltins\nobject\n)\x81}S'a'\nK\x01sb.", "builtins.object"),
    "STACK_GLOBAL from the memo": (
        b"\x80\x04"
        + short(b"os")
        + b"\x940"
        + short(b"system")
        + b"\x940h\x00h\x01\x93"
        + short(b"id")
        + b"\x85R.",
        "os.system",
    ),
    "STACK_GLOBAL by decimal GET": (b"\x80\x04Vos\np7\n0g7\nVsystem\n\x93Vid\n\x85R.", "os.system"),
    "a dotted attribute": (
        b"\x80\x04" + short(b"pathlib") + short(b"os.system") + b"\x93" + short(b"id") + b"\x85R.",
        "pathlib.os.system",
    ),
    "a name of Python 2": (b"c__builtin__\neval\n(S'1'\ntR.", "builtins.eval"),
    "pip.main (CVE-2025-1716)": (b"cpip\nmain\n((lS'install'\natR.", "pip.main"),
    "pkgutil.resolve_name": (b"cpkgutil\nresolve_name\n(S'os:system'\ntR.", "pkgutil.resolve_name"),
    "a submodule (CVE-2025-10157)": (
        b"casyncio.unix_events\n_UnixSubprocessTransport._start\n(tR.",
        "asyncio.unix_events._UnixSubprocessTransport._start",
    ),
    "a second PROTO": (b"\x80\x04\x80\x04cos\nsystem\n(S'id'\ntR.", "os.system"),
    "no STOP": (b"\x80\x04cos\nsystem\n(S'id'\ntR", "os.system"),
    "a broken opcode behind the call": (b"\x80\x04cos\nsystem\n(S'id'\ntR\xff", "os.system"),
    "text that is not UTF-8 behind the call": (
        b"\x80\x04cos\nsystem\n(S'id'\ntRX\x02\0\0\0\xff\xfe.",
        "os.system",
    ),
    "a global in a dict's key": (b"\x80\x02}cos\nsystem\n(S'id'\ntRK\x01s.", "os.system"),
    "an argument longer than its frame": (
        b"\x80\x04\x95\x02\0\0\0\0\0\0\0" + short(b"abc") + b"0cos\nsystem\n(S'id'\ntR.",
        "os.system",
    ),
    "a pickle behind a harmless one": (pickle.dumps([1]) + EVIL, "os.system"),
    "a pickle behind junk": (pickle.dumps([1]) + b"\n\njunk" + EVIL_4, "posix.system"),
}


@pytest.mark.parametrize("case", NAMED)
@pytest.mark.parametrize(
    "name", ["model.pkl", "model.joblib", "model.ckpt", "pytorch_model.bin", "notes.txt"]
)
def test_an_attack_is_unhealthy_and_what_it_names_is_reported(case, name, tmp_path):
    data, named = NAMED[case]
    assert audit(data).verdict is Verdict.DANGEROUS
    if name == "notes.txt" and data[:1] != b"\x80":
        return  # nothing opens a text file whose bytes do not begin as a pickle
    result = look_at(tmp_path, data, name)
    assert result.status is HealthStatus.UNHEALTHY
    assert named in result.text


@pytest.mark.parametrize("opcode", [b"\x82\x07", b"\x83\x07\x01", b"\x84\x07\0\1\0"])
@pytest.mark.parametrize("end", [b")R.", b".", b")R", b")R\xff"])
@pytest.mark.parametrize("start", [b"", b"\x80\x02"])
def test_an_extension_is_an_attack_however_its_stream_ends(opcode, end, start, tmp_path):
    result = look_at(tmp_path, start + opcode + end, "model.pkl")
    assert result.status is HealthStatus.UNHEALTHY
    assert "extension-opcode" in result.codes


@pytest.mark.parametrize("pack", [bytes, base64.b64encode, lambda data: data.hex().encode()])
def test_a_pickle_in_a_string_of_a_checkpoints_pickle_degrades_at_least(pack, tmp_path):
    hidden = pack(EVIL_4)
    main = b"\x80\x02}X\x01\0\0\0aB" + struct.pack("<I", len(hidden)) + hidden + b"s."
    result = look_at(tmp_path, checkpoint(pickle=main))
    assert "embedded-pickle" in result.codes
    assert result.status is not HealthStatus.HEALTHY


def test_a_zip_whose_members_are_encrypted_cannot_be_read_and_is_not_called_an_attack(tmp_path):
    locked = bytes(range(7, 90))
    data = archive(Entry(name=b"model/data.pkl", content=locked, flags=1, size=71))
    result = look_at(tmp_path, data, "model.zip")
    assert result.status is HealthStatus.UNHEALTHY
    assert not {"unsafe-global", "unsafe-call", "extension-opcode", "embedded-pickle"} & set(result.codes)


def objects() -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array([eval, 1], dtype=object), allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", ["a.npz", "a.zip", "a.pt"])
def test_an_array_of_objects_in_an_archive_is_judged(method, name, tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as packed:
        packed.writestr("x.npy", objects())
    result = look_at(tmp_path, stream.getvalue(), name)
    assert "builtins.eval" in result.text
    assert result.status is HealthStatus.UNHEALTHY


def test_an_array_of_objects_under_another_suffix_is_judged(tmp_path):
    assert "builtins.eval" in look_at(tmp_path, objects(), "a.dat").text


@pytest.mark.parametrize("size", [145, 200, 255])
def test_a_bomb_of_a_few_bytes_costs_no_memory(size):
    import tracemalloc

    bomb = b"\x80\x04)" + b"2\x86" * ((size - 4) // 2) + b"."
    tracemalloc.start()
    result = audit(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "memory-bomb" in {issue.code for issue in result.issues}
    assert peak < 2_000_000


@pytest.mark.parametrize("elements", [1, 3, 5, 1 << 40])
def test_a_storage_of_another_size_than_its_member_is_unhealthy(elements, tmp_path):
    from tests.plugins.modelshelf_pytorch.forge import checkpoint_pickle

    number = b"\x8a\x06" + elements.to_bytes(6, "little")
    result = look_at(tmp_path, checkpoint(pickle=checkpoint_pickle().replace(b"K\x04tQ", number + b"tQ")))
    assert result.status is HealthStatus.UNHEALTHY
