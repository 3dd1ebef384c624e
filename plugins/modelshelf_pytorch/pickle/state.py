"""What a stream does to an unpickler's stack, memo and marks, held symbolically: nothing is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelshelf_pytorch.pickle import calls, rebuild
from modelshelf_pytorch.pickle.allowlist import ALLOWED, DATA, NUMPY, TORCHSCRIPT, modern
from modelshelf_pytorch.pickle.opcodes import KEEP, decoded
from modelshelf_pytorch.pickle.outcome import Dialect, Outcome
from modelshelf_pytorch.pickle.symbols import Blob, GlobalUse, Made, Mapping, Tensor
from modelshelf_pytorch.pickle.tensor_run import SHORTEST_TEXT, Memo
from modelshelf_pytorch.pickle.window import Window
from modelshelf_pytorch.verdict import Issue, Verdict

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

_MOST_ISSUES = 64  # of each verdict
_MOST_GLOBALS = 10_000
_SHORTEST_PICKLE = 4  # bytes of the shortest pickle with a protocol
_COPIES, _FREE = 2, 10_000  # references copied for each byte of a stream, and for any
_LOOKS = 4_000_000  # items of tuples that are hashed as keys again and again
_COPIED = "the stream copies what it holds over and over: loading it costs far more than its size"
_SHORT_KEY = 16  # items of a tuple that is a key and costs no more than the opcodes that made it
LONGEST_NAME = 4096  # bytes of a module's or attribute's name


class Broken(Exception):  # noqa: N818  # no error of a caller's: it ends one stream's interpretation
    """The stream cannot be followed any further."""

    def __init__(self, code: str, message: str, verdict: Verdict = Verdict.UNREADABLE) -> None:
        super().__init__(message)
        self.code = code
        self.verdict = verdict


class Stopped(Exception):  # noqa: N818  # likewise
    """The stream's STOP was reached."""


class State:
    """The state of one stream's interpretation, and what its opcodes can do to it.

    Args:
        reader: The file.
        start: File offset of the first opcode.
        limit: File offset that the stream must not pass.
        dialect: Whose pickle it is.

    Attributes:
        window: The bytes being looked at.
        outcome: What the stream told so far.
        dialect: Whose pickle it is.
        position: File offset of the opcode being looked at.
        following: File offset after it.
        stack: Values since the last mark.
        marks: The stacks below each open mark.
        memo: Values by memo index.
        objects: Containers and calls so far.
        frame_end: File offset where the current frame ends, or 0.
        copied: References that calls copied so far.
        looked: Items of keys that were looked through so far.
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
        self.frame_end = 0
        self.copied = self.looked = 0
        self._named: dict[tuple[str, str], GlobalUse] = {}
        self._noted: dict[Verdict, set[str]] = {}

    def note(self, code: str, verdict: Verdict, message: str, subject: str | None = None) -> None:
        """Keep an issue at the opcode being looked at: once, and so that no other verdict's crowd it out."""
        noted = self._noted.setdefault(verdict, set())
        if message not in noted and len(noted) < _MOST_ISSUES:
            noted.add(message)
            issue = Issue(code=code, verdict=verdict, message=message, offset=self.position, subject=subject)
            self.outcome.issues.append(issue)

    def note_frame(self, what: str) -> None:
        """Keep the issue that frames and opcodes disagree."""
        self.note(
            "frame-mismatch",
            Verdict.DANGEROUS,
            f"the pickle's frames do not fit its opcodes ({what}): unpicklers read such a stream in "
            "different ways, which hides what it does; do not load it",
        )

    def copy(self, count: int) -> None:
        """Count what is copied of what the stream made before.

        Raises:
            Broken: It is far more than the stream has bytes: no pickler writes a thing down to copy it often.
        """
        self.copied += count
        if self.copied > _COPIES * (self.position - self.outcome.start) + _FREE:
            raise Broken("memory-bomb", _COPIED, Verdict.DANGEROUS)

    def put(self, index: int, value: Any) -> None:
        """Set a memo entry."""
        if index > 1 << 16 and index > 4 * (self.position - self.outcome.start):
            self.note(
                "memory-bomb",
                Verdict.DANGEROUS,
                f"memo index {index} in so short a stream makes the C unpickler reserve {16 * index} bytes",
            )
        self.memo[index] = value

    def text(self, value: Any) -> None:
        """Push a string and keep it for a second look where it could hold a pickle."""
        if isinstance(value, Blob):
            self.outcome.loose_suspects.append((value.offset, value))
        elif isinstance(value, bytes):
            if len(value) >= _SHORTEST_PICKLE:
                self.outcome.loose_suspects.append((self.following - len(value), value))
        elif len(value) >= SHORTEST_TEXT or value[:1] > "\x7f":
            length = len(value.encode("utf-8", "surrogatepass"))
            self.outcome.loose_suspects.append((self.following - length, value))
        self.stack.append(value)

    def from_python2(self, value: bytes | Blob) -> bytes | str | Blob:
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

    def pop_marked(self) -> list[Any]:
        """The values since the last mark, taken off."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def imported(self, module: bytes | str, name: bytes | str) -> GlobalUse:
        """Name a global: look it up in the allowlist, import nothing."""
        written = (_name(module), _name(name))
        known = self._named.get(written)
        if known is not None:
            return known
        path = modern(*written)
        script = self.dialect is Dialect.TORCHSCRIPT and _is_torchscript(*path)
        found = GlobalUse(*path, self.position, script or path in ALLOWED)
        found.build = calls.plain(found) if script or path in NUMPY else calls.builder_of(found)
        self._named[written] = found
        if len(self.outcome.globals) < _MOST_GLOBALS:
            self.outcome.globals.append(found)
        if path in DATA and self.outcome.foreign is None:
            self.outcome.foreign = (".".join(path), self.position)
        elif path in NUMPY:
            self._note_numpy(*path)
        elif not found.allowed and path not in DATA:
            self._note_refused(*path)
        return found

    def _note_numpy(self, module: str, name: str) -> None:
        if all(issue.code != "numpy-global" for issue in self.outcome.issues):
            self.note(
                "numpy-global",
                Verdict.SUSPICIOUS,
                f"names {module}.{name}: it rebuilds numpy arrays, which torch's weights_only mode refuses",
            )

    def _note_refused(self, module: str, name: str) -> None:
        message = (
            f"names {module}.{name}, which is outside the allowlist of torch's weights_only mode: unpickling "
            "it may run any code; do not load it unless you trust who made it"
        )
        self.note("unsafe-global", Verdict.DANGEROUS, message, f"{module}.{name}")

    def call(self, function: Any, arguments: Any) -> Any:
        """What calling `function` gives; a call that is not allowed gives something opaque."""
        if type(function) is not GlobalUse:
            self._note_call(function)
            return Made(function, arguments)
        function.called = True
        if arguments and function.path in calls.COPYING:
            self.copy(calls.copied(arguments))
        build = function.build
        if build is not None:
            try:
                return build(arguments)
            except rebuild.BadArgumentsError as error:
                self.note_arguments(function, str(error))
        elif function.allowed:
            self.note_arguments(function, "a call, which no checkpoint makes")
        return Made(function, arguments)

    def note_arguments(self, function: GlobalUse, what: str) -> None:
        """Keep the issue of a call that the real function would refuse."""
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

    def persistent(self, identity: Any) -> Any:
        """The storage that a persistent id names."""
        try:
            found = calls.storage(identity, self.position)
        except rebuild.BadArgumentsError as error:
            self.note("bad-persistent-id", Verdict.UNREADABLE, f"{error}: torch would refuse to load it")
            return Made("persistent id", identity)
        self.outcome.loose_storages.append(found)
        return found

    def gather(self, count: int) -> None:
        """Make a tuple of the last `count` values."""
        items = tuple(self.stack[-count:])
        if len(items) < count:
            raise IndexError
        self.stack[-count:] = [items]
        self.objects += 1

    def push(self, value: Any) -> None:
        """Push a value that counts as an object made."""
        self.stack.append(value)
        self.objects += 1

    def extend(self, target: Any, items: list[Any]) -> None:
        """Append to a list; to anything else is an issue."""
        if type(target) is list:
            target.extend(items)
        elif type(target) is Made:
            if target.items is None:
                target.items = items
            elif len(target.items) < KEEP:
                target.items.extend(items)
            self.refuse_target("APPEND", target)
        else:
            self.refuse_target("APPEND", target)

    def set_items(self, target: Any, items: list[Any]) -> None:
        """Set keys and values of a dict; of anything else is an issue."""
        if len(items) % 2:
            raise Broken("pickle-malformed", "an odd number of keys and values")
        if type(target) is not Mapping:
            self.refuse_target("SETITEM", target)
            return
        self.check_keys(items[::2])
        target.extend(items)

    def check_keys(self, keys: list[Any]) -> None:
        """Keep an issue where a key cannot be one."""
        looked = calls.looked_at_to_hash(keys)
        if looked is None:
            self.note(
                "pickle-malformed", Verdict.UNREADABLE, "a dict or set is given a key that cannot be one"
            )
        elif looked > len(keys) * _SHORT_KEY:
            self.looked += looked
            if self.looked > _COPIES * (self.position - self.outcome.start) + _LOOKS:
                raise Broken("memory-bomb", _COPIED, Verdict.DANGEROUS)

    def refuse_target(self, opcode: str, target: Any) -> None:
        """An item set on anything but a plain container runs that object's own methods."""
        verdict = Verdict.DANGEROUS if type(target) in {Made, GlobalUse} else Verdict.UNREADABLE
        what = described(target)
        self.note("bad-target", verdict, f"{opcode} on {what}, which torch's weights_only loading refuses")

    def build_made(self, target: Made, state: Any) -> None:
        """Give a made object its state."""
        if target.maker.path == ("torch", "Tensor"):
            # Very old checkpoints make an empty tensor and set its storage, offset, shape and stride.
            try:
                self.stack[-1] = rebuild.view(
                    *rebuild.arity((*rebuild.arity(state, 4)[:1], None, *state[1:]), 5)
                )
            except rebuild.BadArgumentsError as error:
                self.note("bad-arguments", Verdict.UNREADABLE, f"a tensor is given {error}")
        elif target.maker.path in ALLOWED:
            self.note("bad-target", Verdict.UNREADABLE, f"BUILD on {described(target)}, which takes no state")
        target.state = state


def described(value: Any) -> str:
    """What a message calls a value."""
    if type(value) is Made and type(value.maker) is GlobalUse:
        return f"what {value.maker.module}.{value.maker.name} gives"
    if type(value) is GlobalUse:
        return f"{value.module}.{value.name}"
    return "a Tensor" if type(value) is Tensor else f"a {type(value).__name__.lower()}"


def is_name(data: bytes) -> bool:
    """Whether bytes are a dotted name."""
    try:
        return all(part.isidentifier() for part in data.decode("ascii").split("."))
    except UnicodeDecodeError:
        return False


def _name(data: bytes | str) -> str:
    if len(data) > LONGEST_NAME:
        raise Broken("pickle-malformed", f"a global whose name has {len(data)} characters")
    return decoded(data) if isinstance(data, bytes) else data


def _is_torchscript(module: str, name: str) -> bool:
    return module == "__torch__" or module.startswith("__torch__.") or (module, name) in TORCHSCRIPT
