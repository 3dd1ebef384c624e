"""The abstract interpreter of one pickle stream: it follows the opcodes and calls nothing.

It follows CPython's C unpickler (``Modules/_pickle.c``) in what an opcode does, and torch's ``weights_only``
unpickler in what is allowed. Sizes are counted, not built. `Limits` bounds the opcodes and, far below them,
the memory: the numbers of long lists are passed over, and what else outgrows it is not judged. Python's
`pickletools` lists opcodes and has no stack of values, which the verdict needs.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf.model.status import NOT_JUDGED
from modelshelf_pytorch.pickle.handlers import HANDLERS
from modelshelf_pytorch.pickle.opcodes import LONGEST_FIXED, LONGEST_KEPT, OPCODES, WEIGHTS_ONLY, NotUtf8Error
from modelshelf_pytorch.pickle.outcome import Dialect, Limits, Outcome
from modelshelf_pytorch.pickle.state import (
    KEPT_NUMBERS,
    LEAST_STRING,
    LONGEST_NAME,
    NUMBER_BYTES,
    REFERENCE_BYTES,
    WIDEST,
    State,
    StopReached,
    StreamError,
    is_name,
)
from modelshelf_pytorch.pickle.symbols import Mapping, Tensor
from modelshelf_pytorch.pickle.tensor_records import match_run
from modelshelf_pytorch.pickle.tensor_run import OBJECTS_PER_RECORD, SHORTEST_STRING, WORTH_A_SEARCH
from modelshelf_pytorch.readers import allowance_of
from modelshelf_pytorch.verdict import Verdict, issue_of

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

_SETITEMS = 0x75
_FREQUENT = frozenset(b"rKhX(t\x86RMQ\x89)qjJ\x85}sN\x8c\x9402G\x88]")  # opcodes of the loop for those
_BYTES_PER_CHECK = 64 * 1024  # of the stream, between two looks at the memory that its values take
_LONGEST_STEP = 64  # bytes that one opcode counts as at most: long strings are passed over
_MOST_MISSES = 8  # places in one stream where no tensor records were found

_unpack_u32 = struct.Struct("<I").unpack_from
_unpack_f64 = struct.Struct(">d").unpack_from
_unpack_i32 = struct.Struct("<i").unpack_from


# Number opcodes (BININT1, BININT2, BININT, BINFLOAT) and the APPENDS that puts them into a list.
_NUMBERS = rb"(?s)(?:K.|M..|J....|G........)*+e"  # compiled where it is needed: few streams are that long


class Machine(State):
    """Interprets one stream.

    Args:
        reader: The file.
        start: File offset of the first opcode.
        limit: File offset that the stream must not pass.
        dialect: Who wrote it.
        limits: How much is judged.
        fast: Whether the loop for frequent opcodes may be used; without it every opcode is interpreted by the
            step that handles all of them.
    """

    def __init__(
        self,
        reader: FileReader,
        start: int,
        limit: int,
        *,
        dialect: Dialect = Dialect.PYTHON,
        limits: Limits | None = None,
        fast: bool = True,
    ) -> None:
        super().__init__(reader, start, limit, dialect)
        self._limits = limits or Limits()
        self._allowance = allowance_of(reader)
        self._fast = fast
        self._misses = 0
        self._next_check = start

    def run(self) -> Outcome:
        """Interpret up to STOP, to the first opcode that cannot be interpreted, or to the limits."""
        outcome = self.outcome
        try:
            while True:
                if self._fast and self._is_frequent():
                    self._run_fast()
                before = self.position
                self._step()
                self._check_limits(self.position - before)
        except StopReached:
            outcome.stopped = True
            if self.following < self.frame_end:
                self.report_frame("its STOP comes before its frame ends")
        except StreamError as error:
            self.report(error.code, error.verdict, str(error))
        except ReadError as error:
            outcome.issues.append(issue_of(error, self.position))
        except (IndexError, KeyError):
            self._report_exhausted()
        except (NotUtf8Error, UnicodeDecodeError):
            self.report("pickle-malformed", Verdict.UNREADABLE, "text in the pickle stream is not UTF-8")
        outcome.end = self.following if outcome.stopped else self.position
        return outcome

    def _is_frequent(self) -> bool:
        """Return whether the next opcode may be one of the loop's: to enter it in vain costs more."""
        index = self.position - self.window.base
        return index >= len(self.window.data) or self.window.data[index] in _FREQUENT

    def _report_exhausted(self) -> None:
        index = self.position - self.window.base
        code = self.window.data[index] if 0 <= index < len(self.window.data) else 0
        name = OPCODES[code].name if code in OPCODES else "an opcode"
        what = "a memo entry that was never made" if "GET" in name else "more than the stack holds"
        self.report(
            "pickle-malformed", Verdict.UNREADABLE, f"{name} asks for {what}: no unpickler loads this stream"
        )

    def _check_limits(self, length: int) -> None:
        limits, memo = self._limits, self.memo
        structure = self.position - self.outcome.start - self.window.skipped
        self._allowance.steps -= min(length, _LONGEST_STEP)
        too_large = (
            structure > limits.structure
            or self._allowance.steps < 0
            or self.objects + memo.size_at_most > limits.objects
            or len(self.marks) > limits.depth
        )
        if not too_large and self.position >= self._next_check:
            self._next_check = self.position + _BYTES_PER_CHECK
            too_large = self.memory > limits.memory
        if too_large:
            raise StreamError(
                NOT_JUDGED,
                f"a pickle of more than is judged at once (its first {structure} bytes of opcodes were read, "
                "and nothing worse than what is listed was in them); load it with weights_only=True alone",
                Verdict.NOT_JUDGED,
            )

    def _run_fast(self) -> None:  # noqa: C901, PLR0912, PLR0915  # one loop: a call per opcode costs its speed
        """Interpret frequent opcodes until another one, the window's end or the frame's end comes near."""
        window = self.window
        data, base = window.data, window.base
        index = self.position - base
        end = len(data)
        if self.position < self.frame_end:
            end = min(end, self.frame_end - base)
        safe = end - LONGEST_FIXED
        before = base - self.outcome.start  # bytes of the stream before the window
        stack, marks, memo = self.stack, self.marks, self.memo
        objects = value_bytes = 0
        foreign = self.outcome.foreign is not None
        after_tensor = False  # where another record may follow
        try:
            while index < safe:
                # By frequency; literal codes, as a name would cost a look-up for each opcode.
                match data[index]:
                    case 0x72:  # LONG_BINPUT
                        memo_index = _unpack_u32(data, index + 1)[0]
                        if memo_index > before + index:
                            break
                        memo[memo_index] = stack[-1]
                        index += 5
                    case 0x4B:  # BININT1
                        stack.append(data[index + 1])
                        index += 2
                    case 0x68:  # BINGET
                        stack.append(memo[data[index + 1]])
                        index += 2
                    case 0x58:  # BINUNICODE
                        if after_tensor:
                            after_tensor = False
                            self.stack = stack
                            after_records = self._match_records(index, end)
                            if after_records:
                                stack, index = self.stack, after_records
                                continue
                        start = index + 5
                        stop = start + _unpack_u32(data, index + 1)[0]
                        if stop > end or stop - start > LONGEST_KEPT:
                            break
                        text = data[start:stop].decode("utf-8", "surrogatepass")
                        value_bytes += LEAST_STRING + (stop - start) * (1 if text.isascii() else WIDEST)
                        if (len(text) >= SHORTEST_STRING or text[:1] > "\x7f") and WORTH_A_SEARCH.search(
                            data, start, stop
                        ):
                            self.outcome.loose_strings.append((base + start, text))
                        stack.append(text)
                        index = stop
                    case 0x28:  # MARK
                        if stack and type(stack[-1]) is list and len(stack[-1]) >= KEPT_NUMBERS:
                            numbers = re.compile(_NUMBERS).match(data, index + 1, end)
                            if numbers:
                                self.passed += (numbers.end() - index) // 2  # as many at most
                                index = numbers.end()
                                continue
                        marks.append(stack)
                        stack = []
                        index += 1
                    case 0x74:  # TUPLE
                        items = tuple(stack)
                        value_bytes += REFERENCE_BYTES * len(items)
                        stack = marks.pop()
                        stack.append(items)
                        objects += 1
                        index += 1
                    case 0x86:  # TUPLE2
                        stack[-2:] = [(stack[-2], stack[-1])]
                        objects += 1
                        index += 1
                    case 0x52:  # REDUCE
                        arguments = stack.pop()
                        self.position = base + index
                        result = stack[-1] = self.call(stack[-1], arguments)
                        after_tensor = type(result) is Tensor
                        objects += 1
                        index += 1
                    case 0x4D:  # BININT2
                        stack.append(data[index + 1] | data[index + 2] << 8)
                        value_bytes += NUMBER_BYTES
                        index += 3
                    case 0x51:  # BINPERSID
                        self.position = base + index
                        stack[-1] = self.persistent_load(stack[-1])
                        objects += 1
                        index += 1
                    case 0x89:  # NEWFALSE
                        stack.append(False)
                        index += 1
                    case 0x29:  # EMPTY_TUPLE
                        stack.append(())
                        index += 1
                    case 0x71:  # BINPUT
                        memo[data[index + 1]] = stack[-1]
                        index += 2
                    case 0x6A:  # LONG_BINGET
                        stack.append(memo[_unpack_u32(data, index + 1)[0]])
                        index += 5
                    case 0x4A:  # BININT
                        stack.append(_unpack_i32(data, index + 1)[0])
                        value_bytes += NUMBER_BYTES
                        index += 5
                    case 0x85:  # TUPLE1
                        stack[-1] = (stack[-1],)
                        objects += 1
                        index += 1
                    case 0x7D:  # EMPTY_DICT
                        stack.append(Mapping())
                        objects += 2  # it and its content
                        index += 1
                    case 0x73 if stack[2:] and type(stack[-3]) is Mapping and type(stack[-2]) is str:
                        # SETITEM of what a dict takes without a question
                        stack[-3].extend(stack[-2:])
                        del stack[-2:]
                        value_bytes += 2 * REFERENCE_BYTES
                        index += 1
                    case 0x4E:  # NONE
                        stack.append(None)
                        objects += 1
                        index += 1
                    case 0x8C if foreign:  # SHORT_BINUNICODE, which torch's unpickler does not know
                        stop = index + 2 + data[index + 1]
                        if stop > end:
                            break
                        text = data[index + 2 : stop].decode("utf-8", "surrogatepass")
                        value_bytes += LEAST_STRING + len(text) * (1 if text.isascii() else WIDEST)
                        if (len(text) >= SHORTEST_STRING or text[:1] > "\x7f") and WORTH_A_SEARCH.search(
                            data, index + 2, stop
                        ):
                            self.outcome.loose_strings.append((base + index + 2, text))
                        stack.append(text)
                        index = stop
                    case 0x94 if foreign:  # MEMOIZE, likewise
                        memo[memo.size] = stack[-1]
                        index += 1
                    case 0x30 if foreign and stack:  # POP, likewise
                        stack.pop()
                        index += 1
                    case 0x32 if foreign and stack:  # DUP, likewise
                        stack.append(stack[-1])
                        index += 1
                    case 0x47:  # BINFLOAT
                        stack.append(_unpack_f64(data, index + 1)[0])
                        value_bytes += NUMBER_BYTES
                        index += 9
                    case 0x88:  # NEWTRUE
                        stack.append(True)
                        objects += 1
                        index += 1
                    case 0x5D:  # EMPTY_LIST
                        stack.append([])
                        objects += 1
                        index += 1
                    case _:
                        break
        finally:
            self.stack = stack
            self.position = self.following = base + index
            self.objects += objects
            self.value_bytes += value_bytes

    def _match_records(self, index: int, end: int) -> int:
        """Match the run of tensor records at an index of the window; return the index behind it, or 0."""
        window = self.window
        match = None
        if self._misses < _MOST_MISSES:
            match = match_run(window.data, index, end, self.memo, window.base, self.outcome.start)
        if match is None:
            self._misses += 1
            return 0
        run, index = match
        self.outcome.runs.append(run)
        self.memo.add(run)
        self.objects += OBJECTS_PER_RECORD * len(run.names)
        below = self.marks[-1] if self.marks else []
        whole = index < end and window.data[index] == _SETITEMS and len(self.stack) % 2 == 0
        if whole and below and type(below[-1]) is Mapping:
            self.position = window.base + index
            self.set_items(below[-1], self.pop_marked())
            below[-1].parts.append(run)
            return index + 1
        self.stack.extend(run.pairs)
        return index

    def _step(self) -> None:
        """Interpret one opcode, whichever it is."""
        window = self.window
        position = self.position
        index = position - window.base
        if index + LONGEST_FIXED > len(window.data) and window.base + len(window.data) < window.limit:
            window.slide(position)
            index = 0
        if index >= len(window.data):
            raise StreamError(
                "pickle-truncated", "the pickle stream ends without STOP: it is cut short or no pickle"
            )
        opcode = OPCODES.get(window.data[index])
        if opcode is None:
            raise StreamError("pickle-malformed", f"byte {window.data[index]:#04x} is no pickle opcode")
        if self.outcome.foreign is None and opcode.name not in WEIGHTS_ONLY:
            self.outcome.foreign = (opcode.name, position)
        try:
            argument, self.following = opcode.read(window, position + 1)
        except ReadError:
            self._resolve_unfinished_global(opcode.name, position)
            raise
        if position < self.frame_end < self.following:
            self.report_frame(f"the argument of {opcode.name} reaches past its frame")
        HANDLERS[opcode.name](self, argument)
        self.position = self.following

    def _resolve_unfinished_global(self, opcode: str, position: int) -> None:
        """Resolve the global of a GLOBAL without its last newline, which was meant to import all the same."""
        if opcode in {"GLOBAL", "INST"}:
            rest = self.window.read(position + 1, min(self.window.limit - position - 1, LONGEST_NAME))
            module, newline, name = rest.partition(b"\n")
            if newline and name and b"\n" not in name and is_name(module) and is_name(name):
                self.resolve_global(module, name)
