"""Whose file a file is: by its first bytes, its name, and the names beside it.

Sources: schema.fbs of TensorFlow Lite; HDF5 File Format Specification 3.0; ``saved_model.proto``; ncnn's
``net.cpp``; ``model.cc`` of CTranslate2; ``whisper.cpp``; the documents of tfjs, Core ML and OpenVINO.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from modelshelf.model import Detection

if TYPE_CHECKING:
    from modelshelf.model import Candidate

_WEAK, _BY_NAME = 0.05, 0.04
_HDF5 = b"\x89HDF\r\n\x1a\n"
_SIGNATURES = (
    (0, _HDF5, "keras", (".h5", ".hdf5", ".keras"), "an HDF5 file"),
    (0, b"PK\x03\x04", "keras", (".keras",), "a ZIP under Keras' suffix"),
    (4, b"TFL3", "tflite", (), "the identifier TFL3 of TensorFlow Lite"),
    *((0, magic, "ggml", (), "a magic number of ggml") for magic in (b"lmgg", b"fmgg", b"tjgg")),
    (0, b"7767517\n", "ncnn", (".param",), "the magic number of an ncnn .param"),
    (0, b"\x08", "onnx", (".onnx",), "an IR version under the suffix .onnx"),
    (0, b"\x08", "coreml", (".mlmodel",), "a specification version under the suffix .mlmodel"),
    (0, b"ftrt", "tensorrt", (".engine", ".trt", ".plan"), "the magic bytes of a TensorRT engine"),
    (0, b"ptrt", "tensorrt", (".engine", ".trt", ".plan"), "the magic bytes of a TensorRT engine"),
    (0, b"{", "equinox", (".eqx",), "settings before the leaves under the suffix .eqx"),
    (0, b"\x93NUMPY", "equinox", (".eqx",), "arrays of numpy under the suffix .eqx"),
)
_MSGPACK_MAPS = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})
_CONTROLS = frozenset(range(0x20)) - frozenset(b"\t\n\f\r\x1b")
_CTRANSLATE2 = re.compile(rb"(?s)[\x01-\x20]\0\0\0.\0[A-Z][A-Za-z0-9]+Spec\0")
_COMPRESSED = re.compile(r"(?i)\.(?:pt|pth|bin|ckpt|gguf|safetensors)\.(?:zst|gz|xz|bz2|lz4)$")
_COMPRESSED_MAGIC = (b"(\xb5/\xfd", b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"BZh", b"\x04\x22M\x18")
_PIECE = re.compile(
    r"(?i)\.(?P<ending>gguf|safetensors|bin|pth?)[.-](?:part[-_.]?\d+(?:of\d+)?|split-?[a-z]{2}|\d{3})$"
)
_ARCHIVES = (
    (0, b"7z\xbc\xaf'\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "RAR"),
    (257, b"ustar", "tar"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"PK\x05\x06", "ZIP"),
)
_ARCHIVE_SUFFIXES = frozenset({".7z", ".rar", ".tar", ".zip"})
_SHARED_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".jit", ".ptl", ".pt2"})
_ORBAX = frozenset({"_CHECKPOINT_METADATA", "_METADATA"})
_LARGEST_BESIDE = 1 << 20


def detect(candidate: Candidate) -> Detection | None:
    """Return a weak vote for a model of another program, a word without weight on another file, or None."""
    name, head = candidate.artifact.weights[0].name, candidate.head
    model = _by_name(name, head) or _by_signature(candidate)
    if model is not None:
        return model
    owner = _owner(candidate)
    return None if owner is None else Detection(format="foreign", confidence=0, evidence=owner)


def advice(format: str, name: str) -> str:
    """Return the word on a file that nobody judged, and what to do with it."""
    if format == "split":
        whole = _PIECE.sub(lambda match: f".{match['ending']}", name)
        return (
            f"{name}: a piece of {whole}, which was cut by bytes, so it was not judged; join the pieces in "
            f"their order, as with cat, into {whole}"
        )
    if format == "compressed":
        return f"{name}: compressed as a whole, so what is in it was not judged; unpack it first"
    return f"{name}: no plugin reads {format} files, so this one was not judged"


def _by_name(name: str, head: bytes) -> Detection | None:
    """Recognise what a name alone tells: pieces, compressed files, SavedModel, Orbax, flax."""
    base, lowered = name.rpartition("/")[2], name.lower()
    found: tuple[str, str] | None = None
    if _PIECE.search(name):
        found = "split", "the name of a piece of a file that was cut by bytes"
    elif _COMPRESSED.search(name) and head.startswith(_COMPRESSED_MAGIC):
        found = "compressed", "a checkpoint that was compressed as a whole"
    elif base == "saved_model.pb":
        found = "savedmodel", "the name saved_model.pb"
    elif base in _ORBAX and head.lstrip().startswith(b"{"):
        found = "orbax", f"the name {base}"
    elif lowered.endswith(".msgpack") and head[:1] and head[0] in _MSGPACK_MAPS:
        found = "flax", "a map of msgpack under the suffix .msgpack"
    return None if found is None else Detection(format=found[0], confidence=_BY_NAME, evidence=found[1])


def _by_signature(candidate: Candidate) -> Detection | None:
    head, suffix = candidate.head, candidate.suffix
    for offset, magic, name, suffixes, evidence in _SIGNATURES:
        if (not suffixes or suffix in suffixes) and head[offset : offset + len(magic)] == magic:
            return Detection(format=name, confidence=_WEAK, evidence=evidence)
    if _CTRANSLATE2.match(head):
        evidence = "the version and the name of a CTranslate2 model"
        return Detection(format="ctranslate2", confidence=_WEAK, evidence=evidence)
    return None


def _owner(candidate: Candidate) -> str | None:
    """Return in words whose file this is, where it is no model, or None."""
    head, suffix = candidate.head, candidate.suffix
    if suffix in _ARCHIVE_SUFFIXES:
        kinds = (kind for offset, magic, kind in _ARCHIVES if head[offset : offset + len(magic)] == magic)
        kind = next(kinds, None)
        return None if kind is None else f"an ordinary {kind} archive, which no model loader opens"
    if suffix not in _SHARED_SUFFIXES:
        return None
    beside = _beside(candidate)
    if beside is not None:
        return beside
    if suffix == ".pth" and _is_text(head):
        return "lists paths or imports for Python's start, as .pth files of installed packages do"
    if _is_text(head):
        return f"a text, not the model that its ending {suffix} suggests"
    return "another program's data: no known model begins so" if suffix == ".bin" else None


def _beside(candidate: Candidate) -> str | None:
    """Return what a .bin or .pt file belongs to by its place and the names beside it, or None."""
    folder, name = candidate.artifact.folder, candidate.artifact.weights[0].name
    stem = name.rpartition(".")[0]
    parts = folder.replace("\\", "/").lower().split("/")
    if any(part.endswith((".mlpackage", ".mlmodelc")) for part in parts):
        return "weights within a Core ML package"
    if parts[-1] == "metal" and name == "model.bin":
        return "weights for Metal of gpt-oss, which its own program reads"
    if "://" in folder or not stem:
        return None
    for ending, program in ((".param", "ncnn"), (".xml", "OpenVINO")):
        if os.path.isfile(f"{folder}/{stem}{ending}"):
            return f"weights of the {program} model that {stem}{ending} beside it describes"
    if parts[-1] == "voices":
        return "a voice beside the model that speaks with it"
    return _tfjs(folder, name)


def _tfjs(folder: str, name: str) -> str | None:
    path = f"{folder}/model.json"
    try:
        if os.path.isfile(path):
            with open(path, "rb") as file:
                text = file.read(_LARGEST_BESIDE)
            if b'"weightsManifest"' in text:
                return f"{name}: weights of the TensorFlow.js model that model.json beside it describes"
    except OSError:
        return None
    return None


def _is_text(head: bytes) -> bool:
    """Return whether the first bytes are text: UTF-8, or another alphabet without control characters."""
    return bool(head) and _CONTROLS.isdisjoint(head)
