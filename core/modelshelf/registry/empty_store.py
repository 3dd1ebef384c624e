"""A store with nothing in it: what a command looks at where none was made yet, so that looking makes none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeVar

from modelshelf.errors import StoreAbsentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from modelshelf.model.health import Finding
    from modelshelf.store import Snapshot, Transaction

T = TypeVar("T")


class EmptySnapshot:
    """The one state of an `EmptyStore`. It inherits no defaults, whose module a listing does not load."""

    revision = 0

    def get(self, key: bytes) -> None:
        """Nothing, whatever the key."""

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:  # noqa: ARG002 - the contract's
        """Nothing."""
        return iter(())

    def around(self, start: bytes, stop: bytes) -> list[tuple[bytes, bytes]]:  # noqa: ARG002 - the contract's
        """Nothing."""
        return []


class EmptyStore:
    """Stands for the store that is not at a path or URL yet; see `modelshelf.store.Store`.

    Args:
        location: The path or URL.
    """

    def __init__(self, location: str) -> None:
        self.location = location

    def revision(self) -> int:
        """That of the one state."""
        return EmptySnapshot.revision

    def watch(self, revision: int) -> None:
        """Nothing: no commit follows."""

    def view(self, work: Callable[[Snapshot], T]) -> T:
        """Run `work` on a state of no records."""
        return work(EmptySnapshot())

    def update(self, work: Callable[[Transaction], T]) -> NoReturn:  # noqa: ARG002 - the contract's
        """Refuse.

        Raises:
            StoreAbsentError: Always.
        """
        raise StoreAbsentError(f"{self.location}: there is no store yet; `modelshelf scan` makes one")

    def check(self) -> Iterator[Finding]:
        """Nothing is wrong with nothing."""
        return iter(())

    def close(self) -> None:
        """Do nothing: nothing is open."""
