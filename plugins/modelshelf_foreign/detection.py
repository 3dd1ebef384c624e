"""Which model of another program a file is: by its first bytes, its name, and what lies beside it.

Sources: schema.fbs of TensorFlow Lite; HDF5 File Format Specification 3.0; ``saved_model.proto``; ncnn's
``net.cpp``; ``model.cc`` of CTranslate2; ``whisper.cpp``; the documents of tfjs, Core ML and OpenVINO.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from modelshelf.model import Detection
from modelshelf.model.piece import piece_of
from modelshelf_foreign.neighbours import is_beside, read_beside
from modelshelf_foreign.owners import owner_of
from modelshelf_foreign.tfjs import shards

if TYPE_CHECKING:
    from modelshelf.model import Candidate

_BY_NAME, _BY_MAGIC = 0.04, 0.05
_BESIDE = 0.15  # more than a vote for .bin by its suffix alone, less than any other reader's
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ENGINES = (".engine", ".trt", ".plan")
_SIGNATURES = (
    (0, _HDF5, "keras", (".h5", ".hdf5", ".keras"), "an HDF5 file"),
    (0, b"PK\x03\x04", "keras", (".keras",), "a ZIP under the suffix .keras"),
    (4, b"TFL3", "tflite", (), "the identifier TFL3 of TensorFlow Lite"),
    *((0, magic, "ggml", (), "a magic number of ggml") for magic in (b"lmgg", b"fmgg", b"tjgg", b"algg")),
    (0, b"7767517\n", "ncnn", (".param",), "the magic number of an ncnn .param"),
    (0, b"7767517\r\n", "ncnn", (".param",), "the magic number of an ncnn .param"),
    (0, b"\xdd\x85\x76\x00", "ncnn", (".bin",), "the magic number of a binary ncnn .param"),
    (0, b"\x08", "onnx", (".onnx",), "an IR version under the suffix .onnx"),
    (0, b"\x08", "coreml", (".mlmodel",), "a specification version under the suffix .mlmodel"),
    (0, b"ftrt", "tensorrt", _ENGINES, "the magic bytes of a TensorRT engine"),
    (0, b"ptrt", "tensorrt", _ENGINES, "the magic bytes of a TensorRT engine"),
    (0, b"{", "equinox", (".eqx",), "settings before the leaves under the suffix .eqx"),
    (0, b"\x93NUMPY", "equinox", (".eqx",), "arrays of numpy under the suffix .eqx"),
)
_MSGPACK_MAPS = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})
_CTRANSLATE2 = re.compile(rb"(?s)[\x01-\x20]\0\0\0.\0[A-Z][A-Za-z0-9]+Spec\0")
_COMPRESSED = re.compile(r"(?i)\.(?:pt|pth|bin|ckpt|gguf|safetensors|onnx|h5)\.(?:zst|gz|xz|bz2|lz4)$")
_COMPRESSED_MAGIC = (b"(\xb5/\xfd", b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"BZh", b"\x04\x22M\x18")
_NOT_THE_FILE = (b"version https://git-lfs", b"<!doctype", b"<html")  # in lower case


def detect(candidate: Candidate) -> Detection | None:
    """Return a weak vote for a model of another program, a word without weight on another file, or None."""
    if candidate.head[:64].lstrip().lower().startswith(_NOT_THE_FILE):
        return None  # a failed download is a matter of whoever claims the suffix
    model = _by_name(candidate) or _by_signature(candidate) or _by_neighbours(candidate)
    if model is not None:
        return model
    owner = owner_of(candidate)
    return None if owner is None else Detection(format="foreign", confidence=0, evidence=owner)


def _by_name(candidate: Candidate) -> Detection | None:
    """Recognise what a name tells: pieces, compressed files, SavedModel, Orbax, flax."""
    name, head = candidate.artifact.weights[0].name, candidate.head
    base, lowered = name.rpartition("/")[2], name.lower()
    found: tuple[str, str] | None = None
    if piece_of(name) is not None:
        found = "split", "the name of a piece of a file that was cut by bytes"
    elif _COMPRESSED.search(name) and head.startswith(_COMPRESSED_MAGIC):
        found = "compressed", "a model file that was compressed as a whole"
    elif base == "saved_model.pb" and head:
        found = "savedmodel", "the name saved_model.pb"
    elif _is_orbax(candidate.artifact.folder, base, head):
        found = "orbax", f"the name {base}"
    elif lowered.endswith(".msgpack") and head[:1] and head[0] in _MSGPACK_MAPS:
        found = "flax", "a map of msgpack under the suffix .msgpack"
    return None if found is None else Detection(format=found[0], confidence=_BY_NAME, evidence=found[1])


def _is_orbax(folder: str, base: str, head: bytes) -> bool:
    """Return whether a file begins a checkpoint of Orbax: of the parts of one its root speaks."""
    if not head.lstrip().startswith(b"{"):
        return False
    root = "_CHECKPOINT_METADATA"
    above = is_beside(folder, root) or is_beside(os.path.dirname(folder), root)
    return base == root or (base == "_METADATA" and not above)


def _by_signature(candidate: Candidate) -> Detection | None:
    head, suffix = candidate.head, candidate.suffix
    for offset, magic, name, suffixes, evidence in _SIGNATURES:
        if (not suffixes or suffix in suffixes) and head[offset : offset + len(magic)] == magic:
            return Detection(format=name, confidence=_BY_MAGIC, evidence=evidence)
    if _CTRANSLATE2.match(head):
        evidence = "the version and the name of a CTranslate2 model"
        return Detection(format="ctranslate2", confidence=_BY_MAGIC, evidence=evidence)
    return None


def _by_neighbours(candidate: Candidate) -> Detection | None:
    """Recognise weights whose bytes say nothing by what describes them; of several files the first."""
    folder, name = candidate.artifact.folder, candidate.artifact.weights[0].name
    stem = name.rpartition(".")[0]
    evidence, found = "", None
    if folder.lower().endswith(".mlmodelc") and name == "coremldata.bin":
        found, evidence = "coreml", "a compiled Core ML model"
    elif candidate.suffix == ".bin" and stem and b"<net" in read_beside(folder, f"{stem}.xml", 4096):
        found, evidence = "openvino", f"weights of the network that {stem}.xml beside it describes"
    elif candidate.suffix == ".bin" and name.lower().startswith("openvino_"):
        found, evidence = "openvino", "the name of weights of OpenVINO"
    else:
        files = shards(folder, name)
        if files and files[0] == name:
            found, evidence = "tfjs", "the first weights that the JSON of TensorFlow.js beside it names"
    return None if found is None else Detection(format=found, confidence=_BESIDE, evidence=evidence)
