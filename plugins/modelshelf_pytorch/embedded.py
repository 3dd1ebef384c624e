"""Pickles, and code, that hide in the strings of another pickle or behind its end: raw, base64 or hex."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import frozen

from modelshelf_pytorch.bytesfile import BytesFile
from modelshelf_pytorch.outcome import Limits, Outcome
from modelshelf_pytorch.pickle_machine import Machine
from modelshelf_pytorch.symbols import Blob
from modelshelf_pytorch.verdict import Issue, Verdict, suspicious

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.tensor_run import TensorRun

_DEPTH = 4  # encodings within encodings that are undone
_ATTEMPTS = 256  # places in one string where a stream is tried
_PIECE = 1024 * 1024
_OVERLAP = 4096
_LONGEST_BLOB = 64 * 1024 * 1024  # bytes of one long string that are searched
_LONG_WORD = b"a" * 16  # the fewest characters that the patterns below take for an encoded pickle
_LETTERS = bytes.maketrans(bytes(range(256)), b"a" * 46 + b"." + b"a" * 209)
_LIMITS = Limits(structure=1 << 20, objects=100_000, depth=1000)

_PROTO = re.compile(rb"\x80[\x02-\x05]")
_NAMED = re.compile(rb"[ci][A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){8,}")
_FOLDED = re.compile(rb"(?<=[A-Za-z0-9+/=])\s+(?=[A-Za-z0-9+/=])")
_WORTH = re.compile(
    rb"[(\n\x80-\xff]|[A-Za-z0-9+/_-]{16,}"
)  # most strings are names: one search rules them out
_CODE = re.compile(
    rb"""(?x) (?: ^ | [;\n\s=(,'"] )
    (?: os\.(?:system|popen|exec[lv]\w*|spawn\w+) | subprocess\.\w+ | pty\.spawn | commands\.getoutput
      | (?:builtins\.)?(?:eval|exec|__import__|compile) | importlib\.import_module | runpy\.\w+
      | (?:_?pickle|marshal|torch|joblib)\.loads? | ctypes\.\w+ | socket\.(?:socket|create_connection) )
    \s*\( [^)\n]* ['"\w] [^\n]* \)"""
)


@frozen(kw_only=True)
class Hidden:
    """A pickle found inside a string.

    Attributes:
        outcome: What interpreting it told.
        encoding: How it was packed: ``raw``, ``base64``, ``hex``, or several joined by `` in ``.
        offset: Where it begins in the bytes that were searched (the string itself where it was encoded).
    """

    outcome: Outcome
    encoding: str
    offset: int


def convincing(outcome: Outcome, *, at_start: bool) -> bool:
    """Whether bytes that could be a pickle are one: random bytes happen to begin like one too."""
    if outcome.globals or any(issue.verdict is Verdict.DANGEROUS for issue in outcome.issues):
        named = all(_plausible(use.module) and _plausible(use.name) for use in outcome.globals)
        return named and (outcome.stopped or any(use.called for use in outcome.globals))
    return at_start and outcome.stopped and outcome.protocol is not None


def _plausible(name: str) -> bool:
    return bool(name) and all(part.isidentifier() for part in name.split("."))


def hidden_in(data: bytes, *, whole: bool = True, _depth: int = 0) -> Iterator[Hidden]:
    """Every pickle in `data`, raw or encoded, nested encodings included.

    Args:
        data: The bytes of one string, or of a piece of a file.
        whole: Whether the data is one string with a beginning and an end of its own.
    """
    yield from _raw(data, whole=whole)
    if _depth >= _DEPTH:
        return
    for encoding, place, inner in _undone(data):
        for found in hidden_in(inner, _depth=_depth + 1):
            name = encoding if found.encoding == "raw" else f"{found.encoding} in {encoding}"
            yield Hidden(outcome=found.outcome, encoding=name, offset=place)


def _raw(data: bytes, *, whole: bool) -> Iterator[Hidden]:
    places = {
        match.start()
        for pattern in (_PROTO, _NAMED)
        for match, _ in zip(pattern.finditer(data), range(_ATTEMPTS), strict=False)
    }
    if whole and places:
        places.add(0)
    reader = BytesFile(data)
    end = -1
    for place in sorted(places):
        if place < end:
            continue
        outcome = Machine(reader, place, len(data), limits=_LIMITS).run()
        if convincing(outcome, at_start=whole and place == 0):
            end = outcome.end
            yield Hidden(outcome=outcome, encoding="raw", offset=place)


def _undone(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    flat = _FOLDED.sub(b"", data) if b"\n" in data else data
    for match, _ in zip(_HEX.finditer(flat), range(_ATTEMPTS), strict=False):
        yield "hex", match.start(), binascii.unhexlify(match[0])
    for match, _ in zip(_BASE64.finditer(flat), range(_ATTEMPTS), strict=False):
        text = match[0].rstrip(b"=").translate(_URL_SAFE)
        text = text[: len(text) - 1] if len(text) % 4 == 1 else text
        yield "base64", match.start(), base64.b64decode(text + b"=" * (-len(text) % 4))


_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def code_in(data: bytes, _depth: int = 0) -> bytes | None:
    """A call in `data`, plain or encoded, that runs programs or code; None where there is none."""
    match = _CODE.search(data)
    if match is not None:
        return match[0].strip()
    if _depth < 1:
        for _, _, inner in _undone(data):
            found = code_in(inner, _depth + 1)
            if found is not None:
                return found
    return None


def _bytes_of(value: bytes | str) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def search(outcome: Outcome, reader: FileReader, *, code: bool = True) -> Iterator[Issue]:
    """Look for hidden pickles and code in the strings of an interpreted stream.

    Args:
        outcome: The stream.
        reader: The file that it was read from.
        code: Whether code in a string is worth an issue; a TorchScript archive is full of its own.

    Raises:
        ReadError: A long string could not be read again.
    """
    suspects = outcome.suspects if _hide_something(outcome.runs) else outcome.loose_suspects
    for place, value in suspects:
        if isinstance(value, Blob):
            yield from _search_blob(value, reader)
            continue
        data = _bytes_of(value)
        if not _WORTH.search(data):
            continue
        yield from (_issue(hidden, place) for hidden in hidden_in(data))
        found = code_in(data) if code else None
        if found is not None:
            yield suspicious(
                "code-string", f"a string holds code: {_short(found)}; harmless until it is run", place
            )


def _hide_something(runs: Iterable[TensorRun]) -> bool:
    """Whether a name in the runs could hold a pickle or code, and is to be looked at by itself.

    Such a name has neither a line break nor a bracket nor a byte of 80 or above, so that it would have to be
    encoded. The dots in it are in no encoding's alphabet, and layers repeat what stands between them.
    """
    words: set[bytes] = set()
    for run in runs:
        names = ".".join(run.names).encode("ascii")
        letters = names.translate(_LETTERS)
        place = letters.find(_LONG_WORD)
        while place >= 0:
            end = letters.find(b".", place)
            words.add(names[place : end if end >= 0 else None])
            place = letters.find(_LONG_WORD, end) if end >= 0 else -1
    return any(map(_hides_something, words))


@lru_cache(maxsize=4096)
def _hides_something(word: bytes) -> bool:
    return next(hidden_in(word), None) is not None or code_in(word) is not None


def _search_blob(blob: Blob, reader: FileReader) -> Iterator[Issue]:
    """Search a long string by pieces that overlap, so that a pickle of some size is whole in one."""
    end = blob.offset + min(blob.length, _LONGEST_BLOB)
    for place in range(blob.offset, end, _PIECE):
        piece = reader.read_up_to(place, min(_PIECE + _OVERLAP, end - place))
        if blob.text:
            piece = piece.decode("utf-8", "ignore").encode("latin-1", "ignore")
        yield from (_issue(hidden, place) for hidden in hidden_in(piece, whole=place == blob.offset))


def _issue(hidden: Hidden, place: int) -> Issue:
    names = ", ".join(f"{use.module}.{use.name}" for use in hidden.outcome.globals[:5])
    naming = f" that names {names}" if names else ""
    message = (
        f"a string holds another pickle ({hidden.encoding}){naming}; harmless until a program unpickles it"
    )
    return suspicious("embedded-pickle", message, place + hidden.offset)


def _short(code: bytes) -> str:
    return repr(code[:60].decode("utf-8", "replace"))
