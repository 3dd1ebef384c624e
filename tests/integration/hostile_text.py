"""Hostile text in every place that text can stand in: records, files, names of files, plugins."""

from __future__ import annotations

import enum
import json
import os
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import gguf
import numpy as np
import safetensors.numpy

from modelshelf import ModelConfig, ModelMetadata, ModelRegistry, ModelVersion
from modelshelf.model import Location, Origin, Provenance
from modelshelf.model.metadata import FIELD_NAMES
from tests.distributions import write_distribution

MARK = "mark"
C0, C1 = "".join(map(chr, range(1, 0x20))), "".join(map(chr, range(0x80, 0xA0)))
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
UNSEEN = "\u2028\u2029\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\U000e0001"
UNDECODABLE = "".join(map(chr, range(0xDC80, 0xDD00)))  # as os.fsdecode keeps a byte that is no UTF-8
SEQUENCES = "\x1b[2J\x1b]8;;http://x\x07\x1b]52;c;AA==\x07\x1bP\x1b\\\x9b2J\x9d\r\n\x08\x7f"

EVIL = f"{MARK}{SEQUENCES}{C0}\x7f{C1}{BIDI}{UNSEEN}{UNDECODABLE}\ud800{MARK}"
"""Every character that may reach no screen, but for NUL, which names and ids cannot hold."""

ENCODABLE = f"{MARK}{SEQUENCES}{C0}\x7f{C1}{BIDI}{UNSEEN}{MARK}"
"""As much of it as UTF-8 can hold, for the inside of files."""

FORMULAS = ("=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x", " =1")
TEXTS = (EVIL, *(f"{start}{MARK}" for start in FORMULAS))

_NAMES = (f"{MARK}{SEQUENCES}{C0}\x7f{BIDI}", f"{MARK}{C1}{UNSEEN}", f"{MARK}{UNDECODABLE}")
FILE_NAMES = tuple(name.replace("/", "").replace("\0", "") for name in _NAMES)
"""The same characters in names that a file can have: 255 bytes at most, no slash."""


def filled(kind: type, text: str, **fixed: Any) -> Any:
    """A value of an attrs class with this text in every field that holds any, so that none is forgotten."""
    hints = typing.get_type_hints(kind)
    values = {one.alias: _of(hints[one.name], text) for one in attrs.fields(kind)}
    return kind(**{**values, **fixed})


_SIMPLE: dict[Any, Callable[[str], Any]] = {
    str: lambda text: text,
    int: lambda _: 7,
    float: lambda _: 1.5,
    bool: lambda _: True,
    bytes: lambda text: text.encode("utf-8", "replace"),
    ModelVersion: lambda _: ModelVersion(major=1),
    Any: lambda text: [text, {text: [text]}],
}


def _of(hint: Any, text: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in _SIMPLE:
        return _SIMPLE[hint](text)
    if origin in {typing.Union, types.UnionType}:
        return _of(inner[0], text)
    if origin is dict:
        return {text: _of(inner[1], text)}
    if origin in {tuple, frozenset}:
        return origin((_of(inner[0], text),))
    return list(hint)[-1] if issubclass(hint, enum.Enum) else filled(hint, text)


def records() -> Iterator[ModelConfig]:
    """One record for each text, with it in every field; the first has its files twice, the second none."""
    for number, text in enumerate(TEXTS):
        places = {name: Provenance(Origin.HEADER, text) for name in FIELD_NAMES}
        place = filled(Location, text, path=f"/{text}", missing=False)
        copy = attrs.evolve(
            place, path=f"/2{text}", files=tuple(attrs.evolve(one, inode=8) for one in place.files)
        )
        yield filled(
            ModelConfig,
            text,
            id=f"{text}-{number}",
            aliases=(f"{text}-alias-{number}",),
            metadata=filled(ModelMetadata, text, provenance=places),
            missing_since=7 if number == 1 else None,
            locations=(place, copy)[: 2 - (number > 0)],
        )


def write_models(folder: Path) -> None:
    """Models and what is none, with hostile names and contents."""
    for number, name in enumerate(FILE_NAMES):
        place = folder / os.fsdecode(os.fsencode(name))
        place.mkdir(parents=True)
        _write_gguf(place / f"{name[:60]}-{number}.gguf")
        (place / f"{name[:40]}.gguf.part").write_bytes(b"x" * 10)
        (place / f"{name[:60]}.safetensors").write_bytes(b"\xff" * 40)
        (place / f"{name[:60]}.pt").write_bytes(
            b"\x80\x02c" + ENCODABLE.replace("\n", "").encode() + b"\nsystem\n."
        )
        os.symlink(place / "nowhere", place / f"{name[:60]}.bin")
        os.mkfifo(place / f"{name[:60]}.pth")
        (place / f"{name[:40]}.evil").write_bytes(b"evil")
    _write_repository(folder / "repository")


def _write_gguf(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    for key in (
        "general.name",
        "general.license",
        "tokenizer.chat_template",
        "general.quantized_by",
        ENCODABLE[:40],
    ):
        writer.add_string(key, ENCODABLE)
    writer.add_array("general.tags", [ENCODABLE])
    writer.add_tensor(ENCODABLE[:20], np.zeros((8, 16), np.float32))
    for step in ("header_to_file", "kv_data_to_file", "tensors_to_file"):
        getattr(writer, f"write_{step}")()
    writer.close()
    path.write_bytes(path.read_bytes()[:-8])


def _write_repository(folder: Path) -> None:
    """A safetensors model whose header and companions speak hostile text."""
    folder.mkdir()
    safetensors.numpy.save_file(
        {ENCODABLE: np.ones(2, np.float16)}, folder / "model.safetensors", {ENCODABLE: ENCODABLE}
    )
    (folder / "config.json").write_text(json.dumps({"architectures": [EVIL], "model_type": ENCODABLE}))
    (folder / "tokenizer_config.json").write_text("{" + ENCODABLE)
    (folder / "README.md").write_text(
        f"---\nlicense: {json.dumps(ENCODABLE)}\ntags: [{json.dumps(EVIL)}]\n---\n"
    )


PLUGIN = """
from modelshelf import (
    Detection, Finding, FormatType, ModelMetadata, Origin, Severity,
)
from modelshelf.command import CommandType
from modelshelf.model import Orphan, Problem, UnfinishedDownload
from modelshelf.serializer import SerializerType
from modelshelf.source import Place, SourceType

EVIL = {evil!r}


def modelshelf_formats():
    yield FormatType(name=EVIL, suffixes=(".evil",))
    raise ValueError(EVIL)


def modelshelf_detect_format(candidate):
    if candidate.suffix == ".evil":
        return Detection(format=EVIL, confidence=0.9, evidence=EVIL)


def modelshelf_extract_metadata(format):
    if format == EVIL:
        values = dict(architecture=EVIL, license=EVIL, details={{EVIL: EVIL}})
        yield ModelMetadata.partial(Origin.HEADER, EVIL, **values)
    raise RuntimeError(EVIL)


def modelshelf_probe_health(format):
    if format == EVIL:
        yield Finding(code=EVIL, severity=Severity.WARNING, message=EVIL, file=EVIL)
    yield EVIL


def modelshelf_serializers():
    yield SerializerType(name=EVIL, media_type=EVIL, dump=lambda models: [b""], summary=EVIL)


def modelshelf_commands():
    yield CommandType(name=EVIL, load=lambda: EVIL, summary=EVIL)


class Source:
    name = EVIL

    def places(self):
        return [Place(source=EVIL, root="/" + EVIL, reason=EVIL)]

    def claims(self, root):
        return False

    def list(self, place, walk):
        yield Problem(code=EVIL, message=EVIL, path=EVIL, plugin=EVIL)
        yield UnfinishedDownload(path=EVIL, size=7, reason=EVIL)
        yield Orphan(path=EVIL, size=7, reason=EVIL)
        raise ValueError(EVIL)

    def open(self, artifact, one, budget):
        raise ValueError(EVIL)


def modelshelf_sources():
    yield SourceType(name=EVIL, make=lambda settings: Source(), summary=EVIL)
"""


def install_plugins(site: Path) -> None:
    """A plugin that says hostile things in every hook, and one that cannot be imported and says why."""
    name = f"{MARK}\x1b[2J\x9b2J\u202e"
    write_distribution(site, "evil-plugin", PLUGIN.format(evil=EVIL), version="0.3")
    write_distribution(site, "evil-import", f"raise ImportError({EVIL!r})", entry=name)
    for folder in site.glob("evil_*.dist-info"):
        text = f"Metadata-Version: 2.1\nName: {folder.name[:8]}{name}\nVersion: 0.3{name}\n"
        (folder / "METADATA").write_text(text, encoding="utf-8")


def fill(store: Path) -> None:
    """A registry of hostile records."""
    with ModelRegistry(store.parent / "models", store) as registry:
        for one in records():
            registry.register(one)
