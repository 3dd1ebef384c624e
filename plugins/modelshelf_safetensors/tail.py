"""Zeros where the last weights should be: what a broken download leaves in a file made at full length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.model import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.reader import FileReader
    from modelshelf_safetensors.layout import Header

SHORTEST = 1 << 20
"""Bytes of zeros at the end that are worth a warning."""

_FARTHEST = 16 << 20  # bytes looked back for the first of them
_WIDEST = 8  # bytes of an element
_LOOK = 4096  # bytes that clear nearly every file


def zero_tail(header: Header, file: FileReader) -> Iterator[Finding]:
    """Warn of zeros at the data's end.

    Zeros that begin where a tensor begins are that tensor's own (a layer that training starts from zero),
    unless nothing but zeros is there: a download breaks off anywhere else.
    """
    end = header.data_start + header.data_size
    if header.data_size < SHORTEST or any(file.read(end - _LOOK, _LOOK)):
        return
    begin = _first_zero(file, max(header.data_start, end - _FARTHEST), end)
    if end - begin < SHORTEST:
        return
    # The last element before the zeros may itself end in zero bytes.
    near = range(begin - header.data_start, begin - header.data_start + _WIDEST + 1)
    if begin > header.data_start and any(map(near.__contains__, header.begins)):
        return
    yield Finding(
        code="zero-tail",
        severity=Severity.WARNING,
        message=f"{file.name}: from byte {begin} on there are only zeros, as an unfinished download leaves"
        " them; compare the file's checksum with its source",
        file=file.name,
        offset=begin,
    )


def _first_zero(file: FileReader, begin: int, end: int) -> int:
    """Where the zeros begin that reach to `end`, looking back to `begin`."""
    at = end
    while at > begin:
        length = min(SHORTEST, at - begin)
        piece = file.read(at - length, length)
        # Comparing is forty times as fast as stripping, and zeros are what a long search meets.
        if piece != bytes(length):
            return at - length + len(piece.rstrip(b"\0"))
        at -= length
    return begin
