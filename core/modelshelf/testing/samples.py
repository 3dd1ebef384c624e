"""Files of the built-in formats, made byte by byte: sound ones, ones cut short, and ones that lie.

Each holds one matrix of 128 x 128 float32 zeros, 65,536 bytes, so that a reader of headers is told from a
reader of weights by what it read. No package of a format is needed to make them.

- sound: the format's own loader takes it.
- truncated: the sound file without its last 20,000 bytes, as a broken download leaves it.
- lying: a whole header that tells of 256 x 128 numbers over the same 65,536 bytes of data.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WIDTH = 128
_DATA = bytes(WIDTH * WIDTH * 4)
_LACKING = 20_000  # bytes

_U32, _STRING, _F32 = 4, 8, 0  # value types 4 and 8, tensor type 0 of the GGUF specification
_ALIGNMENT = 32  # bytes, the GGUF specification's default


def gguf(rows: int = WIDTH) -> bytes:
    """A GGUF file of version 3, little-endian: six keys of a llama model, one tensor of `rows` x 128."""
    pairs = [
        _pair("general.architecture", "llama"),
        _pair("general.name", "Tiny"),
        _pair("general.file_type", 0),
        _pair("llama.context_length", 2048),
        _pair("llama.embedding_length", WIDTH),
        _pair("llama.block_count", 1),
    ]
    # Dimensions go from the fastest to the slowest.
    tensor = _string("token_embd.weight") + struct.pack("<I2QIQ", 2, WIDTH, rows, _F32, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs)) + b"".join(pairs) + tensor
    return head + bytes(-len(head) % _ALIGNMENT) + _DATA


def _pair(key: str, value: str | int) -> bytes:
    if isinstance(value, str):
        return _string(key) + struct.pack("<I", _STRING) + _string(value)
    return _string(key) + struct.pack("<II", _U32, value)


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def safetensors(rows: int = WIDTH) -> bytes:
    """A safetensors file: metadata ``format: pt`` and one F32 tensor ``weight`` of `rows` x 128."""
    table = {
        "__metadata__": {"format": "pt"},
        "weight": {"dtype": "F32", "shape": [rows, WIDTH], "data_offsets": [0, rows * WIDTH * 4]},
    }
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + _DATA


def pytorch(rows: int = WIDTH) -> bytes:
    """A zip checkpoint as `torch.save` lays it out: a dictionary of one float32 tensor of `rows` x 128."""
    members = {
        "archive/data.pkl": _checkpoint_pickle(rows),
        "archive/byteorder": b"little",
        "archive/data/0": _DATA,
        "archive/version": b"3\n",
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # of 1980, whenever it is made
    return stream.getvalue()


def _checkpoint_pickle(rows: int) -> bytes:
    text, number = "<cI", "<cI"

    def unicode(value: str) -> bytes:
        return struct.pack(text, b"X", len(value)) + value.encode()

    def whole(value: int) -> bytes:
        return struct.pack(number, b"J", value)

    storage = unicode("storage") + b"ctorch\nFloatStorage\n" + unicode("0") + unicode("cpu")
    return (
        b"\x80\x02}"
        + unicode("weight")
        + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + storage
        + whole(rows * WIDTH)
        + b"tQ"
        + whole(0)
        + (whole(rows) + whole(WIDTH) + b"\x86")
        + (whole(WIDTH) + whole(1) + b"\x86")
        + b"\x89ccollections\nOrderedDict\n)RtRs."
    )


_BUILDERS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "gguf": (".gguf", gguf),
    "pytorch": (".pt", pytorch),
    "safetensors": (".safetensors", safetensors),
}

FORMATS = tuple(_BUILDERS)
"""Names of the formats that there are files of."""


def sound(format: str) -> bytes:
    """A whole file of the format."""
    return _BUILDERS[format][1](WIDTH)


def truncated(format: str) -> bytes:
    """The sound file without its end."""
    return sound(format)[:-_LACKING]


def lying(format: str) -> bytes:
    """A file whose header tells of twice the data that there is."""
    return _BUILDERS[format][1](2 * WIDTH)


class ModelFiles:
    """Writes files of the built-in formats below a folder, each model in a folder of its own.

    Attributes:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sound(self, format: str, name: str = "sound") -> Path:
        """Write a whole file as ``name/model.SUFFIX``."""
        return self._write(format, name, sound(format))

    def truncated(self, format: str, name: str = "truncated") -> Path:
        """Write a file that lacks its end."""
        return self._write(format, name, truncated(format))

    def lying(self, format: str, name: str = "lying") -> Path:
        """Write a file whose header tells of more than there is."""
        return self._write(format, name, lying(format))

    def _write(self, format: str, name: str, content: bytes) -> Path:
        path = self.folder / name / f"model{_BUILDERS[format][0]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path
