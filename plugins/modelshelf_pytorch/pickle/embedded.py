"""Pickles, and code, that hide in the strings of another pickle or behind its end: raw, base64 or hex."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import frozen

from modelshelf_pytorch.pickle.allowlist import runs_code
from modelshelf_pytorch.pickle.encoded import LONG_WORD, inflated, layers
from modelshelf_pytorch.pickle.machine import Machine
from modelshelf_pytorch.pickle.outcome import Limits, Outcome
from modelshelf_pytorch.pickle.state import LONGEST_NAME
from modelshelf_pytorch.pickle.symbols import Blob
from modelshelf_pytorch.readers import BytesFile
from modelshelf_pytorch.verdict import Issue, Verdict, suspicious

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.pickle.tensor_run import TensorRun

_DEPTH = 4  # encodings within encodings that are undone
_PIECE = 1024 * 1024
_OVERLAP = 4096
_EFFORT = 192 * 1024  # bytes of opcodes that are interpreted for one file: a fraction of a second
OPCODES = 16 * 1024 * 1024
"""Bytes of opcodes that all members of an archive may have together."""

_ATTEMPT = 16  # bytes of opcodes that an attempt costs whatever it finds
_SEARCHED = 64 * 1024 * 1024  # bytes of long strings that are searched in one file
_INFLATIONS = 64  # compressed strings that are looked into in one file
_MOST_WORDS, _WORD_EFFORT = 256, 1024  # of the names in a run; any with more are looked at one by one
_LETTERS = bytes.maketrans(bytes(range(256)), b"a" * 46 + b"." + b"a" * 209)
_STRUCTURE = 1 << 20  # bytes of opcodes of one hidden pickle

# Patterns that few files need are compiled where they are first needed: it takes longer than reading a file.
_PROTO = rb"\x80[\x00-\x05]"
_STACK_GLOBAL = b"\x93"
_BEGINNING = re.compile(  # of a pickle or of another encoding
    rb"\x80[\x00-\x05]|\n[A-Za-z_]|\A(?:\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda])"
    rb"|[A-Za-z0-9+/_=\s-]{16}|\\x[0-9a-fA-F]{2}\\|(?:[0-9a-fA-F]{2}:){7}"
)
_SECOND_LINE = rb"\n[A-Za-z_][\w.]*(?=\n)"  # of GLOBAL or INST: the name in the module
_NO_WORD = rb"[^\w.]"
_GLOBAL, _INST = rb"c[A-Za-z_]", rb"i[A-Za-z_]"
_USES_GLOBAL = rb"[pg][0-9]|[^abdefgklmnpstuvwxyz]"
_WORTH = re.compile(  # most strings are names: one search rules them out
    rb"[(\n\x80-\xff]|[A-Za-z0-9+/_-]{16,}|\\x[0-9a-fA-F]{2}\\|(?:[0-9a-fA-F]{2}[: ]){7}"
)
_CALL = rb"""(?x) (?: ^ | (?<=[;\n\s=(,'"]) )
    (?: os\.(?:system|popen|exec[lv]\w*|spawn\w+) | subprocess\.\w+ | pty\.spawn | commands\.getoutput
      | (?:builtins\.)?(?:eval|exec|__import__|compile) | importlib\.import_module | runpy\.\w+
      | (?:_?pickle|marshal|torch|joblib)\.loads? | ctypes\.\w+ | socket\.(?:socket|create_connection) )
    \s*\("""
_ARGUMENT = rb"['\"\w]"


class Effort:
    """How much more may be interpreted in search of hidden pickles; shared by all that one file holds.

    Attributes:
        left: Bytes of opcodes, each attempt counted as `_ATTEMPT` of them at least.
        spent: Whether it did not suffice, so that not everything was judged.
        searched: Bytes of long strings that may still be searched. An honest file may hold more of them, so
            that it is not told when they are used up.
        inflations: Compressed strings that may still be looked into, likewise.
        opcodes: Bytes of opcodes of an archive's members that may still be interpreted.
    """

    __slots__ = ("_told", "inflations", "left", "opcodes", "searched", "spent")

    def __init__(self, left: int = _EFFORT) -> None:
        self.left = left
        self.spent = False
        self.searched = _SEARCHED
        self.inflations = _INFLATIONS
        self.opcodes = OPCODES
        self._told = False

    def issues(self, offset: int | None = None) -> list[Issue]:
        """What is told, once, of a file that asked for more."""
        if self._told or not self.spent:
            return []
        self._told = True
        message = (
            "its strings and its rest hold so much that begins as a pickle does that not all of it can be "
            "judged, which no honest file does"
        )
        return [suspicious("too-much-hidden", message, offset)]


@frozen(kw_only=True, eq=False, repr=False)
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
    """Whether bytes that could be a pickle are one: random bytes happen to begin like one too.

    In mid-text it has to name something, and to call it unless PROTO comes first: the lines of a list
    (``cache``, ``build``, ``.git``) read as GLOBAL and STOP.
    """
    if outcome.globals:
        if not all(_plausible(use.module) and _plausible(use.name) for use in outcome.globals):
            return False
        told = at_start or outcome.protocol is not None
        return (told and outcome.stopped) or any(use.called for use in outcome.globals)
    if not at_start or not outcome.stopped:
        return False
    attack = any(issue.verdict is Verdict.DANGEROUS for issue in outcome.issues)
    return attack or outcome.protocol is not None


def cut_short(outcome: Outcome) -> bool:
    """Whether the bytes, or what may be judged of them, ended before the stream: so far it is a pickle."""
    return any(issue.code in {"pickle-truncated", "pickle-too-large"} for issue in outcome.issues)


def names_code(outcome: Outcome) -> bool:
    """Whether it names something of a module that runs code, called so far or not."""
    return any(_plausible(use.name) and runs_code(use.module) for use in outcome.globals)


def _plausible(name: str) -> bool:
    return bool(name) and all(part.isidentifier() for part in name.split("."))


def hidden_in(
    data: bytes, *, whole: bool = True, near: int = 0, effort: Effort | None = None, _depth: int = 0
) -> Iterator[Hidden]:
    """Every pickle in `data`, raw or encoded, nested encodings included.

    Args:
        data: The bytes of one string, or of a piece of a file.
        whole: Whether the data is one string with a beginning and an end of its own.
        near: How many of the first bytes are each tried for a stream's beginning, whatever they are.
        effort: What may still be spent; where it is spent, some may be missing.
    """
    effort = effort or Effort()
    yield from _raw(data, effort, near, whole=whole)
    if _depth >= _DEPTH:
        return
    for encoding, place, inner in _within(data, effort):
        if not _may_hide(inner):
            continue
        for found in hidden_in(inner, effort=effort, _depth=_depth + 1):
            name = encoding if found.encoding == "raw" else f"{found.encoding} in {encoding}"
            yield Hidden(outcome=found.outcome, encoding=name, offset=place)


def _may_hide(data: bytes) -> bool:
    """Whether a pickle, or something encoded, could stand in what was decoded: most of it is a hash."""
    return _BEGINNING.search(data) is not None or (data.endswith(b".") and _STACK_GLOBAL in data)


def _within(data: bytes, effort: Effort) -> Iterator[tuple[str, int, bytes]]:
    yield from layers(data)
    if effort.inflations > 0:
        inner = inflated(data)
        if inner is not None:
            effort.inflations -= 1
            yield "compressed", 0, inner


def _raw(data: bytes, effort: Effort, near: int, *, whole: bool) -> Iterator[Hidden]:
    if not near and b"\n" not in data and b"\x80" not in data and _STACK_GLOBAL not in data:
        return
    places = {match.start() for match in re.finditer(_PROTO, data)}
    places.update(_named(data), range(min(near, len(data))))
    if whole and (places or (data.endswith(b".") and _STACK_GLOBAL in data)):
        places.add(0)
    reader = BytesFile(data)
    end = -1
    for place in sorted(places):
        if place < end:
            continue
        if effort.left <= 0:
            effort.spent = True
            return
        most = min(effort.left, _STRUCTURE)
        limits = Limits(structure=most, objects=100_000, depth=1000)
        outcome = Machine(reader, place, len(data), limits=limits).run()
        effort.left -= max(_ATTEMPT, min(outcome.end - place, most))
        # What names nothing has to fill its string: of many hashes some begin as a short pickle does.
        told = bool(outcome.globals) or outcome.end == len(data)
        if told and convincing(outcome, at_start=(whole and place == 0) or place < near):
            end = outcome.end
            yield Hidden(outcome=outcome, encoding="raw", offset=place)


def _named(data: bytes) -> Iterator[int]:
    """Where GLOBAL, or the mark of an INST, may stand: for each line that could be a name, before it.

    A list of words has such lines too; few words of it begin like what a pickle does with a global.
    """
    start_of_global, start_of_inst = re.compile(_GLOBAL), re.compile(_INST)
    uses_global = re.compile(_USES_GLOBAL)
    for match in re.finditer(_SECOND_LINE, data):
        behind = match.start()
        before = data[max(0, behind - LONGEST_NAME) : behind][::-1]
        stop = re.search(_NO_WORD, before)
        run = len(before) if stop is None else stop.start()
        first = start_of_global.search(data, behind - run, behind)
        if first is not None and uses_global.match(data, match.end() + 1):
            yield first.start()
        if start_of_inst.search(data, behind - run, behind):
            mark = data.rfind(b"(", max(0, behind - LONGEST_NAME), behind)
            if mark >= 0:
                yield mark


def code_in(data: bytes) -> bytes | None:
    """A call in `data`, plain or encoded, that runs programs or code; None where there is none."""
    found = _call_in(data)
    if found is not None:
        return found
    return next(filter(None, (_call_in(inner) for _, _, inner in layers(data))), None)


def _call_in(data: bytes) -> bytes | None:
    """A call with an argument, up to the last bracket of its line."""
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


def _bytes_of(value: bytes | str) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


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
    suspects = outcome.suspects if _hide_something(outcome.runs) else outcome.loose_suspects
    for place, value in suspects:
        if isinstance(value, Blob):
            yield from _search_blob(value, reader, effort)
            continue
        data = _bytes_of(value)
        if not _WORTH.search(data):
            continue
        yield from (_issue(hidden, place) for hidden in hidden_in(data, effort=effort))
        found = code_in(data) if code else None
        if found is not None:
            yield suspicious(
                "code-string", f"a string holds code: {_short(found)}; harmless until it is run", place
            )
    yield from effort.issues(outcome.start)


def _hide_something(runs: Iterable[TensorRun]) -> bool:
    """Whether a name in the runs could hold a pickle or code, and is to be looked at by itself.

    Such a name has neither a line break nor a bracket nor a byte of 80 or above, so that it would have to be
    encoded. The dots in it are in no encoding's alphabet, and layers repeat what stands between them.
    """
    words: set[bytes] = set()
    for run in runs:
        names = ".".join(run.names).encode("ascii")
        letters = names.translate(_LETTERS)
        place = letters.find(LONG_WORD)
        while place >= 0:
            end = letters.find(b".", place)
            words.add(names[place : end if end >= 0 else None])
            place = letters.find(LONG_WORD, end) if end >= 0 else -1
    return len(words) > _MOST_WORDS or any(map(_hides_something, words))


@lru_cache(maxsize=4096)
def _hides_something(word: bytes) -> bool:
    effort = Effort(_WORD_EFFORT)
    return next(hidden_in(word, effort=effort), None) is not None or effort.spent or code_in(word) is not None


def _search_blob(blob: Blob, reader: FileReader, effort: Effort) -> Iterator[Issue]:
    """Search a long string by pieces that overlap, so that a pickle of some size is whole in one."""
    end = blob.offset + min(blob.length, effort.searched)
    effort.searched -= end - blob.offset
    for place in range(blob.offset, end, _PIECE):
        piece = reader.read_up_to(place, min(_PIECE + _OVERLAP, end - place))
        if blob.text:
            piece = piece.decode("utf-8", "ignore").encode("latin-1", "ignore")
        found = hidden_in(piece, whole=place == blob.offset, effort=effort)
        yield from (_issue(hidden, place) for hidden in found)


def _issue(hidden: Hidden, place: int) -> Issue:
    names = ", ".join(f"{use.module}.{use.name}" for use in hidden.outcome.globals[:5])
    naming = f" that names {names}" if names else ""
    message = (
        f"a string holds another pickle ({hidden.encoding}){naming}; harmless until a program unpickles it"
    )
    return suspicious("embedded-pickle", message, place + hidden.offset)


def _short(code: bytes) -> str:
    return repr(code[:60].decode("utf-8", "replace"))
