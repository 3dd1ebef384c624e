"""Where records are kept: an ordered map of bytes with transactions. Stores are plugins, named by URL scheme.

The registry puts checksums, schema versions and meaning into the bytes; a store only has to keep its
promises about them:

- `update` is atomic, isolated from every other writer in any process, and durable when it returns.
- `view` sees one committed state from its first read to its last, whatever others commit meanwhile.
- `revision` changes with every commit of any process, and costs next to nothing to ask. It may tell of a
  commit a moment before views see it, never after: what is cached of a view goes by the view's own.
- Keys are 1 to 511 bytes and come back in bytewise order. Values are up to 2**31 - 1 bytes.
- A call in a forked child works on that child's own handle and leaves the parent's alone; a fork from
  within `view` or `update` leaves the child without the store.
- `update` within a `view` or `update` of the same thread is refused with a `StoreError`.
- Every failure is a `StoreError` that says what, where and what to do; damage is a `DamagedStoreError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeVar

from attrs import frozen

if TYPE_CHECKING:
    from modelshelf.model.health import Finding

T = TypeVar("T")

LONGEST_KEY = 511


class Snapshot(Protocol):
    """One committed state, for reading. A store's own class inherits this one, and with it the defaults."""

    @property
    def revision(self) -> int:
        """What `Store.revision` gives as long as this state is the newest."""
        ...

    def get(self, key: bytes) -> bytes | None:
        """The value at `key`, or None."""
        ...

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every key that begins with `prefix`, with its value, in bytewise order of the keys."""
        ...

    def around(self, start: bytes, stop: bytes) -> list[tuple[bytes, bytes]]:  # noqa: ARG002 - a default
        """The last entry before `start` and the first from `stop` on, as far as they share a page with these.

        For engines that do not check the keys that they read: a key with a flipped bit is missed where it
        belongs, and lies next to that place, so whoever misses a record looks at its neighbours' checksums.
        The default, for engines that do check them: none.
        """
        return []


class Transaction(Snapshot, Protocol):
    """A state that is being changed; sees its own changes."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value at `key`."""
        ...

    def delete(self, key: bytes) -> bool:
        """Remove `key`; whether it was there."""
        ...


class Store(Protocol):
    """An open store. A store's own class inherits this one, and with it the defaults."""

    @property
    def location(self) -> str:
        """Where the store lies, for messages: a folder or a URL without its password."""
        ...

    def revision(self) -> int:
        """A number that is another one after every commit, whichever process made it."""
        ...

    def view(self, work: Callable[[Snapshot], T]) -> T:
        """Run `work` on the state as it is now and give back its result."""
        ...

    def update(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a write transaction, commit durably, and give back its result.

        An exception from `work` undoes everything. `work` may be run again from the start (a store that
        has to grow does so): it must do nothing beyond the transaction.
        """
        ...

    def watch(self, revision: int) -> tuple[Sequence[int], int] | None:  # noqa: ARG002 - a default
        """Memory, and the number that its first item is as long as no commit follows `revision`.

        For engines where a commit of any process shows in memory: looking at it costs less than asking
        `revision`. Where the store lets go of the memory, looking raises a `ValueError`. The default, for all
        others: None.
        """
        return None

    def check(self) -> Iterator[Finding]:
        """Look over the store's own structure without changing it; each damage is a finding."""
        ...

    def close(self) -> None:
        """Let go of the store; twice is fine."""
        ...


class RemnantState(Enum):
    """How sure it is that a record of a damaged store is current."""

    CURRENT = "current"
    """It is part of the newest committed state."""
    POSSIBLE = "possible"
    """It may be part of it, or be older, or have been deleted since."""
    FORMER = "former"
    """It is no part of it: it is older, or was deleted."""


@frozen(kw_only=True)
class Remnant:
    """A record that was found in a damaged store. Neither its key nor its value can be trusted unchecked.

    Attributes:
        key: Its key; for a stretch of records that cannot be read, where that begins.
        value: Its value, or None where it cannot be read.
        state: Whether it is current, as far as that is known.
        until: For a stretch the first key behind it, empty where it goes on to the end; None for one record.
        total: For a stretch the number of records that the newest state has in all, by the store's own count;
            None where that is not known.
    """

    key: bytes
    value: bytes | None
    state: RemnantState
    until: bytes | None = None
    total: int | None = None


@frozen(kw_only=True)
class StoreType:
    """A kind of store, as a plugin's `modelshelf_stores` hook gives it.

    Attributes:
        scheme: The URL scheme that asks for it: ``lmdb``. A path without a scheme asks for ``lmdb``.
        open: Opens the store at a path or URL, or raises a `StoreError`. When ``readonly`` it creates nothing
            and changes nothing, modes included: where there is no store it raises a `StoreAbsentError`. Where
            the system forbids to write, it opens the store all the same, for reading; `Store.update` raises.
        summary: One line for `modelshelf plugins`.
        salvage: Gives what can be read of a damaged store at a path or URL, without the engine that would
            stumble over the damage; a key may come several times. Or None.
        replace: Has a new store filled and puts it in the place of the one at a path or URL, at once and
            durably, while no other process has that open; gives the place where the old one is kept. Ended
            at any point, there is the old store or the new one. Or None.
    """

    scheme: str
    open: Callable[[str, bool], Store]
    summary: str = ""
    salvage: Callable[[str], Iterator[Remnant]] | None = None
    replace: Callable[[str, Callable[[Store], None]], str] | None = None
