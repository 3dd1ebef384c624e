"""Symbolic values: what the abstract interpreter has on its stack, never built to the size it claims.

Data (None, bool, int, float, str, bytes), tuples and lists are Python's own, of references that are shared
and never copied. Everything else is one of the classes here. They compare by identity: hashing or comparing
what a hostile file nests could cost more than the file is long. They are filled in opcode by opcode, so they
are not frozen; and they are written out, since attrs takes 0.4 ms to build a class and scans import these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


class Blob:
    """A string or bytes too long to keep.

    Attributes:
        length: Its bytes.
        head: Its first bytes.
        text: Whether it is text (UTF-8) rather than bytes.
        offset: Where its bytes begin in the file.
    """

    __slots__ = ("head", "length", "offset", "text")

    def __init__(
        self,
        length: int,
        head: bytes,
        text: bool,
        offset: int,
    ) -> None:
        self.length = length
        self.head = head
        self.text = text
        self.offset = offset


class Global:
    """A class or function that a stream names.

    Attributes:
        module: The module as Python 3 names it.
        name: The name in it, dots and all.
        offset: File offset of the first opcode that names it.
        allowed: Whether torch's ``weights_only`` loading accepts it.
        build: Gives what a call of it gives, symbolically; None where no call of it is accepted.
        called: Whether the stream calls it.
    """

    __slots__ = ("allowed", "build", "called", "module", "name", "offset")

    def __init__(
        self,
        module: str,
        name: str,
        offset: int,
        allowed: bool,
        build: Callable[[Any], Any] | None = None,
        called: bool = False,
    ) -> None:
        self.module = module
        self.name = name
        self.offset = offset
        self.allowed = allowed
        self.build = build
        self.called = called

    @property
    def path(self) -> tuple[str, str]:
        """Module and name."""
        return (self.module, self.name)


class Mapping:
    """A dict, OrderedDict or Counter.

    Attributes:
        kind: ``dict``, ``OrderedDict`` or ``Counter``.
        parts: Its content in order: lists of key, value, key, value, and a `TensorRun` for names and tensors.
        attributes: What BUILD gave it (``_metadata`` of a state dict), or None.
    """

    __slots__ = ("attributes", "kind", "parts")

    def __init__(
        self,
        kind: str = "dict",
        parts: list[Any] | None = None,
        attributes: Any = None,
    ) -> None:
        self.kind = kind
        self.parts: list[Any] = [] if parts is None else parts
        self.attributes = attributes

    @property
    def flat(self) -> list[Any]:
        """Key, value, key, value; of equal keys the last counts. Runs are expanded in it."""
        if len(self.parts) != 1 or type(self.parts[0]) is not list:
            expanded = [one for part in self.parts for one in (part if type(part) is list else part.pairs)]
            self.parts = [expanded]
        flat: list[Any] = self.parts[0]
        return flat

    @property
    def runs(self) -> list[Any]:
        """The runs that are not expanded."""
        return [part for part in self.parts if type(part) is not list]

    def extend(self, items: list[Any]) -> None:
        """Add keys and values."""
        if self.parts and type(self.parts[-1]) is list:
            self.parts[-1].extend(items)
        else:
            self.parts.append(items)

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Return keys and values in the order in which they were set, replaced ones included."""
        pairs = iter(self.flat)
        return zip(pairs, pairs, strict=True)

    def get(self, key: str) -> Any:
        """Return the last value of a text key, or None."""
        last = None
        for name, value in self.items():
            if type(name) is str and name == key:
                last = value
        return last


class Group:
    """A set or frozenset.

    Attributes:
        items: Its members, repeats included.
        frozen: Whether it is a frozenset.
    """

    __slots__ = ("frozen", "items")

    def __init__(
        self,
        items: list[Any] | None = None,
        frozen: bool = False,
    ) -> None:
        self.items: list[Any] = [] if items is None else items
        self.frozen = frozen


class Instance:
    """What a call gives that has no class of its own here.

    Attributes:
        function: The global that was called.
        arguments: What it was called with.
        state: What BUILD gave it, or None.
        items: What APPEND or SETITEM put into it, or None.
    """

    __slots__ = ("arguments", "function", "items", "state")

    def __init__(
        self,
        function: Any,
        arguments: Any,
        state: Any = None,
        items: list[Any] | None = None,
    ) -> None:
        self.function = function
        self.arguments = arguments
        self.state = state
        self.items = items


class Storage:
    """Elements in a row that a persistent id names; tensors are views of them.

    Attributes:
        dtype: Element type, as in `modelshelf_pytorch.pickle.allowlist.ITEM_BYTES`; ``U8`` for untyped bytes.
        key: Its name in the archive.
        location: The device that it was saved from.
        elements: How many elements the stream claims.
        offset: File offset of the opcode that names it.
        untyped: Whether it is bytes that each tensor reads as its own element type.
        view: Whether its persistent id has the sixth part, a view's or None, as in a legacy checkpoint.
    """

    __slots__ = ("dtype", "elements", "key", "location", "offset", "untyped", "view")

    def __init__(
        self,
        dtype: str,
        key: str,
        location: str,
        elements: int,
        offset: int,
        *,
        untyped: bool = False,
        view: bool = False,
    ) -> None:
        self.dtype = dtype
        self.key = key
        self.location = location
        self.elements = elements
        self.offset = offset
        self.untyped = untyped
        self.view = view


class Tensor:
    """A tensor's header.

    Attributes:
        dtype: Element type.
        shape: Its dimensions.
        stride: Elements to step per dimension; empty for layouts without strides.
        storage: The storage of its elements, or None (meta tensors, sparse ones).
        start: Its first element in the storage.
        layout: ``strided``, ``sparse_coo``, ``sparse_csr``, …, ``nested``, ``meta``, ``wrapper``.
        parts: Tensors that a sparse or nested one is made of.
    """

    __slots__ = ("dtype", "layout", "parts", "shape", "start", "storage", "stride")

    def __init__(
        self,
        dtype: str,
        shape: tuple[int, ...],
        stride: tuple[int, ...] = (),
        storage: Storage | None = None,
        start: int = 0,
        *,
        layout: str = "strided",
        parts: tuple[Tensor, ...] = (),
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self.stride = stride
        self.storage = storage
        self.start = start
        self.layout = layout
        self.parts = parts

    @property
    def elements(self) -> int:
        """The product of its dimensions."""
        count = 1
        for dimension in self.shape:
            count *= dimension
        return count


def type_name(value: Any) -> str:
    """Return what findings call the type of a value."""
    return "Made" if type(value) is Instance else type(value).__name__


def children(value: Any) -> list[Any]:
    """Return the values that `value` refers to directly."""
    kind = type(value)
    if kind is list or kind is tuple:
        return list(value)
    if kind is Mapping:
        return value.flat if value.attributes is None else [*value.flat, value.attributes]
    if kind is Group:
        return list(value.items)
    if kind is Instance:
        return [value.arguments, value.state, *(value.items or ())]
    return []


def expanded_size(root: Any, ceiling: int) -> int:
    """Return how many values `root` is with every shared reference written out, or `ceiling` if more.

    The graph may nest as deep as the file is long and may refer to itself, so the walk is iterative and a
    value that contains itself counts once.
    """
    sizes: dict[int, int] = {}
    entered: set[int] = set()
    todo: list[tuple[Any, bool]] = [(root, False)]
    while todo:
        value, leaving = todo.pop()
        key = id(value)
        if leaving:
            size = sizes[key] = 1 + sum(sizes.get(id(child), 1) for child in children(value))
            if size >= ceiling:
                return ceiling  # as what it is reached from has no fewer
            continue
        if key in entered:
            continue
        entered.add(key)
        kind = type(value)
        inner = value if kind is tuple or kind is list else children(value)
        if inner:
            todo.append((value, True))
            for child in inner:
                if type(child) in _CONTAINERS and id(child) not in entered:
                    todo.append((child, False))  # noqa: PERF401  # a generator costs more for the usual few
    return sizes.get(id(root), 1)


_CONTAINERS = frozenset({list, tuple, Mapping, Group, Instance})
