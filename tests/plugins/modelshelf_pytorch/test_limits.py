"""What a limit of ours ends is not judged: neither damaged for that alone, nor degraded, nor healthy."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import zipfile

import pytest

from modelshelf.model import HealthStatus
from modelshelf_pytorch.polyglot import polyglot_findings
from modelshelf_pytorch.readers import BytesReader
from tests.plugins.modelshelf_pytorch.forge import EVIL_4, Entry, archive, checkpoint, look_at

NOTHING = b"\x80\x02" + b"N0" * 2_000_000 + b"N."
MAIN = Entry(name=b"archive/data.pkl", content=b"\x80\x02}.")
VERSION = Entry(name=b"archive/version", content=b"3\n")


def nested(levels: int, content: bytes) -> bytes:
    for _ in range(levels):
        content = archive(Entry(name=b"a.zip", content=content))
    return content


def array(descr: str, *, spaces: int = 0) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,)}}".encode() + b" " * spaces + b"\n"
    return b"\x93NUMPY\x02\0" + len(header).to_bytes(4, "little") + header + bytes(8)


def program(config: bytes) -> bytes:
    return archive(
        Entry(name=b"m/archive_format", content=b"pt2"),
        Entry(name=b"m/data/weights/model_weights_config.json", content=config),
    )


MANY = (b"\x80\x02" + b"N0" * 100) * 20
DEEP = "[('a'," * 20 + "'<f8'" + ")]" * 20
FILES = {
    "a main pickle that inflates too far": (
        "a.pt",
        archive(Entry(name=b"archive/data.pkl", content=NOTHING, method=8), VERSION),
    ),
    "a member that inflates too far": (
        "a.pt",
        archive(MAIN, VERSION, Entry(name=b"archive/x.pkl", content=NOTHING, method=8)),
    ),
    "archives within too many others": (
        "a.pt",
        archive(MAIN, VERSION, Entry(name=b"archive/x.zip", content=nested(4, EVIL_4))),
    ),
    "a compressed pickle that inflates too far": (
        "a.pkl",
        gzip.compress(b"\x80\x04B\xff\xff\xff\x7f" + bytes(80_000_000)),
    ),
    "a compressed pickle of too many parts": (
        "a.pkl",
        gzip.compress(b"\x80\x02N.") + gzip.compress(b"") * 1100,
    ),
    "a compressed pickle that takes too much memory": (
        "a.pkl",
        lzma.compress(b"\x80\x02N.", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 256 << 20}]),
    ),
    "a longer header than is parsed": ("a.npy", array("'<f8'", spaces=1_100_000)),
    "a header that nests deeper than is parsed": ("a.npy", array(DEEP)),
    "a longer member than is searched": (
        "a.pt",
        checkpoint(Entry(name=b"archive/x", content=bytes(8_500_000))),
    ),
    "more pickles than are searched for": (
        "a.pt",
        checkpoint(Entry(name=b"archive/x", content=b"\0" + MANY * 90)),
    ),
    "more bytes behind a pickle than are searched": ("a.pkl", b"\x80\x02N." + bytes(1_100_000)),
    "more pickles than are judged": ("a.pkl", b"\x80\x02N." * 5001),
    "a number of more digits than are read": ("a.pkl", b"F" + b"1" * 1_100_000 + b"\n."),
    "more of a weights' list than is read": ("a.pt2", program(b'{"config": {}}' + b" " * 5_000_000)),
}


@pytest.mark.parametrize("kind", FILES)
def test_what_a_limit_ends_is_not_judged(tmp_path, kind):
    name, data = FILES[kind]
    result = look_at(tmp_path, data, name)
    assert "not-judged" in result.codes
    assert result.status is HealthStatus.UNKNOWN


@pytest.mark.parametrize("kind", ["a member that inflates too far", "a longer member than is searched"])
def test_an_attack_beside_what_is_not_judged_stays_one(tmp_path, kind):
    name, data = FILES[kind]
    attacked = archive(MAIN, VERSION, Entry(name=b"archive/e.pkl", content=EVIL_4), *members_of(data))
    assert look_at(tmp_path, attacked, name).status is HealthStatus.UNHEALTHY


def members_of(data: bytes) -> list[Entry]:
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        names = [one for one in packed.namelist() if one == "archive/x" or one.endswith("x.pkl")]
        return [Entry(name=one.encode(), content=packed.read(one), method=8) for one in names]


def test_bare_weights_of_a_program_are_no_members_to_search(tmp_path):
    meta = {
        "dtype": 7,
        "sizes": [{"as_int": 2_200_000}],
        "strides": [{"as_int": 1}],
        "storage_offset": {"as_int": 0},
    }
    config = {"config": {"w": {"path_name": "weight_0", "use_pickle": False, "tensor_meta": meta}}}
    data = archive(
        Entry(name=b"m/archive_format", content=b"pt2"),
        Entry(name=b"m/data/weights/model_weights_config.json", content=json.dumps(config).encode()),
        Entry(name=b"m/data/weights/weight_0", content=bytes(8_800_000)),
    )
    result = look_at(tmp_path, data, "a.pt2")
    assert result.codes == []
    config["config"]["w"]["use_pickle"] = True
    evil = archive(
        Entry(name=b"m/archive_format", content=b"pt2"),
        Entry(name=b"m/data/weights/model_weights_config.json", content=json.dumps(config).encode()),
        Entry(name=b"m/data/weights/weight_0", content=EVIL_4),
    )
    assert look_at(tmp_path, evil, "a.pt2").status is HealthStatus.UNHEALTHY


def test_a_polyglot_of_more_pickles_than_are_followed_is_not_judged():
    found = list(polyglot_findings(BytesReader(b"N." * 40 + EVIL_4), "safetensors"))
    assert [one.code for one in found] == ["not-judged"]
