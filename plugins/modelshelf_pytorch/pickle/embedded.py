"""Find pickles and code that hide in the strings of another pickle, or behind it: raw, base64 or hex."""

from __future__ import annotations

import binascii
import re
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from modelshelf_pytorch.pickle.machine import Machine
from modelshelf_pytorch.pickle.outcome import Limits, Outcome
from modelshelf_pytorch.pickle.state import LONGEST_NAME
from modelshelf_pytorch.pickle.symbols import Blob
from modelshelf_pytorch.pickle.tensor_run import WORTH_A_SEARCH
from modelshelf_pytorch.readers import BytesReader
from modelshelf_pytorch.verdict import Issue, Verdict, not_judged, suspicious

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.pickle.tensor_run import TensorRun

MOST_OPCODES = 16 * 1024 * 1024
"""Bytes of opcodes that all members of an archive may have together."""

MOST_DECODED = 4096
"""Encoded parts of one kind in one string that are decoded."""

_EFFORT = 192 * 1024  # bytes of opcodes that are interpreted for one file: a fraction of a second
_ATTEMPT = 16  # bytes of opcodes that an attempt costs whatever it finds
_MOST_SEARCHED = 64 * 1024 * 1024  # bytes of long strings that are searched in one file
_MOST_MEMBERS = 8 * 1024 * 1024
_MOST_INFLATED, _INFLATED_BYTES = 64, 64 * 1024  # compressed strings in one file, and bytes of each
_MOST_LEVELS = 4  # encodings within encodings that are decoded
_MOST_FOUND = 1000  # in the strings of one stream; what more is there says nothing new
_HIDDEN_STRUCTURE = 1 << 20  # bytes of opcodes of one hidden pickle
_CHUNK, _OVERLAP = 1024 * 1024, 4096  # bytes of a long string that are searched at a time
_TAIL = 1024 * 1024  # bytes behind the last stream that are searched for another
_JUNK = 64  # bytes between two streams, at each of which the second is looked for
_MOST_WORDS, _WORD_EFFORT = 256, 1024  # in the names of a run; with any more each name is searched by itself

# Patterns that few files need are compiled where they are first needed: it takes longer than reading a file.
_PROTO = rb"\x80[\x00-\x05]"
_STACK_GLOBAL = b"\x93"
_BEGINNING = re.compile(  # of a pickle or of another encoding
    rb"\x80[\x00-\x05]|\n[A-Za-z_]|\A(?:\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda])"
    rb"|[A-Za-z0-9+/_=\s-]{16}|\\x[0-9a-fA-F]{2}\\|(?:[0-9a-fA-F]{2}:){7}"
)
_SECOND_LINE = rb"\n[A-Za-z_][\w.]*(?=\n)"  # of GLOBAL or INST: the name in the module
_NO_WORD = rb"[^\w.]"
_TWO_NAMES = rb"(?s)(?:(?:\x8c.|X.\0\0\0)[A-Za-z_][\w.]*(?:\x94|q.|r.{4})?){2}\x93"  # and STACK_GLOBAL
_GLOBAL, _INST = rb"c[A-Za-z_]", rb"i[A-Za-z_]"
_USES_GLOBAL = rb"[pg][0-9]|[^abdefgklmnpstuvwxyz]"
_CALL = rb"""(?x) (?: ^ | (?<=[;\n\s=(,'"]) )
    (?: os\.(?:system|popen|exec[lv]\w*|spawn\w+) | subprocess\.\w+ | pty\.spawn | commands\.getoutput
      | (?:builtins\.)?(?:eval|exec|__import__|compile) | importlib\.import_module | runpy\.\w+
      | (?:_?pickle|marshal|torch|joblib)\.loads? | ctypes\.\w+ | socket\.(?:socket|create_connection) )
    \s*\("""
_ARGUMENT = rb"['\"\w]"

_LONG_WORD = b"a" * 16  # the fewest characters taken for something encoded; fewer hold no pickle that calls
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){8,}")
_ESCAPED_HEX = rb"(?:\\x[0-9a-fA-F]{2}){8,}|[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){7,}"
_FOLD = rb"(?<=[A-Za-z0-9+/=])\s+(?=[A-Za-z0-9+/=])"
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_SPACES = b" \t\n\r\v\f"
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-="
# Tables that turn every character of a kind into "a", so that one search finds where many of them follow.
_TO_LETTERS = bytes(ord("a") if code in _ALPHABET + _SPACES else ord(".") for code in range(256))
_TO_DIGITS = bytes(
    ord("a") if code in b"0123456789abcdefABCDEF" else code if code in b"\\x:" else ord(".")
    for code in range(256)
)
_TO_WORDS = bytes.maketrans(bytes(range(256)), b"a" * 46 + b"." + b"a" * 209)
_ESCAPED_DIGITS, _PARTED_DIGITS = b"\\xaa" * 8, b"aa:" * 7
_COMPRESSED = (b"\x1f\x8b\x08", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


class Effort:
    """How much more may be interpreted in search of hidden pickles; shared by everything in one file.

    Attributes:
        left: Bytes of opcodes, each attempt counted as `_ATTEMPT` of them at least.
        spent: Whether it did not suffice, so that not everything was judged.
        searched: Bytes of long strings that may still be searched. An honest file may have more of them, so
            that it is no issue when they are used up.
        inflations: Compressed strings that may still be looked into, likewise.
        members: Bytes of members that are no pickles which may still be searched.
        opcodes: Bytes of opcodes of an archive's members that may still be interpreted.
    """

    __slots__ = ("_reported", "inflations", "left", "members", "opcodes", "searched", "spent")

    def __init__(self, left: int = _EFFORT) -> None:
        self.left = left
        self.spent = False
        self.searched = _MOST_SEARCHED
        self.inflations = _MOST_INFLATED
        self.members = _MOST_MEMBERS
        self.opcodes = MOST_OPCODES
        self._reported = False

    def issues(self, offset: int | None = None) -> list[Issue]:
        """Return the issue, once, of a file that asked for more."""
        if self._reported or not self.spent:
            return []
        self._reported = True
        message = (
            "its strings and its rest hold so much that begins as a pickle does that not all of it was judged"
        )
        return [not_judged(message, offset)]


@frozen(kw_only=True, eq=False, repr=False)
class Hidden:
    """A pickle found inside a string.

    Attributes:
        outcome: What interpreting it gave.
        encoding: How it was packed: ``raw``, ``base64``, ``hex``, or several joined by `` in ``.
        offset: Where it begins in the bytes that were searched (the string itself where it was encoded).
    """

    outcome: Outcome
    encoding: str
    offset: int


def search(
    outcome: Outcome, reader: FileReader, *, code: bool = True, effort: Effort | None = None
) -> Iterator[Issue]:
    """Look for hidden pickles and code in the strings of an interpreted stream.

    Args:
        outcome: The stream.
        reader: The file that it was read from.
        code: Whether code in a string is worth an issue; a TorchScript archive is full of its own.
        effort: What may still be spent for the file.

    Raises:
        ReadError: A long string could not be read again.
    """
    effort = effort or Effort()
    strings = outcome.strings if _may_hide_in_names(outcome.runs) else outcome.loose_strings
    found = 0
    for offset, value in strings:
        if found >= _MOST_FOUND:
            effort.spent = True
            break
        if isinstance(value, Blob):
            yield from _search_blob(value, reader, effort)
            continue
        data = _bytes_of(value)
        if not WORTH_A_SEARCH.search(data):
            continue
        for hidden in find_hidden(data, effort=effort):
            found += 1
            yield _hidden_issue(hidden, offset)
        call = find_call(data) if code else None
        if call is not None:
            shown = repr(call[:60].decode("utf-8", "replace"))
            yield suspicious("code-string", f"a string holds code: {shown}; harmless until it is run", offset)
    yield from effort.issues(outcome.start)


def _bytes_of(value: bytes | str) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def _may_hide_in_names(runs: Iterable[TensorRun]) -> bool:
    """Return whether a name in the runs could hold a pickle or code, and each is to be searched by itself.

    Such a name has neither a line break nor a bracket nor a byte of 80 or above, so that it would have to be
    encoded. The dots in it are in no encoding's alphabet, and layers repeat what is between them.
    """
    words: set[bytes] = set()
    for run in runs:
        names = ".".join(run.names).encode("ascii")
        letters = names.translate(_TO_WORDS)
        place = letters.find(_LONG_WORD)
        while place >= 0:
            end = letters.find(b".", place)
            words.add(names[place : end if end >= 0 else None])
            place = letters.find(_LONG_WORD, end) if end >= 0 else -1
    return len(words) > _MOST_WORDS or any(map(_may_hide_in_word, words))


@lru_cache(maxsize=4096)
def _may_hide_in_word(word: bytes) -> bool:
    effort = Effort(_WORD_EFFORT)
    hides_pickle = next(find_hidden(word, effort=effort), None) is not None
    return hides_pickle or effort.spent or find_call(word) is not None


def _search_blob(blob: Blob, reader: FileReader, effort: Effort) -> Iterator[Issue]:
    """Search a long string by chunks that overlap, so that a pickle of some size is whole in one."""
    end = blob.offset + min(blob.length, effort.searched)
    effort.searched -= end - blob.offset
    for place in range(blob.offset, end, _CHUNK):
        chunk = reader.read_up_to(place, min(_CHUNK + _OVERLAP, end - place))
        if blob.text:
            chunk = chunk.decode("utf-8", "ignore").encode("latin-1", "ignore")
        found = find_hidden(chunk, whole=place == blob.offset, effort=effort)
        yield from (_hidden_issue(hidden, place) for hidden in found)


def _hidden_issue(hidden: Hidden, offset: int) -> Issue:
    names = ", ".join(f"{use.module}.{use.name}" for use in hidden.outcome.globals[:5])
    naming = f" that names {names}" if names else ""
    message = (
        f"a string holds another pickle ({hidden.encoding}){naming}; harmless until a program unpickles it"
    )
    return suspicious("embedded-pickle", message, offset + hidden.offset)


def calls_within(reader: FileReader, length: int, effort: Effort) -> Iterator[Issue]:
    """Yield what pickles would do that lie, not encoded, anywhere in the first bytes of a file.

    Args:
        reader: The file.
        length: How many of its bytes are searched.
        effort: What may still be spent.

    Raises:
        ReadError: The file could not be read.
    """
    for place in range(0, length, _CHUNK):
        chunk = reader.read_up_to(place, min(_CHUNK + _OVERLAP, length - place))
        for hidden in _find_raw(chunk, effort, 0, whole=False):
            for issue in hidden.outcome.issues:
                if issue.verdict is Verdict.DANGEROUS:
                    yield evolve(issue, offset=place + (issue.offset or 0))


def tail_issues(
    reader: FileReader,
    position: int,
    end: int,
    *,
    broken: bool = False,
    effort: Effort | None = None,
) -> list[Issue]:
    """Return what is wrong behind the last stream of a file, or of a member: an honest one ends with it.

    Args:
        reader: The file.
        position: Where the last stream ended.
        end: Where the file, or the part that belongs to the pickles, ends.
        broken: Whether the last stream broke off, so that nothing separates the rest from it.
        effort: What may still be spent in search of hidden pickles, where several sources share it.

    Raises:
        ReadError: The file could not be read.
    """
    if position >= end:
        return []
    issues = []
    if not broken:
        message = f"{end - position} bytes follow the last pickle, which no unpickler reads"
        issues.append(suspicious("trailing-data", message, position))
        if end - position > _TAIL:
            message = f"of the {end - position} bytes behind the last pickle the first {_TAIL} were judged"
            issues.append(not_judged(message, position + _TAIL))
    data = reader.read_up_to(position, min(_TAIL, end - position))
    effort = effort or Effort()
    for hidden in find_hidden(data, whole=False, near=_JUNK, effort=effort):
        issues += [
            evolve(issue, offset=position + (issue.offset or 0))
            for issue in hidden.outcome.issues
            if issue.verdict is Verdict.DANGEROUS and hidden.encoding == "raw"
        ]
    return issues + effort.issues(position)


def find_hidden(
    data: bytes, *, whole: bool = True, near: int = 0, effort: Effort | None = None, _level: int = 0
) -> Iterator[Hidden]:
    """Find every pickle in `data`, raw or encoded, nested encodings included.

    Args:
        data: The bytes of one string, or of a chunk of a file.
        whole: Whether the data is one string with a beginning and an end of its own.
        near: How many of the first bytes are each tried for a stream's beginning, whatever they are.
        effort: What may still be spent; where it is spent, some may be missing.
    """
    effort = effort or Effort()
    yield from _find_raw(data, effort, near, whole=whole)
    if _level >= _MOST_LEVELS:
        return
    for encoding, place, inner in _decoded_parts(data, effort):
        if not _may_hide(inner):
            continue
        for hidden in find_hidden(inner, effort=effort, _level=_level + 1):
            name = encoding if hidden.encoding == "raw" else f"{hidden.encoding} in {encoding}"
            yield Hidden(outcome=hidden.outcome, encoding=name, offset=place)


def _may_hide(data: bytes) -> bool:
    """Return whether a pickle, or something encoded, may be in what was decoded: most of it is a hash."""
    return _BEGINNING.search(data) is not None or (data.endswith(b".") and _STACK_GLOBAL in data)


def _find_raw(data: bytes, effort: Effort, near: int, *, whole: bool) -> Iterator[Hidden]:
    """Find pickles that are not encoded."""
    if effort.spent or (not near and b"\n" not in data and b"\x80" not in data and _STACK_GLOBAL not in data):
        return
    places = {match.start() for match in re.finditer(_PROTO, data)}
    places.update(_global_places(data), range(min(near, len(data))))
    if _STACK_GLOBAL in data:
        places.update(match.start() for match in re.finditer(_TWO_NAMES, data))
    if whole and (places or (data.endswith(b".") and _STACK_GLOBAL in data)):
        places.add(0)
    reader = BytesReader(data)
    end = -1
    for place in sorted(places):
        if place < end:
            continue
        if effort.left <= 0:
            effort.spent = True
            return
        most = min(effort.left, _HIDDEN_STRUCTURE)
        limits = Limits(structure=most, objects=100_000, depth=1000)
        outcome = Machine(reader, place, len(data), limits=limits).run()
        effort.left -= max(_ATTEMPT, min(outcome.end - place, most))
        # What names nothing has to fill its string: of many hashes some begin as a short pickle does.
        fills_or_names = bool(outcome.globals) or outcome.end == len(data)
        if fills_or_names and outcome.convinces(at_start=(whole and place == 0) or place < near):
            end = outcome.end
            yield Hidden(outcome=outcome, encoding="raw", offset=place)


def _global_places(data: bytes) -> Iterator[int]:
    """Yield where GLOBAL, or the mark of an INST, may be: for each line that could be a name, before it.

    A list of words has such lines too; few words of it begin like what a pickle does with a global.
    """
    start_of_global, start_of_inst = re.compile(_GLOBAL), re.compile(_INST)
    uses_global = re.compile(_USES_GLOBAL)
    for match in re.finditer(_SECOND_LINE, data):
        stop = match.start()
        before = data[max(0, stop - LONGEST_NAME) : stop][::-1]
        no_word = re.search(_NO_WORD, before)
        length = len(before) if no_word is None else no_word.start()
        first = start_of_global.search(data, stop - length, stop)
        if first is not None and uses_global.match(data, match.end() + 1):
            yield first.start()
        if start_of_inst.search(data, stop - length, stop):
            mark = data.rfind(b"(", max(0, stop - LONGEST_NAME), stop)
            if mark >= 0:
                yield mark


def find_call(data: bytes) -> bytes | None:
    """Return a call in `data`, as text or encoded, that runs programs or code; None where there is none."""
    call = _find_call_in_text(data)
    if call is not None:
        return call
    return next(filter(None, (_find_call_in_text(inner) for _, _, inner in _decoded(data))), None)


def _find_call_in_text(data: bytes) -> bytes | None:
    """Return a call with an argument, up to the last bracket of its line."""
    if b"(" not in data:
        return None
    argument = re.compile(_ARGUMENT)
    closing = line = -1
    for match in re.finditer(_CALL, data):
        start = match.end()
        if closing < start:
            closing = data.find(b")", start) % (len(data) + 1)  # the end where there is none
        if line < start:
            line = data.find(b"\n", start) % (len(data) + 1)
        if closing < line and argument.search(data, start, closing):
            return data[match.start() : data.rindex(b")", start, line) + 1].strip()
    return None


def _decoded_parts(data: bytes, effort: Effort) -> Iterator[tuple[str, int, bytes]]:
    """Yield what `decode` yields, and what compressed data inflates to."""
    yield from _decoded(data)
    if effort.inflations > 0:
        inflated = _inflate(data)
        if inflated is not None:
            effort.inflations -= 1
            yield "compressed", 0, inflated


def _inflate(data: bytes) -> bytes | None:
    """Inflate a string that is gzip or zlib data from its beginning on; None where it is none."""
    if not data.startswith(_COMPRESSED):
        return None
    try:
        return zlib.decompressobj(47).decompress(data, _INFLATED_BYTES)
    except zlib.error:
        return None


@lru_cache(maxsize=2)
def _decoded(data: bytes) -> tuple[tuple[str, int, bytes], ...]:
    """Return all that `decode` yields; pickles and calls are looked for in the same string."""
    return tuple(decode(data))


def decode(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yield every part of `data` that could be hex or base64: its encoding, its place, and its meaning."""
    parts = [(place, _unfold(part)) for place, part in _encoded_parts(data)]
    for place, digits in islice(_matches(_HEX, parts), MOST_DECODED):
        yield "hex", place, binascii.unhexlify(digits)
    for place, letters in islice(_matches(_BASE64, parts), MOST_DECODED):
        text = letters.rstrip(b"=").translate(_FROM_URL_SAFE)
        text = text[: len(text) - 1] if len(text) % 4 == 1 else text
        yield "base64", place, binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    digits = data.translate(_TO_DIGITS)
    if _ESCAPED_DIGITS in digits or _PARTED_DIGITS in digits:
        for match in islice(re.finditer(_ESCAPED_HEX, data), MOST_DECODED):
            yield "hex", match.start(), binascii.unhexlify(match[0].translate(None, b"\\x:"))


def _encoded_parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where only letters of the alphabets and spaces are, long enough to encode something."""
    letters = data.translate(_TO_LETTERS)
    place = letters.find(_LONG_WORD)
    while place >= 0:
        start = letters.rfind(b".", 0, place) + 1
        end = letters.find(b".", place)
        end = len(data) if end < 0 else end
        yield start, data[start:end]
        place = letters.find(_LONG_WORD, end)


def _unfold(part: bytes) -> bytes:
    """Return the same without the spaces and line ends between its letters."""
    spaced = len(part.translate(None, _SPACES)) < len(part)
    return re.sub(_FOLD, b"", part) if spaced else part  # most are one word


def _matches(pattern: re.Pattern[bytes], parts: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    return ((place + match.start(), match[0]) for place, part in parts for match in pattern.finditer(part))
