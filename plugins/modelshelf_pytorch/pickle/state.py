"""The stack, memo and marks of an unpickler, symbolically, and what opcodes do to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelshelf_pytorch.pickle import calls, rebuild
from modelshelf_pytorch.pickle.allowlist import ALLOWED, DATA_TYPES, NUMPY, TORCHSCRIPT, python3_name
from modelshelf_pytorch.pickle.opcodes import LONGEST_KEPT, Window, decode_text
from modelshelf_pytorch.pickle.outcome import Dialect, Outcome
from modelshelf_pytorch.pickle.symbols import Blob, Global, Instance, Mapping, Tensor, type_name
from modelshelf_pytorch.pickle.tensor_run import SHORTEST_STRING, WORTH_A_SEARCH, Memo
from modelshelf_pytorch.verdict import Issue, Verdict

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

_MOST_ISSUES = 64  # of each verdict
_MOST_GLOBALS = 10_000
_SHORTEST_PICKLE = 4  # bytes of the shortest pickle with a protocol
_COPIES_PER_BYTE, _FREE_COPIES = 2, 10_000  # references copied for each byte of a stream, and in any
_FREE_HASHES = 4_000_000  # items of tuples that are hashed as keys again and again
_COPIES_MESSAGE = "the stream copies what it holds over and over: loading it costs far more than its size"
_MARK_REFERENCES = 8  # what a mark takes, as references
_SHORT_KEY = 16  # items of a tuple that is a key and costs no more than the opcodes that made it
KEPT_NUMBERS = 1_000_000  # items of a list from which on further numbers are passed over, not kept
# What values take in memory, measured with CPython 3.10 to 3.14 and rounded up.
REFERENCE_BYTES, NUMBER_BYTES, LEAST_STRING, WIDEST = 8, 32, 64, 4
_OBJECT_BYTES, _MEMO_BYTES, _LOCATED_BYTES, _RUN_BYTES = 96, 104, 104, 40
LONGEST_NAME = 4096  # bytes of a module's or attribute's name


class StreamError(Exception):
    """The stream cannot be interpreted any further.

    Attributes:
        code: The issue's code.
        verdict: The issue's verdict.
    """

    def __init__(self, code: str, message: str, verdict: Verdict = Verdict.UNREADABLE) -> None:
        super().__init__(message)
        self.code = code
        self.verdict = verdict


class StopReached(Exception):  # noqa: N818  # no error: every whole stream ends so
    """The stream's STOP was reached."""


class State:
    """The state of one stream's interpretation, and what its opcodes can do to it.

    Args:
        reader: The file.
        start: File offset of the first opcode.
        limit: File offset that the stream must not pass.
        dialect: Who wrote it.

    Attributes:
        window: The bytes that opcodes are read from.
        outcome: What interpreting gave so far.
        dialect: Who wrote it.
        position: File offset of the current opcode.
        following: File offset after it.
        stack: Values since the last mark.
        marks: The stacks below each open mark.
        memo: Values by memo index.
        objects: Containers and calls so far.
        value_bytes: Bytes of strings, numbers and references within containers so far, as an estimate.
        passed: Numbers of long lists that were passed over so far.
        frame_end: File offset where the current frame ends, or 0.
        declared_again: Whether a PROTO in mid-stream was reported.
        copied: References that calls copied so far.
        hashed: Items within keys that were hashed so far.
    """

    def __init__(self, reader: FileReader, start: int, limit: int, dialect: Dialect) -> None:
        self.window = Window(reader, start, limit)
        self.outcome = Outcome(start, start)
        self.dialect = dialect
        self.position = start
        self.following = start
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo = Memo()
        self.objects = 0
        self.value_bytes = self.passed = 0
        self.frame_end = 0
        self.declared_again = False
        self.copied = self.hashed = 0
        self._globals: dict[tuple[str, str], Global] = {}
        self._messages: dict[Verdict, set[str]] = {}

    def report(self, code: str, verdict: Verdict, message: str, subject: str | None = None) -> None:
        """Add an issue of the current opcode: once, and so that those of other verdicts crowd none out."""
        messages = self._messages.setdefault(verdict, set())
        if message not in messages and len(messages) < _MOST_ISSUES:
            messages.add(message)
            issue = Issue(code=code, verdict=verdict, message=message, offset=self.position, subject=subject)
            self.outcome.issues.append(issue)

    @property
    def memory(self) -> int:
        """Bytes that the values take, estimated rather too high; what was let go of counts on."""
        references = len(self.stack) + sum(map(len, self.marks)) + _MARK_REFERENCES * len(self.marks)
        return (
            self.value_bytes
            + REFERENCE_BYTES * references
            + _OBJECT_BYTES * self.objects
            + _MEMO_BYTES * len(self.memo)
            + _RUN_BYTES * (self.memo.size_at_most - len(self.memo))
            + _LOCATED_BYTES * len(self.outcome.loose_strings)
        )

    def report_frame(self, what: str) -> None:
        """Report that frames and opcodes disagree."""
        self.report(
            "frame-mismatch",
            Verdict.DANGEROUS,
            f"the pickle's frames do not fit its opcodes ({what}): unpicklers read such a stream in "
            "different ways, which hides what it does; do not load it",
        )

    def count_copied(self, count: int) -> None:
        """Count references that are copied of what the stream made before.

        Raises:
            StreamError: They are far more than the stream has bytes, as no pickler writes it.
        """
        self.copied += count
        if self.copied > _COPIES_PER_BYTE * (self.position - self.outcome.start) + _FREE_COPIES:
            raise StreamError("memory-bomb", _COPIES_MESSAGE, Verdict.DANGEROUS)

    def put(self, index: int, value: Any) -> None:
        """Set a memo entry; a far one is reported, as the C unpickler reserves memory up to it."""
        if index > 1 << 16 and index > 4 * (self.position - self.outcome.start):
            self.report(
                "memory-bomb",
                Verdict.DANGEROUS,
                f"memo index {index} in so short a stream makes the C unpickler reserve {16 * index} bytes",
            )
        self.memo[index] = value

    def push_string(self, value: Any) -> None:
        """Push a string; one that could hold a pickle is searched later."""
        if isinstance(value, Blob):
            self.outcome.loose_strings.append((value.offset, value))
        elif isinstance(value, bytes):
            self.value_bytes += LEAST_STRING + len(value)
            if len(value) >= _SHORTEST_PICKLE:
                self.outcome.loose_strings.append((self.following - len(value), value))
        else:
            self.value_bytes += LEAST_STRING + len(value) * (1 if value.isascii() else WIDEST)
            if len(value) >= SHORTEST_STRING or value[:1] > "\x7f":
                data = value.encode("utf-8", "surrogatepass")
                if WORTH_A_SEARCH.search(data):
                    self.outcome.loose_strings.append((self.following - len(data), value))
        self.stack.append(value)

    def decode_python2(self, value: bytes | Blob) -> bytes | str | Blob:
        """Decode a Python 2 string as torch does, as UTF-8; torch refuses one that is none."""
        if isinstance(value, Blob):
            return value
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            self.report(
                "python2-bytes",
                Verdict.SUSPICIOUS,
                "holds bytes as Python 2 wrote them, which torch and pickle refuse without another encoding",
            )
            return value

    def pop_marked(self) -> list[Any]:
        """Take the values since the last mark off the stack, and the mark."""
        items = self.stack
        self.stack = self.marks.pop()
        self.value_bytes += REFERENCE_BYTES * len(items)
        return items

    def resolve_global(self, module: bytes | str, name: bytes | str) -> Global:
        """Return the global of a name: it is looked up in the allowlist, and nothing is imported."""
        written = (_decode_name(module), _decode_name(name))
        earlier = self._globals.get(written)
        if earlier is not None:
            return earlier
        path = python3_name(*written)
        script = self.dialect is Dialect.TORCHSCRIPT and _is_torchscript(*path)
        found = Global(*path, self.position, script or path in ALLOWED)
        found.build = calls.opaque_builder(found) if script or path in NUMPY else calls.builder_of(found)
        self._globals[written] = found
        if len(self.outcome.globals) < _MOST_GLOBALS:
            self.outcome.globals.append(found)
        if path in DATA_TYPES and self.outcome.foreign is None:
            self.outcome.foreign = (".".join(path), self.position)
        elif path in NUMPY:
            self._report_numpy(*path)
        elif not found.allowed and path not in DATA_TYPES:
            self._report_refused(*path)
        return found

    def _report_numpy(self, module: str, name: str) -> None:
        if all(issue.code != "numpy-global" for issue in self.outcome.issues):
            self.report(
                "numpy-global",
                Verdict.SUSPICIOUS,
                f"names {module}.{name}: it rebuilds numpy arrays, which torch's weights_only mode refuses",
            )

    def _report_refused(self, module: str, name: str) -> None:
        shown = f"{module}.{name}"
        if not all(part.isidentifier() for part in shown.split(".")):  # of a text that is no pickle, perhaps
            shown = "what Python has no such name for"
        message = (
            f"names {shown}, which is outside the allowlist of torch's weights_only mode: unpickling "
            "it may run any code; do not load it unless you trust who made it"
        )
        self.report("unsafe-global", Verdict.DANGEROUS, message, shown)

    def call(self, function: Any, arguments: Any) -> Any:
        """Return what a call gives; one that is not allowed gives an `Instance` of unknown content."""
        if type(function) is not Global:
            self._report_call(function)
            return Instance(function, arguments)
        function.called = True
        if arguments and function.path in calls.COPYING_FUNCTIONS:
            copied = calls.count_copied(arguments)
            self.count_copied(copied + self.passed if copied >= KEPT_NUMBERS else copied)
        build = function.build
        if build is not None:
            try:
                return build(arguments)
            except rebuild.BadArgumentsError as error:
                self.report_arguments(function, str(error))
        elif function.allowed:
            self.report_arguments(function, "a call, which no checkpoint makes")
        return Instance(function, arguments)

    def report_arguments(self, function: Global, what: str) -> None:
        """Report a call that the real function would refuse."""
        self.report(
            "bad-arguments",
            Verdict.UNREADABLE,
            f"{function.module}.{function.name} is given {what}: torch would refuse to load it",
        )

    def _report_call(self, function: Any) -> None:
        called = function.function if type(function) is Instance else function
        name = (
            f"what {called.module}.{called.name} gives"
            if type(called) is Global
            else f"a {type_name(function)}"
        )
        self.report(
            "unsafe-call", Verdict.DANGEROUS, f"calls {name}, which no checkpoint does; do not load it"
        )

    def persistent_load(self, identity: Any) -> Any:
        """Return the storage that a persistent id names."""
        try:
            storage = calls.persistent_storage(identity, self.position)
        except rebuild.BadArgumentsError as error:
            self.report("bad-persistent-id", Verdict.UNREADABLE, f"{error}: torch would refuse to load it")
            return Instance("persistent id", identity)
        self.outcome.loose_storages.append(storage)
        return storage

    def push_tuple(self, count: int) -> None:
        """Replace the last `count` values by a tuple of them."""
        items = tuple(self.stack[-count:])
        if len(items) < count:
            raise IndexError
        self.stack[-count:] = [items]
        self.objects += 1

    def push(self, value: Any) -> None:
        """Push a value that counts as an object."""
        self.stack.append(value)
        self.objects += 1

    def append_items(self, target: Any, items: list[Any]) -> None:
        """Append items to a list; to append to anything else is reported."""
        if type(target) is list:
            target.extend(items)
        elif type(target) is Instance:
            if target.items is None:
                target.items = items
            elif len(target.items) < LONGEST_KEPT:
                target.items.extend(items)
            self.report_target("APPEND", target)
        else:
            self.report_target("APPEND", target)

    def set_items(self, target: Any, items: list[Any]) -> None:
        """Set keys and values of a dict, in turn; to set those of anything else is reported."""
        if len(items) % 2:
            raise StreamError("pickle-malformed", "an odd number of keys and values")
        if type(target) is not Mapping:
            self.report_target("SETITEM", target)
            return
        self.check_keys(items[::2])
        target.extend(items)

    def check_keys(self, keys: list[Any]) -> None:
        """Report a key that cannot be one, and count what hashing the keys costs.

        Raises:
            StreamError: The stream hashes the same long keys again and again.
        """
        hashed = calls.count_hashed(keys)
        if hashed is None:
            self.report(
                "pickle-malformed", Verdict.UNREADABLE, "a dict or set is given a key that cannot be one"
            )
        elif hashed > len(keys) * _SHORT_KEY:
            self.hashed += hashed
            if self.hashed > _COPIES_PER_BYTE * (self.position - self.outcome.start) + _FREE_HASHES:
                raise StreamError("memory-bomb", _COPIES_MESSAGE, Verdict.DANGEROUS)

    def report_target(self, opcode: str, target: Any) -> None:
        """Report items for anything but a container: setting them runs the object's own methods."""
        verdict = Verdict.DANGEROUS if type(target) in {Instance, Global} else Verdict.UNREADABLE
        what = describe(target)
        self.report("bad-target", verdict, f"{opcode} on {what}, which torch's weights_only loading refuses")

    def build_instance(self, target: Instance, state: Any) -> None:
        """Give an instance its state."""
        if target.function.path == ("torch", "Tensor"):
            # Very old checkpoints make an empty tensor and set its storage, offset, shape and stride.
            try:
                storage, start, shape, stride = rebuild.arguments_of(state, 4)
                self.stack[-1] = rebuild.strided_tensor(storage, None, start, shape, stride)
            except rebuild.BadArgumentsError as error:
                self.report("bad-arguments", Verdict.UNREADABLE, f"a tensor is given {error}")
        elif target.function.path in ALLOWED:
            self.report(
                "bad-target", Verdict.UNREADABLE, f"BUILD on {describe(target)}, which takes no state"
            )
        target.state = state


def describe(value: Any) -> str:
    """Return what a message calls a value."""
    if type(value) is Instance and type(value.function) is Global:
        return f"what {value.function.module}.{value.function.name} gives"
    if type(value) is Global:
        return f"{value.module}.{value.name}"
    return "a Tensor" if type(value) is Tensor else f"a {type_name(value).lower()}"


def is_name(data: bytes) -> bool:
    """Return whether bytes are a dotted name."""
    try:
        return all(part.isidentifier() for part in data.decode("ascii").split("."))
    except UnicodeDecodeError:
        return False


def _decode_name(data: bytes | str) -> str:
    if len(data) > LONGEST_NAME:
        raise StreamError("pickle-malformed", f"a global whose name has {len(data)} characters")
    return decode_text(data) if isinstance(data, bytes) else data


def _is_torchscript(module: str, name: str) -> bool:
    return module == "__torch__" or module.startswith("__torch__.") or (module, name) in TORCHSCRIPT
