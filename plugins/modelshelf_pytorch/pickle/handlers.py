"""What each opcode does to the interpreter's state; after CPython's ``Modules/_pickle.c``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelshelf_pytorch.pickle.allowlist import ALLOWED, CLASSES
from modelshelf_pytorch.pickle.outcome import Dialect
from modelshelf_pytorch.pickle.state import (
    NUMBER_BYTES,
    REFERENCE_BYTES,
    State,
    StopReached,
    StreamError,
    describe,
)
from modelshelf_pytorch.pickle.symbols import Global, Group, Instance, Mapping
from modelshelf_pytorch.verdict import Verdict

_NEWEST_PROTOCOL = 5

Handler = Callable[[State, Any], None]


def _on_proto(state: State, number: int) -> None:
    outcome = state.outcome
    if state.position != outcome.start and not state.declared_again:
        state.declared_again = True
        state.report(
            "misplaced-proto",
            Verdict.DANGEROUS,
            "a PROTO opcode in mid-stream, which no pickler writes and some scanners stop at; do not load it",
        )
    if number > _NEWEST_PROTOCOL:
        raise StreamError("pickle-malformed", f"pickle protocol {number} does not exist")
    outcome.protocol = number


def _on_frame(state: State, length: int) -> None:
    if state.position < state.frame_end:
        state.report_frame("a frame begins inside another")
    if state.following + length > state.window.limit:
        # Every unpickler stops here; what the frame names is reported all the same.
        message = f"a frame of {length} bytes reaches past the end of the stream"
        state.report("pickle-truncated", Verdict.UNREADABLE, message)
        return
    state.frame_end = state.following + length


def _on_stop(state: State, _: None) -> None:
    state.outcome.value = state.stack.pop()
    if (state.stack or state.marks) and state.dialect is Dialect.PYTHON:
        state.report(
            "left-on-stack", Verdict.SUSPICIOUS, "the stream leaves values that no pickler would leave"
        )
    raise StopReached


def _on_mark(state: State, _: None) -> None:
    state.marks.append(state.stack)
    state.stack = []


def _on_pop(state: State, _: None) -> None:
    if state.stack:
        state.stack.pop()
    else:
        state.pop_marked()


def _on_pop_mark(state: State, _: None) -> None:
    state.pop_marked()


def _on_dup(state: State, _: None) -> None:
    state.stack.append(state.stack[-1])


def _on_get(state: State, index: int) -> None:
    state.stack.append(state.memo[index])


def _on_put(state: State, index: int) -> None:
    state.put(index, state.stack[-1])


def _on_memoize(state: State, _: None) -> None:
    state.memo[state.memo.size] = state.stack[-1]


def _on_tuple(state: State, _: None) -> None:
    state.push(tuple(state.pop_marked()))


def _on_list(state: State, _: None) -> None:
    state.push(state.pop_marked())


def _on_dict(state: State, _: None) -> None:
    items = state.pop_marked()
    mapping = Mapping()
    state.push(mapping)
    state.set_items(mapping, items)


def _on_frozenset(state: State, _: None) -> None:
    items = state.pop_marked()
    state.check_keys(items)
    state.push(Group(items, frozen=True))


def _on_append(state: State, _: None) -> None:
    item = state.stack.pop()
    state.value_bytes += REFERENCE_BYTES
    state.append_items(state.stack[-1], [item])


def _on_appends(state: State, _: None) -> None:
    items = state.pop_marked()
    state.append_items(state.stack[-1], items)


def _on_setitem(state: State, _: None) -> None:
    value = state.stack.pop()
    key = state.stack.pop()
    state.value_bytes += 2 * REFERENCE_BYTES
    state.set_items(state.stack[-1], [key, value])


def _on_setitems(state: State, _: None) -> None:
    items = state.pop_marked()
    state.set_items(state.stack[-1], items)


def _on_additems(state: State, _: None) -> None:
    items = state.pop_marked()
    target = state.stack[-1]
    if type(target) is Group and not target.frozen:
        state.check_keys(items)
        target.items.extend(items)
    else:
        state.report_target("ADDITEMS", target)


def _on_global(state: State, names: tuple[bytes, bytes]) -> None:
    state.push(state.resolve_global(*names))


def _on_stack_global(state: State, _: None) -> None:
    name = state.stack.pop()
    module = state.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise StreamError(
            "pickle-malformed", "STACK_GLOBAL of something that is no text, which hides what it names"
        )
    state.push(state.resolve_global(module, name))


def _on_ext(state: State, number: int) -> None:
    state.report(
        "extension-opcode",
        Verdict.DANGEROUS,
        f"names extension {number} of the copyreg registry, whatever that is there; do not load it",
    )
    state.push(Instance("extension", number))


def _on_inst(state: State, names: tuple[bytes, bytes]) -> None:
    arguments = tuple(state.pop_marked())
    function = state.resolve_global(*names)
    state.push(state.call(function, arguments))


def _on_obj(state: State, _: None) -> None:
    items = state.pop_marked()
    state.push(state.call(items[0], tuple(items[1:])))


def _on_reduce(state: State, _: None) -> None:
    arguments = state.stack.pop()
    state.stack[-1] = state.call(state.stack[-1], arguments)
    state.objects += 1


def _on_newobj(state: State, _: None) -> None:
    arguments = state.stack.pop()
    kind = state.stack.pop()
    if type(kind) is Global and kind.path in ALLOWED and kind.path not in CLASSES:
        state.report_arguments(kind, "to NEWOBJ although it is no class of a checkpoint")
    state.push(state.call(kind, arguments))


def _on_newobj_ex(state: State, _: None) -> None:
    keywords = state.stack.pop()
    arguments = state.stack.pop()
    kind = state.stack.pop()
    if type(keywords) is not Mapping or keywords.flat:
        state.report("bad-arguments", Verdict.UNREADABLE, "NEWOBJ_EX with keywords, which no checkpoint uses")
    state.push(state.call(kind, arguments))


def _on_build(state: State, _: None) -> None:
    given = state.stack.pop()
    target = state.stack[-1]
    kind = type(target)
    if kind is Mapping and target.kind != "dict" and type(given) is Mapping:
        target.attributes = given
    elif kind is Instance and type(target.function) is Global:
        state.build_instance(target, given)
    elif kind is Global:
        state.report(
            "build-on-global",
            Verdict.DANGEROUS,
            f"BUILD sets attributes of {target.module}.{target.name} itself, which rewires the program; "
            "do not load it",
        )
    else:
        state.report(
            "bad-target",
            Verdict.UNREADABLE,
            f"BUILD on {describe(target)}, which torch's weights_only loading refuses",
        )


def _on_persid(state: State, identity: bytes) -> None:
    state.report("bad-persistent-id", Verdict.UNREADABLE, "a textual persistent id, which torch never writes")
    state.push(Instance("persistent id", identity))


def _on_binpersid(state: State, _: None) -> None:
    state.push(state.persistent_load(state.stack.pop()))


def _on_buffer(_state: State, _: None) -> None:
    raise StreamError("pickle-malformed", "data outside the stream is asked for, and there is none")


def _pusher(make: Callable[[], Any]) -> Handler:
    def push(state: State, _: Any) -> None:
        state.push(make())

    return push


def _push_value(state: State, argument: Any) -> None:
    state.value_bytes += NUMBER_BYTES
    state.stack.append(argument)


_LONGEST_NUMBER = 64  # bytes of a number by which its base is known


def _push_decimal(state: State, argument: int) -> None:
    line = state.window.read(state.position + 1, min(state.following - state.position - 2, _LONGEST_NUMBER))
    digits = line.partition(b"\0")[0].strip().lstrip(b"+-").removesuffix(b"L")
    if type(argument) is int and argument and digits.startswith(b"0") and digits.isdigit():
        what = "a number with a leading zero, which Python's unpickler refuses and C's counts by eights"
        state.report("pickle-malformed", Verdict.UNREADABLE, what)
    state.value_bytes += NUMBER_BYTES
    state.stack.append(argument)


def _push_string(state: State, argument: Any) -> None:
    state.push_string(argument)


def _push_bytearray(state: State, argument: Any) -> None:
    state.push_string(argument)
    if type(argument) is bytes:
        state.stack[-1] = bytearray(argument)  # which cannot be a key


def _push_python2_string(state: State, argument: Any) -> None:
    state.push_string(state.decode_python2(argument))


def _tuple_pusher(count: int) -> Handler:
    def push(state: State, _: Any) -> None:
        state.push_tuple(count)

    return push


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": Mapping,
    "EMPTY_SET": Group,
}

HANDLERS: dict[str, Handler] = {
    **{name: _pusher(make) for name, make in _CONSTANTS.items()},
    **{f"TUPLE{count}": _tuple_pusher(count) for count in (1, 2, 3)},
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4"), _push_value),
    **dict.fromkeys(("INT", "LONG"), _push_decimal),
    **dict.fromkeys(("FLOAT", "BINFLOAT"), _push_value),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _push_string),
    "BYTEARRAY8": _push_bytearray,
    **dict.fromkeys(("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"), _push_string),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), _push_python2_string),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _on_get),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _on_put),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), _on_ext),
    **dict.fromkeys(("NEXT_BUFFER", "READONLY_BUFFER"), _on_buffer),
    "MEMOIZE": _on_memoize,
    "PROTO": _on_proto,
    "FRAME": _on_frame,
    "STOP": _on_stop,
    "MARK": _on_mark,
    "POP": _on_pop,
    "POP_MARK": _on_pop_mark,
    "DUP": _on_dup,
    "TUPLE": _on_tuple,
    "LIST": _on_list,
    "DICT": _on_dict,
    "FROZENSET": _on_frozenset,
    "APPEND": _on_append,
    "APPENDS": _on_appends,
    "SETITEM": _on_setitem,
    "SETITEMS": _on_setitems,
    "ADDITEMS": _on_additems,
    "GLOBAL": _on_global,
    "STACK_GLOBAL": _on_stack_global,
    "INST": _on_inst,
    "OBJ": _on_obj,
    "REDUCE": _on_reduce,
    "NEWOBJ": _on_newobj,
    "NEWOBJ_EX": _on_newobj_ex,
    "BUILD": _on_build,
    "PERSID": _on_persid,
    "BINPERSID": _on_binpersid,
}
"""The function that carries out each opcode, by its name in `pickletools`."""
