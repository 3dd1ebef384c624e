"""Every byte of every file, and the word of the format's own loader where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf.model import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.reader import ArtifactReader, FileReader
    from modelshelf_safetensors.checkpoint import Checkpoint

_PIECE = 8 << 20  # bytes read at once


def read_whole(checkpoint: Checkpoint, reader: ArtifactReader) -> Iterator[Finding]:
    """Read every file from end to end, then open it with the ``safetensors`` package.

    Without that package, and for files that do not lie on this machine, only the reading is done.
    """
    for name, header in checkpoint.headers.items():
        file = reader.file(name)
        fault = _unreadable(file)
        if fault is not None:
            yield fault
        elif "://" not in reader.artifact.folder and file.size == header.data_start + header.data_size:
            # Of another length the file has its finding already, and the loader refuses it for that.
            yield from _refused(reader.artifact.path_of(name), name)


def _unreadable(file: FileReader) -> Finding | None:
    try:
        for offset in range(0, file.size, _PIECE):
            file.read_up_to(offset, _PIECE)
    except ReadError as error:
        return Finding(
            code=error.code, severity=Severity.ERROR, message=str(error), file=file.name, offset=error.offset
        )
    return None


def _refused(path: str, name: str) -> Iterator[Finding]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        return
    try:
        with safe_open(path, framework="numpy") as loaded:
            loaded.keys()
    except ImportError:
        return
    except (SafetensorError, OSError) as error:
        yield Finding(
            code="refused-by-loader",
            severity=Severity.ERROR,
            message=f"{name}: the safetensors package refuses it: {error}",
            file=name,
        )
