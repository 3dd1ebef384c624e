"""Layers of a Keras model that bring code: ``Lambda``, and names of modules that are imported at load.

A ``.keras`` file is a ZIP with a ``config.json``; an HDF5 file has the same JSON as the text of its attribute
``model_config``. That text is found by reading the file's first and last bytes, or all of them at depth full,
and compared as text: nothing is decoded into code. What cannot be read stays not judged, as every such file.

Sources: ``keras/src/saving/serialization_lib.py`` and ``saving_lib.py`` (3.x), ``legacy/h5_format.py``.
"""

from __future__ import annotations

import io
import json
import re
import struct
import sys
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from modelshelf.errors import ReadError
from modelshelf.model import Concern, Depth, Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.reader import FileReader

_ZIP = b"PK\x03\x04"
_CONFIG = "config.json"
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_LARGEST_CONFIG = 32 << 20  # bytes of JSON
_LARGEST_READ = 4 << 20  # bytes of a ZIP's directory: 40,000 members
_CHUNK, _OVERLAP = 4 << 20, 512  # bytes of an HDF5 file that are read at once, and twice
_FIRST, _LAST = 24 << 20, 8 << 20  # bytes of an HDF5 file that are read at depth header
_MOST = 20  # findings
_SHOWN = 100  # characters

_CODE_CLASSES = frozenset({"Lambda", "__lambda__"})
_MODULES = sys.stdlib_module_names - {"builtins", "__future__"}
_ESCAPED = re.compile(rb"\\+u00([2-7][0-9a-fA-F])")
_CLASS = re.compile(rb'\\?"class_name\\?"\s{0,64}:\s{0,64}\\?"(Lambda|__lambda__)\\?"')
_MODULE = re.compile(rb'\\?"module\\?"\s{0,64}:\s{0,64}\\?"([A-Za-z_][A-Za-z0-9_.]{0,200})\\?"')

_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,
    ValueError,
)
"""All that Python's ``zipfile`` and ``json`` raise for what a file says."""


def layer_findings(file: FileReader, depth: Depth) -> Iterator[Finding]:
    """Yield an error for each kind of code that a Keras model brings."""
    if file.read_up_to(0, len(_ZIP)) == _ZIP:
        try:
            named = set(_named_in_config(_config_of(file)))
        except _FAULTS:
            return
    else:
        named = set(_named_in_bytes(file, depth))
    yield from code_findings(named, file.name)


def code_findings(named: set[str], name: str) -> Iterator[Finding]:
    """Yield an error for each kind of code that a file names.

    Args:
        named: Classes that bring code, and modules.
        name: The file's name.
    """
    if not _CODE_CLASSES.isdisjoint(named):
        message = (
            f"{name}: has a Lambda layer, whose Python code runs when Keras loads or calls the model; do not "
            "load it unless you trust who made it"
        )
        yield _error("lambda-layer", message, name)
    for module in sorted(named - _CODE_CLASSES)[:_MOST]:
        message = f"{name}: names the module {module[:_SHOWN]}, which has no layers and would be imported"
        yield _error("unsafe-import", message, name)


def _error(code: str, message: str, name: str) -> Finding:
    return Finding(code=code, severity=Severity.ERROR, message=message, file=name, concern=Concern.SAFETY)


def _config_of(file: FileReader) -> Any:
    with zipfile.ZipFile(_Stream(file)) as archive:
        entry = archive.getinfo(_CONFIG)
        if entry.compress_type not in _METHODS:
            raise NotImplementedError
        with archive.open(entry) as opened:
            text = opened.read(_LARGEST_CONFIG + 1)
    if len(text) > _LARGEST_CONFIG:
        raise OverflowError
    return json.loads(text)


def _named_in_config(config: Any) -> Iterator[str]:
    """Yield classes that bring code, and modules of Python's library, wherever a configuration names them."""
    waiting = [config]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
            name, module = one.get("class_name"), one.get("module")
            if isinstance(name, str) and name in _CODE_CLASSES:
                yield name
            if isinstance(name, str) and isinstance(module, str) and module.partition(".")[0] in _MODULES:
                yield module


def _named_in_bytes(file: FileReader, depth: Depth) -> Iterator[str]:
    """Yield the same of an HDF5 file, by the text in it."""
    spans = [(0, file.size)]
    if depth is not Depth.FULL and file.size > _FIRST + _LAST:
        spans = [(0, _FIRST), (file.size - _LAST, file.size)]
    for begin, end in spans:
        for position in range(begin, end, _CHUNK):
            yield from code_named_in(file.read_up_to(position, min(_CHUNK + _OVERLAP, end - position)))


def code_named_in(data: bytes) -> set[str]:
    """Return the classes that bring code, and the modules of Python's library, that JSON in bytes names."""
    if b"class_name" not in data and b"\\u00" not in data:
        return set()
    text = _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), data)
    modules = {match[1].decode("ascii") for match in _MODULE.finditer(text)}
    return {match[1].decode("ascii") for match in _CLASS.finditer(text)} | {
        one for one in modules if one.partition(".")[0] in _MODULES
    }


class _Stream(io.RawIOBase):
    """A file as `zipfile` reads one; a read that is larger than any honest one is an error."""

    def __init__(self, file: FileReader) -> None:
        super().__init__()
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        if base + offset < 0:
            raise OSError("before the file's first byte")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._file.size - self._position, 0)
        length = left if size is None or size < 0 else min(size, left)
        if length > _LARGEST_READ:
            raise OverflowError
        try:
            data = self._file.read_up_to(self._position, length)
        except ReadError as error:
            raise OSError(str(error)) from error
        self._position += len(data)
        return data
