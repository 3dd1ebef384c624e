"""What the nastiest files of up to 1 MB cost to judge, each in a process of its own on one core.

``python -m tests.benchmarks.hostile_cost`` prints a line for each file; with a FOLDER it keeps them there.
"""

# ruff: noqa: E501 - a file that is made, a line

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import json
import lzma
import os
import resource
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from tests.benchmarks.measure import Comparison, Skipped, Workshop

MOST_BYTES = 1_000_000
_MOST_SECONDS, _MOST_MEGABYTES = 2.0, 200.0
_ATTACK = b"cos\nsystem\n(S'id'\ntR."
_MAIN = ("archive/data.pkl", b"\x80\x02}.")
_VERSION = ("archive/version", b"3\n")


@frozen(kw_only=True)
class Cost:
    """What judging one file took.

    Attributes:
        name: The file's name.
        size: Its bytes.
        seconds: Processor seconds.
        megabytes: Memory above that of the process before.
        status: What it was judged to be.
    """

    name: str
    size: int
    seconds: float
    megabytes: float
    status: str


def comparisons(workshop: Workshop) -> Iterator[Comparison | Skipped]:
    """The dearest of the files, in seconds and in memory, beside what was promised."""
    folder = workshop.room("hostile")
    make(folder)
    costs = list(measure(folder))
    slowest = max(costs, key=lambda one: one.seconds)
    widest = max(costs, key=lambda one: one.megabytes)
    of = f"of {len(costs)} files of at most 1 MB"
    yield Comparison(
        case=f"the slowest {of}",
        ours=slowest.seconds,
        peer=_MOST_SECONDS,
        peer_name="promised",
        goal=1.0,
        note=slowest.name,
    )
    yield Comparison(
        case=f"the most memory {of}",
        ours=widest.megabytes,
        peer=_MOST_MEGABYTES,
        peer_name="promised",
        goal=1.0,
        unit="MB",
        note=widest.name,
    )


def make(folder: Path) -> None:
    """Write every file into a folder."""
    for name, data in {**_streams(), **_archives(), **_compressed()}.items():
        assert len(data) <= MOST_BYTES, (name, len(data))
        (folder / name).write_bytes(data)


def measure(folder: Path) -> Iterator[Cost]:
    """Judge each file of a folder in a child that has judged an ordinary one before."""
    for path in sorted(folder.iterdir()):
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.hostile_cost", "--judge", path],
            capture_output=True,
            text=True,
            check=True,
        )
        judged = json.loads(done.stdout)
        yield Cost(name=path.name, size=path.stat().st_size, **judged)


def _judge(path: Path) -> dict[str, object]:
    """Judge a file here, after the modules were loaded for it; what it took."""
    from modelshelf.model.health import status_of

    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder) / "warm.pt"
        warm.write_bytes(_zip([_MAIN, _VERSION, ("archive/x.pkl", b"\x80\x02}."), ("a.npy", b"")]))
        _look(warm)
    memory = _peak_megabytes(begin=True)
    before = resource.getrusage(resource.RUSAGE_SELF)
    findings = _look(path)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "megabytes": _peak_megabytes() - memory,
        "status": str(status_of(findings)) if findings is not None else "no model",
    }


def _peak_megabytes(*, begin: bool = False) -> float:
    """The largest resident set of this process since it was begun to be watched."""
    if begin:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6


def _look(path: Path) -> tuple[object, ...] | None:
    import modelshelf_pytorch
    from modelshelf.errors import ReadError
    from modelshelf.model import Depth
    from tests.support import candidate_of, reader_of

    with reader_of(path) as reader:
        vote = modelshelf_pytorch.modelshelf_detect_format(candidate_of(reader))
        if vote is None:
            return None
        with suppress(ReadError):  # the probe says so
            modelshelf_pytorch.modelshelf_extract_metadata(reader.artifact, vote.format, reader)
        probe = modelshelf_pytorch.modelshelf_probe_health
        return tuple(probe(reader.artifact, vote.format, reader, Depth.FULL))


def _filled(unit: bytes, end: bytes = b".", *, start: bytes = b"") -> bytes:
    """As many of a unit as fit, between a beginning and an end."""
    return start + unit * ((MOST_BYTES - len(start) - len(end)) // len(unit)) + end


def _numbered(unit: Callable[[int], bytes], end: bytes = b".", *, start: bytes = b"") -> bytes:
    made, number = bytearray(start), 0
    while len(made) + len(end) < MOST_BYTES - 200:
        made += unit(number)
        number += 1
    return bytes(made) + end


def _streams() -> dict[str, bytes]:
    """Pickles, and runs of them."""
    text = lambda data: b"X" + struct.pack("<I", len(data)) + data  # noqa: E731
    units = {
        "nothing": b"N0", "integers": b"I1\n0", "octal": b"I010\n0", "texts": b"Va\n0", "quoted": b"S'\\x41'\n0",
        "floats": b"F1e3\n0", "names": b"cos\nsystem\n0", "marks-popped": b"(1", "dictionaries": b"}0",
        "tuples": b"N\x850", "reduce": b"cos\nsystem\n)R0", "ordered": b"ccollections\nOrderedDict\n)R0",
        "frames": b"\x95\0\0\0\0\0\0\0\0", "protocols": b"\x80\x02", "instances": b"(ios\nsystem\n0",
        "objects": b"(cos\nsystem\no0", "built": b"cos\nsystem\n)R}b0", "persistent": b"NQ0", "longs": b"\x8a\0" b"0",
        "bytes": b"C\0000", "extension": b"\x82\x010", "putting": b"Np5\n0", "sets": b"\x8f(N\x900",
        "frozen": b"(N\x910", "hidden": text(b"\x80\x02cos\nsystem\n(tR.") + b"0",
        "lines": text(b"\n_a\n_b\n_c\n_d") + b"0", "encoded": text(b"gAJjb3MKc3lzdGVtCih0Ui4=") + b"0",
        "hashes": text(b"0123456789abcdef0123456789abcdef") + b"0", "calls": text(b"os.system('a')") + b"0",
        "compressed": text(zlib.compress(bytes(60_000))) + b"0",
    }  # fmt: skip
    made = {f"{name}.pkl": _filled(unit, b"N.", start=b"\x80\x02") for name, unit in units.items()}
    whole = {
        "pickles": _filled(b"N."), "pickles-of-lists": _filled(b"]."), "pickles-declared": _filled(b"\x80\x02N."),
        "marks": _filled(b"("), "lists": _filled(b"]"), "nested-tuples": _filled(b"\x85", start=b"N"),
        "nested-lists": _filled(b"]", b"a" * 300_000 + b"."),
        "nested-dicts": _filled(b"}N", b"s" * 200_000 + b"."),
        "duplicates": _filled(b"2", start=b"]"), "laughs": b"]q\0" + b"".join(
            b"](" + b"h%c" % bytes([n]) * 200 + b"eq%c" % bytes([n + 1]) for n in range(200)) + b".",
        "doubling": b"N" + b"2\x86" * 499_000 + b".",
        "copies": b"(" + b"N" * 5000 + b"tq\0" + b"ccollections\nOrderedDict\nh\0\x85R0" * 25_000 + b"N.",
        "keys": b"}(" + b"N" * 2000 + b"tq\0" + b"}h\0Ns0" * 150_000 + b".",
        "memo": _numbered(lambda n: b"Nr" + struct.pack("<I", n) + b"0"), "far-memo": b"Nr\xff\xff\xff\x7f.",
        "globals": _numbered(lambda n: b"cm%d\nn\n0" % n), "words": _numbered(lambda n: text(b"word%d" % n)),
        "bytes-of-a-pickle": b"\x80\x04B" + struct.pack("<I", 990_000) + b"\x80\x02N0" * 247_500 + b".",
        "one-hex": text(b"8002" * 249_000) + b".", "one-base64": text(b"gAJO" * 249_000) + b".",
        "one-of-lines": text(b"\n_a" * 330_000) + b".", "escapes": b"S'" + b"\\x41" * 249_000 + b"'\n.",
        "attack-behind-nothing": b"N0" * 499_000 + _ATTACK,
        "digits": b"I" + b"1" * 999_000 + b"\n.", "float-digits": b"F" + b"1" * 999_000 + b"\n.",
        "spread": _numbered(lambda n: b"(K%cK%ct" % (bytes([n % 256]), bytes([n // 256 % 256]))),
        "tensors": _filled(
            b"ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuK\4"
            b"tQK\0K\4\x85K\1\x85\x89ccollections\nOrderedDict\n)RtR0", b"N.", start=b"\x80\x02"),
    }  # fmt: skip
    made.update({f"{name}.pkl": data[:MOST_BYTES] for name, data in whole.items()})
    made["objects.npy"] = _npy("'|O'", "(9,)", _filled(b"cos\nsystem\n)R0")[: MOST_BYTES - 200])
    made["slow-header.npy"] = _npy(_slow_type(60_000), "(1,)", b"")
    made["slow-header-2.npy"] = _npy(_slow_type(900_000), "(1,)", b"", version=2)
    made["safetensors.pkl"] = (0x56).to_bytes(8, "little") + _filled(b"\nN0")[: MOST_BYTES - 8]
    legacy = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\0."
    made["legacy.pt"] = (
        legacy + _filled(b"X\1\0\0\0a", b"e.\x80\x02].", start=b"\x80\x02](")[: MOST_BYTES - 60]
    )
    return made


def _slow_type(length: int) -> str:
    return "[" + "('a',[('b','u1')])," * (length // 19) + "]"


def _npy(descr: str, shape: str, data: bytes, *, version: int = 1) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + data


def _zip(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method, compresslevel=9) as packed:
        for name, data in members:
            packed.writestr(name, data)
    return stream.getvalue()


def _many(name: str, data: bytes, *first: tuple[str, bytes]) -> bytes:
    """A ZIP of as many deflated members as fit."""
    each = len(_zip([(f"{name}00000", data)], zipfile.ZIP_DEFLATED))
    count = (MOST_BYTES - 2000) // max(each, 100)
    return _zip([*first, *((name.format(number), data) for number in range(count))], zipfile.ZIP_DEFLATED)


def _overlapping(name: str, data: bytes, most: int = MOST_BYTES) -> bytes:
    """A ZIP all of whose entries have the same data."""
    whole = _zip([(name.format(0), data)], zipfile.ZIP_DEFLATED)
    start = struct.unpack_from("<I", whole, len(whole) - 6)[0]
    entry = whole[start : len(whole) - 22]
    count = min((most - start - 22) // len(entry), 65_000)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, count * len(entry), start, 0)
    return whole[:start] + entry * count + end


def _nested(data: bytes, levels: int, branches: int) -> bytes:
    for _ in range(levels):
        data = _zip([(f"{number}.zip", data) for number in range(branches)], zipfile.ZIP_DEFLATED)
    return data


def _archives() -> dict[str, bytes]:
    """ZIP archives of every kind."""
    slow = _npy(_slow_type(60_000), "(1,)", b"")
    slower = _npy(_slow_type(900_000), "(1,)", b"", version=2)
    objects = ("z.npy", _npy("'|O'", "(1,)", _ATTACK))
    plain = b"\x80\x02" + b"N0" * 500_000 + b"N."
    bare = b"N0" * 500_000 + b"N."
    bomb = b"\x80\x02" + b"N0" * 60_000_000 + b"N."
    junk = b"A" * 8000 + _ATTACK
    tree = _nested(_zip([("x", bare[:200_000])], zipfile.ZIP_DEFLATED), 3, 12)
    main = (_MAIN, _VERSION)
    script = (_MAIN, _VERSION, ("archive/constants.pkl", b"\x80\x02)."))
    return {
        "slow-headers.npz": _zip([*((f"a{n}.npy", slow) for n in range(600)), objects], zipfile.ZIP_DEFLATED),
        "slower-headers.npz": _many("a{}.npy", slower),
        "overlapping-headers.npz": _overlapping("a{}.npy", slower, 11_000),
        "overlapping-more-headers.npz": _overlapping("a{}.npy", slow),
        "overlapping-pickles.pt": _overlapping("a/{}.pkl", plain, 11_000),
        "overlapping-members.pt": _overlapping("a/{}", bare),
        "members-of-pickles.pt": _many("archive/{}.pkl", plain, *main),
        "members-without-protocol.pt": _many("archive/{}", bare, *main),
        "members-behind-junk.pt": _many("archive/{}", junk, *main),
        "members-of-little.pt": _many("archive/{}.pkl", b"N.", *main),
        "members-of-text.pt": _many("archive/{}", b"a\n_b\n_c\n" * 500, *main),
        "members-empty.zip": _many("{}.pkl", b""),
        "members-of-objects.npz": _many("a{}.npy", objects[1]),
        "members-hidden.pt": _many("archive/{}", b"\x80\x02" * 2000, *main),
        "members-of-code.pt": _many("archive/code/{}.py", b"def __setstate__(self): pass\n" * 5000, *script),
        "one-of-code.pt": _zip(
            [*script, ("archive/code/a.py", b"def __setstate__(self): pass\n" * 2_000_000)], zipfile.ZIP_DEFLATED
        ),
        "bomb-main.pt": _zip([("archive/data.pkl", bomb), _VERSION], zipfile.ZIP_DEFLATED),
        "bomb-member.pt": _zip([*main, ("archive/x.pkl", bomb)], zipfile.ZIP_DEFLATED),
        "bomb-bare.pt": _zip([*main, ("archive/x", bomb[2:])], zipfile.ZIP_DEFLATED),
        "bomb-zeros.pt": _zip([*main, ("archive/x", bytes(900_000_000))], zipfile.ZIP_DEFLATED),
        "tree.zip": tree, "tree.pt": tree, "chain.zip": _nested(_zip([("x.pkl", plain)]), 3, 1),
        "names.zip": _zip([("a" * 60_000 + str(number), b"N.") for number in range(8)]),
        "exported.pt2": _zip(
            [("m/archive_format", b"pt2"), ("m/models/model.json", b'{"a":' * 3_000_000)], zipfile.ZIP_DEFLATED
        ),
        "expressions.pt2": _zip(
            [("m/archive_format", b"pt2"),
             ("m/models/model.json", b'{"a": [' + b'{"expr_str": "s0+s1"},' * 1_000_000 + b"0]}")],
            zipfile.ZIP_DEFLATED,
        ),
    }  # fmt: skip


def _compressed() -> dict[str, bytes]:
    """Pickles compressed as a whole."""
    nothing = b"\x80\x02" + b"N0" * 100_000_000 + b"N."
    calls = b"\x80\x02" + b"cos\nsystem\n)R0" * 4_000_000 + b"N."
    return {
        "bomb.pkl.gz.pkl": gzip.compress(nothing, 9),
        "bomb.xz.pkl": lzma.compress(nothing),
        "bomb.bz2.pkl": bz2.compress(nothing),
        "calls.gz.pkl": gzip.compress(calls, 9),
        "calls.bz2.pkl": bz2.compress(calls),
        "parts.gz.pkl": gzip.compress(nothing[:1_000_000], 9) * 900,
        "parts.bz2.pkl": bz2.compress(nothing[:1_000_000]) * 9000,
        "empty-parts.gz.pkl": gzip.compress(b"") * 999 + gzip.compress(b"N."),
    }


def main() -> int:
    """The command; 0 when every file is judged within what was promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.hostile_cost", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where the files are kept")
    parser.add_argument("--judge", type=Path, metavar="FILE", help="judge one file and write what it took")
    given = parser.parse_args()
    if given.judge:
        print(json.dumps(_judge(given.judge)))
        return 0
    with tempfile.TemporaryDirectory(prefix="hostile-") as temporary:
        folder = given.folder or Path(temporary)
        if not folder.exists() or not os.listdir(folder):
            folder.mkdir(parents=True, exist_ok=True)
            make(folder)
        over = 0
        for one in measure(folder):
            bad = one.seconds > _MOST_SECONDS or one.megabytes > _MOST_MEGABYTES
            over += bad
            print(
                f"{one.name:32} {one.size:>9} {one.seconds:7.2f} s {one.megabytes:7.1f} MB  {one.status}",
                bad or "",
                flush=True,
            )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
