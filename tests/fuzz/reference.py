"""The real loaders: whether one of them takes a case that was called healthy."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import pickle
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz.formats import Case

_MEMORY = Path("/dev/shm")  # noqa: S108 - files of this process alone, in memory where there is such a place


def fault_of(case: Case, format: str) -> str | None:
    """Why the format's own loader refuses a case, or None where it takes it or there is no such loader."""
    loader = _LOADERS.get(format)
    if loader is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loader(case.content)
    except Exception as error:  # noqa: BLE001 - each loader has its own
        return f"{type(error).__name__}: {error}"
    return None


def prepare(format: str) -> None:
    """Import the loader of a format of cases, so that its memory is not counted as that of a case."""
    if format == "gguf":
        import gguf  # noqa: F401
    elif format == "safetensors":
        import safetensors  # noqa: F401
    elif format == "pytorch":
        import numpy as np  # noqa: F401
        import torch

        torch.set_num_threads(1)


def _gguf(content: bytes) -> None:
    from gguf import GGUFReader

    folder = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".gguf") as file:
        os.write(file.fileno(), content)
        GGUFReader(file.name)


def _safetensors(content: bytes) -> None:
    from safetensors import deserialize

    deserialize(content)


def _pytorch(content: bytes) -> None:
    import torch

    try:
        torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except RuntimeError as error:
        if "TorchScript archives" not in str(error):  # which weights_only refuses, sound ones included
            raise


def _numpy(content: bytes) -> None:
    import numpy as np

    loaded = np.load(io.BytesIO(content), allow_pickle=False)
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        return
    for name in loaded.files:
        try:
            _ = loaded[name]
        except zipfile.BadZipFile as error:
            if "Bad CRC-32" not in str(error):  # of weights, which reading a header does not read
                raise


_DECOMPRESSORS: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ", lzma.LZMADecompressor),
    (b"\x78", zlib.decompressobj),
)


class _Harmless(pickle._Unpickler):  # type: ignore[name-defined] # C's would reserve a memo of any size
    """Builds data and nothing else: a stream that asks for a class is not judged."""

    def find_class(self, *_name: str) -> Any:
        raise _Unjudged

    def persistent_load(self, _pid: Any) -> Any:
        raise _Unjudged

    def get_extension(self, _code: int) -> Any:
        raise _Unjudged


class _Unjudged(Exception):  # noqa: N818 - no error of the file
    pass


def _pickle(content: bytes) -> None:
    for magic, decompressor in _DECOMPRESSORS:
        if content.startswith(magic):
            one = decompressor()
            content = one.decompress(content)
            if not one.eof:
                raise EOFError("the compressed data ends before its end")
            break
    try:
        _Harmless(io.BytesIO(content)).load()
    except _Unjudged:
        return


_LOADERS: dict[str, Callable[[bytes], None]] = {
    "gguf": _gguf,
    "safetensors": _safetensors,
    "pytorch": _pytorch,
    "numpy": _numpy,
    "pickle": _pickle,
}
