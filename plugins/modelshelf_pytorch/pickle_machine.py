"""The abstract interpreter of one opcode stream: symbolic stack, memo and marks; nothing is imported or called.

It follows CPython's C unpickler (``Modules/_pickle.c``) in what an opcode does, and torch's ``weights_only``
unpickler in what is allowed. Sizes are counted, not built: memory grows with the opcodes read, which
`Limits` bounds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import Enum
from typing import Any

from attrs import define, field, frozen

from modelshelf.errors import ReadError
from modelshelf.reader import FileReader
from modelshelf_pytorch import calls
from modelshelf_pytorch.allowlist import ALLOWED, NUMPY, TORCHSCRIPT, modern
from modelshelf_pytorch.pickle_opcodes import (
    KEEP,
    LONGEST_FIXED,
    OPCODES,
    WEIGHTS_ONLY,
    NotUtf8Error,
    Window,
    decoded,
)
from modelshelf_pytorch.symbols import Blob, GlobalUse, Group, Made, Mapping, Storage, Tensor
from modelshelf_pytorch.verdict import Issue, Verdict

_NEWEST_PROTOCOL = 5
_MOST_ISSUES = 64
_MOST_GLOBALS = 10_000
_SHORTEST_SUSPECT = 4  # bytes; b"\x80\x04N." is the shortest pickle with a protocol
_LONGEST_NAME = 4096  # bytes of a module's or attribute's name
_unpack_u32 = struct.Struct("<I").unpack_from
_unpack_i32 = struct.Struct("<i").unpack_from


class Dialect(Enum):
    """Whose pickle it is, which decides the globals it may name beside torch's allowlist."""

    PLAIN = "plain"
    """Written by Python."""
    TORCHSCRIPT = "torchscript"
    """Written by TorchScript's C++ pickler: names classes that the archive itself defines."""


@frozen(kw_only=True)
class Limits:
    """How much of a stream is judged; one that needs more is refused as too large to judge.

    Attributes:
        structure: Bytes of opcodes and short strings.
        objects: Containers, calls and memo entries.
        depth: Marks open at once.
    """

    structure: int = 16 * 1024 * 1024
    objects: int = 2_000_000
    depth: int = 100_000


@define(eq=False)
class Outcome:
    """What interpreting one stream told.

    Attributes:
        start: File offset of its first opcode.
        end: File offset after its last opcode that was understood.
        stopped: Whether it ended with STOP, as a whole stream does.
        protocol: What PROTO said, or None.
        value: The symbolic value that the stream leaves, or None.
        globals: Every name it imports.
        storages: Every storage it names.
        issues: What was noticed.
        suspects: Strings that may hold another pickle, with their file offsets.
        foreign: The first opcode that torch's ``weights_only`` unpickler does not know, with its offset.
    """

    start: int
    end: int
    stopped: bool = False
    protocol: int | None = None
    value: Any = None
    globals: list[GlobalUse] = field(factory=list)
    storages: list[Storage] = field(factory=list)
    issues: list[Issue] = field(factory=list)
    suspects: list[tuple[int, bytes | str | Blob]] = field(factory=list)
    foreign: tuple[str, int] | None = None


class _Broken(Exception):  # noqa: N818  # never leaves this module: it ends one stream's interpretation
    def __init__(self, code: str, message: str, verdict: Verdict = Verdict.UNREADABLE) -> None:
        super().__init__(message)
        self.code = code
        self.verdict = verdict


class _Stopped(Exception):  # noqa: N818  # likewise
    pass


class Machine:
    """Interprets one stream.

    Args:
        reader: The file.
        start: File offset of the first opcode.
        limit: File offset that the stream must not pass.
        dialect: Whose pickle it is.
        limits: How much is judged.
        fast: Whether the loop for frequent opcodes may be used; without it every opcode takes the one step
            that handles all of them.
    """

    def __init__(
        self,
        reader: FileReader,
        start: int,
        limit: int,
        *,
        dialect: Dialect = Dialect.PLAIN,
        limits: Limits | None = None,
        fast: bool = True,
    ) -> None:
        self.window = Window(reader, start, limit)
        self.outcome = Outcome(start, start)
        self._limits = limits or Limits()
        self._dialect = dialect
        self._fast = fast
        self._position = start
        self._next = start
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._objects = 0
        self._frame_end = 0
        self._named: dict[tuple[str, str], GlobalUse] = {}

    def run(self) -> Outcome:
        """Interpret up to STOP, the first opcode that cannot be, or the limits."""
        outcome = self.outcome
        try:
            while True:
                if self._fast:
                    self._run_fast()
                self._step()
                self._check_limits()
        except _Stopped:
            outcome.stopped = True
            if self._next < self._frame_end:
                self._note_frame("its STOP comes before its frame ends")
        except _Broken as broken:
            self.note(broken.code, broken.verdict, str(broken))
        except ReadError as error:
            outcome.issues.append(
                Issue(code=error.code, verdict=Verdict.UNREADABLE, message=str(error), offset=self._position)
            )
        except (IndexError, KeyError):
            self._note_exhausted()
        except (NotUtf8Error, UnicodeDecodeError):
            self.note("pickle-malformed", Verdict.UNREADABLE, "text in the pickle stream is not UTF-8")
        outcome.end = self._next if outcome.stopped else self._position
        return outcome

    def note(self, code: str, verdict: Verdict, message: str, offset: int | None = None) -> None:
        """Keep an issue at the opcode being looked at."""
        if len(self.outcome.issues) < _MOST_ISSUES:
            place = self._position if offset is None else offset
            self.outcome.issues.append(Issue(code=code, verdict=verdict, message=message, offset=place))

    def _note_exhausted(self) -> None:
        index = self._position - self.window.base
        code = self.window.data[index] if 0 <= index < len(self.window.data) else 0
        name = OPCODES[code].name if code in OPCODES else "an opcode"
        what = "a memo entry that was never made" if "GET" in name else "more than the stack holds"
        self.note(
            "pickle-malformed", Verdict.UNREADABLE, f"{name} asks for {what}: no unpickler loads this stream"
        )

    def _note_frame(self, what: str) -> None:
        self.note(
            "frame-mismatch",
            Verdict.DANGEROUS,
            f"the pickle's frames do not fit its opcodes ({what}): unpicklers read such a stream differently, "
            "which hides what it does; do not load it",
        )

    def _check_limits(self) -> None:
        structure = self._position - self.outcome.start - self.window.skipped
        held = self._objects + len(self._memo)
        if (
            structure > self._limits.structure
            or held > self._limits.objects
            or len(self._marks) > self._limits.depth
        ):
            raise _Broken(
                "pickle-too-large",
                f"the pickle stream holds more than can be judged ({structure} bytes of opcodes)",
            )

    def _run_fast(self) -> None:
        """Interpret frequent opcodes until another one, the window's end or the frame's end comes near."""
        window = self.window
        data, base = window.data, window.base
        index = self._position - base
        end = len(data)
        if self._position < self._frame_end:
            end = min(end, self._frame_end - base)
        safe = end - LONGEST_FIXED
        stack, marks, memo = self._stack, self._marks, self._memo
        objects = 0
        try:
            while index < safe:
                match data[
                    index
                ]:  # by frequency; literal codes, as a name would cost a look-up for each opcode
                    case 0x72:  # LONG_BINPUT
                        slot = _unpack_u32(data, index + 1)[0]
                        if slot > index:
                            break
                        memo[slot] = stack[-1]
                        index += 5
                    case 0x4B:  # BININT1
                        stack.append(data[index + 1])
                        index += 2
                    case 0x68:  # BINGET
                        stack.append(memo[data[index + 1]])
                        index += 2
                    case 0x58:  # BINUNICODE
                        start = index + 5
                        stop = start + _unpack_u32(data, index + 1)[0]
                        if stop > end or stop - start > KEEP:
                            break
                        text = data[start:stop].decode("utf-8", "surrogatepass")
                        if stop - start > 23 or text[:1] > "\x7f":  # noqa: PLR2004  # room for a packed pickle
                            self.outcome.suspects.append((base + start, text))
                        stack.append(text)
                        index = stop
                    case 0x28:  # MARK
                        marks.append(stack)
                        stack = []
                        index += 1
                    case 0x74:  # TUPLE
                        items = tuple(stack)
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
                        self._position = base + index
                        stack[-1] = self._call(stack[-1], arguments)
                        objects += 1
                        index += 1
                    case 0x4D:  # BININT2
                        stack.append(data[index + 1] | data[index + 2] << 8)
                        index += 3
                    case 0x51:  # BINPERSID
                        self._position = base + index
                        stack[-1] = self._persistent(stack[-1])
                        objects += 1
                        index += 1
                    case 0x89:  # NEWFALSE
                        stack.append(False)  # noqa: FBT003
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
                        index += 5
                    case 0x85:  # TUPLE1
                        stack[-1] = (stack[-1],)
                        objects += 1
                        index += 1
                    case _:
                        break
        finally:
            self._stack = stack
            self._position = self._next = base + index
            self._objects += objects

    def _step(self) -> None:
        """Interpret one opcode, whichever it is."""
        window = self.window
        position = self._position
        index = position - window.base
        if index + LONGEST_FIXED > len(window.data) and window.base + len(window.data) < window.limit:
            window.slide(position)
            index = 0
        if index >= len(window.data):
            raise _Broken(
                "pickle-truncated", "the pickle stream ends without STOP: it is cut short or no pickle"
            )
        opcode = OPCODES.get(window.data[index])
        if opcode is None:
            raise _Broken("pickle-malformed", f"byte {window.data[index]:#04x} is no pickle opcode")
        if self.outcome.foreign is None and opcode.name not in WEIGHTS_ONLY:
            self.outcome.foreign = (opcode.name, position)
        try:
            argument, self._next = opcode.read(window, position + 1)
        except ReadError:
            self._name_what_is_left(opcode.name, position)
            raise
        if position < self._frame_end < self._next:
            self._note_frame(f"the argument of {opcode.name} reaches past its frame")
        _HANDLERS[opcode.name](self, argument)
        self._position = self._next

    def _name_what_is_left(self, opcode: str, position: int) -> None:
        """A GLOBAL without its last newline was meant to import all the same: name it."""
        if opcode in {"GLOBAL", "INST"}:
            rest = self.window.at(position + 1, min(self.window.limit - position - 1, _LONGEST_NAME))
            module, newline, name = rest.partition(b"\n")
            if newline and name and b"\n" not in name and _is_name(module) and _is_name(name):
                self._import(module, name)

    def _put(self, index: int, value: Any) -> None:
        if index > 1 << 16 and index > 4 * (self._position - self.outcome.start):
            self.note(
                "memory-bomb",
                Verdict.DANGEROUS,
                f"memo index {index} in so short a stream: the C unpickler would reserve {16 * index} bytes for it",
            )
        self._memo[index] = value

    def _text(self, value: Any) -> None:
        """Push a string and keep it for a second look where it could hold a pickle."""
        if type(value) is Blob or len(value) >= _SHORTEST_SUSPECT:
            where = value.offset if type(value) is Blob else self._next - len(value)
            self.outcome.suspects.append((where, value))
        self._stack.append(value)

    def _from_python2(self, value: bytes | Blob) -> bytes | str | Blob:
        """A Python 2 string: unpicklers decode it, torch as UTF-8, and refuse it where that fails."""
        if isinstance(value, Blob):
            return value
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            self.note(
                "python2-bytes",
                Verdict.SUSPICIOUS,
                "holds bytes as Python 2 wrote them, which torch and pickle refuse without another encoding",
            )
            return value

    def _pop_marked(self) -> list[Any]:
        items = self._stack
        self._stack = self._marks.pop()
        return items

    def _import(self, module: bytes | str, name: bytes | str) -> GlobalUse:
        """Name a global: look it up in the allowlist, import nothing."""
        written = (_name(module), _name(name))
        known = self._named.get(written)
        if known is not None:
            return known
        module, name = modern(*written)
        script = self._dialect is Dialect.TORCHSCRIPT and _is_torchscript(module, name)
        numpy = (module, name) in NUMPY
        found = GlobalUse(module, name, self._position, script or (module, name) in ALLOWED)
        found.build = (
            calls.plain(found) if script or numpy else calls.builder_of(found) if found.allowed else None
        )
        self._named[written] = found
        if len(self.outcome.globals) < _MOST_GLOBALS:
            self.outcome.globals.append(found)
        if numpy:
            self._note_numpy(module, name)
        elif not found.allowed:
            self._note_refused(module, name)
        return found

    def _note_numpy(self, module: str, name: str) -> None:
        if all(issue.code != "numpy-global" for issue in self.outcome.issues):
            self.note(
                "numpy-global",
                Verdict.SUSPICIOUS,
                f"names {module}.{name}: it rebuilds numpy arrays, which torch's weights_only loading refuses",
            )

    def _note_refused(self, module: str, name: str) -> None:
        self.note(
            "unsafe-global",
            Verdict.DANGEROUS,
            f"names {module}.{name}, which is outside the allowlist of torch's weights_only loading: "
            "unpickling it may run any code; do not load it unless you trust who made it",
        )

    def _call(self, function: Any, arguments: Any) -> Any:
        """What calling `function` gives; a call that is not allowed gives something opaque."""
        if type(function) is not GlobalUse:
            self._note_call(function)
            return Made(function, arguments)
        function.called = True
        build = function.build
        if build is not None:
            try:
                return build(arguments)
            except calls.BadArgumentsError as error:
                self._note_arguments(function, str(error))
        elif function.allowed:
            self._note_arguments(function, "a call, which no checkpoint makes")
        return Made(function, arguments)

    def _note_arguments(self, function: GlobalUse, what: str) -> None:
        self.note(
            "bad-arguments",
            Verdict.UNREADABLE,
            f"{function.module}.{function.name} is given {what}: torch would refuse to load it",
        )

    def _note_call(self, function: Any) -> None:
        maker = function.maker if type(function) is Made else function
        name = (
            f"what {maker.module}.{maker.name} gives"
            if type(maker) is GlobalUse
            else f"a {type(function).__name__}"
        )
        self.note("unsafe-call", Verdict.DANGEROUS, f"calls {name}, which no checkpoint does; do not load it")

    def _persistent(self, identity: Any) -> Any:
        try:
            found = calls.storage(identity, self._position)
        except calls.BadArgumentsError as error:
            self.note("bad-persistent-id", Verdict.UNREADABLE, f"{error}: torch would refuse to load it")
            return Made("persistent id", identity)
        self.outcome.storages.append(found)
        return found

    # The handlers of single opcodes, by `pickletools` name in lower case; `_HANDLERS` gathers them.

    def _on_proto(self, number: int) -> None:
        outcome = self.outcome
        if self._position != outcome.start:
            self.note(
                "misplaced-proto",
                Verdict.DANGEROUS,
                "a PROTO opcode in mid-stream, which no pickler writes and some scanners stop at; do not load it",
            )
        if number > _NEWEST_PROTOCOL:
            raise _Broken("pickle-malformed", f"pickle protocol {number} does not exist")
        outcome.protocol = number

    def _on_frame(self, length: int) -> None:
        if self._position < self._frame_end:
            self._note_frame("a frame begins inside another")
        if self._next + length > self.window.limit:
            # Every unpickler stops here; what the frame names is told all the same.
            message = f"a frame of {length} bytes reaches past the end of the stream"
            self.note("pickle-truncated", Verdict.UNREADABLE, message)
            return
        self._frame_end = self._next + length

    def _on_stop(self, _: None) -> None:
        self.outcome.value = self._stack.pop()
        if (self._stack or self._marks) and self._dialect is Dialect.PLAIN:
            self.note(
                "left-on-stack", Verdict.SUSPICIOUS, "the stream leaves values that no pickler would leave"
            )
        raise _Stopped

    def _on_mark(self, _: None) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _on_pop(self, _: None) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._pop_marked()

    def _on_pop_mark(self, _: None) -> None:
        self._pop_marked()

    def _on_dup(self, _: None) -> None:
        self._stack.append(self._stack[-1])

    def _on_get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def _on_put(self, index: int) -> None:
        self._put(index, self._stack[-1])

    def _on_memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _on_tuple(self, _: None) -> None:
        items = tuple(self._pop_marked())
        self._stack.append(items)
        self._objects += 1

    def _gather(self, count: int) -> None:
        items = tuple(self._stack[-count:])
        if len(items) < count:
            raise IndexError
        self._stack[-count:] = [items]
        self._objects += 1

    def _on_list(self, _: None) -> None:
        items = self._pop_marked()
        self._stack.append(items)
        self._objects += 1

    def _on_dict(self, _: None) -> None:
        items = self._pop_marked()
        made = Mapping()
        self._stack.append(made)
        self._objects += 1
        self._set_items(made, items)

    def _on_frozenset(self, _: None) -> None:
        items = self._pop_marked()
        self._check_keys(items)
        self._push(Group(items, frozen=True))

    def _push(self, value: Any) -> None:
        self._stack.append(value)
        self._objects += 1

    def _on_append(self, _: None) -> None:
        item = self._stack.pop()
        self._extend(self._stack[-1], [item])

    def _on_appends(self, _: None) -> None:
        items = self._pop_marked()
        self._extend(self._stack[-1], items)

    def _extend(self, target: Any, items: list[Any]) -> None:
        if type(target) is list:
            target.extend(items)
        elif type(target) is Made:
            target.items = (target.items or []) + items if len(items) < KEEP else items
            self._refuse_target("APPEND", target)
        else:
            self._refuse_target("APPEND", target)

    def _on_setitem(self, _: None) -> None:
        value = self._stack.pop()
        key = self._stack.pop()
        self._set_items(self._stack[-1], [key, value])

    def _on_setitems(self, _: None) -> None:
        items = self._pop_marked()
        self._set_items(self._stack[-1], items)

    def _set_items(self, target: Any, items: list[Any]) -> None:
        if len(items) % 2:
            raise _Broken("pickle-malformed", "an odd number of keys and values")
        if type(target) is not Mapping:
            self._refuse_target("SETITEM", target)
            return
        self._check_keys(items[::2])
        target.flat.extend(items)

    def _check_keys(self, keys: list[Any]) -> None:
        for key in keys:
            if type(key) is not str and not calls.hashable(key):
                self.note(
                    "pickle-malformed", Verdict.UNREADABLE, "a dict or set is given a key that cannot be one"
                )
                return

    def _refuse_target(self, opcode: str, target: Any) -> None:
        """An item set on anything but a plain container runs that object's own methods."""
        verdict = Verdict.DANGEROUS if type(target) in {Made, GlobalUse} else Verdict.UNREADABLE
        what = _described(target)
        self.note("bad-target", verdict, f"{opcode} on {what}, which torch's weights_only loading refuses")

    def _on_additems(self, _: None) -> None:
        items = self._pop_marked()
        target = self._stack[-1]
        if type(target) is Group and not target.frozen:
            self._check_keys(items)
            target.items.extend(items)
        else:
            self._refuse_target("ADDITEMS", target)

    def _on_global(self, names: tuple[bytes, bytes]) -> None:
        self._push(self._import(*names))

    def _on_stack_global(self, _: None) -> None:
        name = self._stack.pop()
        module = self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise _Broken(
                "pickle-malformed", "STACK_GLOBAL of something that is no text, which hides what it names"
            )
        self._push(self._import(module, name))

    def _on_ext(self, number: int) -> None:
        self.note(
            "extension-opcode",
            Verdict.DANGEROUS,
            f"names extension {number} of the copyreg registry, whatever that is where it is loaded; do not load it",
        )
        self._push(Made("extension", number))

    def _on_inst(self, names: tuple[bytes, bytes]) -> None:
        arguments = tuple(self._pop_marked())
        function = self._import(*names)
        self._push(self._call(function, arguments))

    def _on_obj(self, _: None) -> None:
        items = self._pop_marked()
        self._push(self._call(items[0], tuple(items[1:])))

    def _on_reduce(self, _: None) -> None:
        arguments = self._stack.pop()
        self._stack[-1] = self._call(self._stack[-1], arguments)
        self._objects += 1

    def _on_newobj(self, _: None) -> None:
        arguments = self._stack.pop()
        kind = self._stack.pop()
        self._push(self._call(kind, arguments))

    def _on_newobj_ex(self, _: None) -> None:
        keywords = self._stack.pop()
        arguments = self._stack.pop()
        kind = self._stack.pop()
        if type(keywords) is not Mapping or keywords.flat:
            self.note(
                "bad-arguments", Verdict.UNREADABLE, "NEWOBJ_EX with keywords, which no checkpoint uses"
            )
        self._push(self._call(kind, arguments))

    def _on_build(self, _: None) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        kind = type(target)
        if kind is Mapping and type(state) is Mapping:
            target.attributes = state
        elif kind is Made and type(target.maker) is GlobalUse:
            self._build_made(target, state)
        elif kind is GlobalUse:
            self.note(
                "build-on-global",
                Verdict.DANGEROUS,
                f"BUILD sets attributes of {target.module}.{target.name} itself, which rewires the program; "
                "do not load it",
            )
        else:
            self.note(
                "bad-target",
                Verdict.UNREADABLE,
                f"BUILD on {_described(target)}, which torch's weights_only loading refuses",
            )

    def _build_made(self, target: Made, state: Any) -> None:
        if target.maker.path == ("torch", "Tensor"):
            # Very old checkpoints make an empty tensor and set its storage, offset, shape and stride.
            try:
                self._stack[-1] = calls.view(*calls.arity((*calls.arity(state, 4)[:1], None, *state[1:]), 5))
            except calls.BadArgumentsError as error:
                self.note("bad-arguments", Verdict.UNREADABLE, f"a tensor is given {error}")
        elif target.maker.path in ALLOWED:
            self.note(
                "bad-target", Verdict.UNREADABLE, f"BUILD on {_described(target)}, which takes no state"
            )
        target.state = state

    def _on_persid(self, identity: bytes) -> None:
        self.note(
            "bad-persistent-id", Verdict.UNREADABLE, "a textual persistent id, which torch never writes"
        )
        self._push(Made("persistent id", identity))

    def _on_binpersid(self, _: None) -> None:
        self._push(self._persistent(self._stack.pop()))

    def _on_buffer(self, _: None) -> None:
        raise _Broken("pickle-malformed", "data outside the stream is asked for, and there is none")


def _described(value: Any) -> str:
    if type(value) is Made and type(value.maker) is GlobalUse:
        return f"what {value.maker.module}.{value.maker.name} gives"
    if type(value) is GlobalUse:
        return f"{value.module}.{value.name}"
    return "a Tensor" if type(value) is Tensor else f"a {type(value).__name__.lower()}"


def _is_name(data: bytes) -> bool:
    try:
        return all(part.isidentifier() for part in data.decode("ascii").split("."))
    except UnicodeDecodeError:
        return False


def _name(data: bytes | str) -> str:
    if len(data) > _LONGEST_NAME:
        raise _Broken("pickle-malformed", f"a global whose name has {len(data)} characters")
    return decoded(data) if isinstance(data, bytes) else data


def _is_torchscript(module: str, name: str) -> bool:
    return module == "__torch__" or module.startswith("__torch__.") or (module, name) in TORCHSCRIPT


def _pusher(make: Callable[[], Any]) -> Callable[[Machine, Any], None]:
    def push(machine: Machine, _: Any) -> None:
        machine._push(make())  # noqa: SLF001  # a handler of that class

    return push


def _handlers() -> dict[str, Callable[[Machine, Any], None]]:
    handlers: dict[str, Callable[[Machine, Any], None]] = {
        name.removeprefix("_on_").upper(): handler
        for name, handler in vars(Machine).items()
        if name.startswith("_on_")
    }
    value: Callable[[Machine, Any], None] = lambda machine, argument: machine._stack.append(argument)  # noqa: E731, SLF001
    text: Callable[[Machine, Any], None] = lambda machine, argument: machine._text(argument)  # noqa: E731, SLF001
    gather = {f"TUPLE{n}": (lambda machine, _, n=n: machine._gather(n)) for n in (1, 2, 3)}  # noqa: SLF001
    for name in ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"):
        handlers[name] = value
    for name in ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"):
        handlers[name] = text
    for name in ("STRING", "BINSTRING", "SHORT_BINSTRING"):
        handlers[name] = lambda machine, argument: machine._text(machine._from_python2(argument))  # noqa: SLF001
    for name in ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"):
        handlers[name] = text
    constants: dict[str, Callable[[], Any]] = {
        "NONE": lambda: None,
        "NEWTRUE": lambda: True,
        "NEWFALSE": lambda: False,
        "EMPTY_TUPLE": tuple,
        "EMPTY_LIST": list,
        "EMPTY_DICT": Mapping,
        "EMPTY_SET": Group,
    }
    aliases = {"BINGET": "GET", "LONG_BINGET": "GET", "BINPUT": "PUT", "LONG_BINPUT": "PUT"}
    aliases |= {"EXT1": "EXT", "EXT2": "EXT", "EXT4": "EXT"}
    aliases |= {"NEXT_BUFFER": "BUFFER", "READONLY_BUFFER": "BUFFER"}
    handlers |= {name: _pusher(make) for name, make in constants.items()} | gather
    return handlers | {name: handlers[target] for name, target in aliases.items()}


_HANDLERS = _handlers()
