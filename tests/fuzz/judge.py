"""Reading a case exactly as a scan does at the depth ``header``: detect, arbitrate, extract, probe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import frozen

from modelshelf.model import Artifact, ArtifactFile, Role
from modelshelf.model.health import status_of
from modelshelf.plugin.call import PluginSet
from modelshelf.reader import Budget, FileReader
from modelshelf.scan.examine import Examiner
from modelshelf.scan.file_names import FormatTable
from modelshelf.source import Listing, Place, Walk
from tests.fuzz.formats import Case

_UNUSED = ("lmdb", "serializers", "sources")
_SUSPICIOUS = 0.5  # seconds by the clock on the wall from which on a reading is measured anew


class InMemory(FileReader):
    """A file's bytes that were never written."""

    def __init__(self, name: str, content: bytes, budget: Budget) -> None:
        super().__init__(name, budget)
        self._content = content
        self.size = len(content)
        budget.opened += 1

    def _fetch(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]

    def close(self) -> None:
        """Let nothing go."""


class _Memory:
    """The source that one case at a time comes from."""

    name = "memory"

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def places(self) -> Sequence[Place]:
        return ()

    def claims(self, root: str) -> bool:  # noqa: ARG002 - the protocol's signature
        return False

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:  # noqa: ARG002 - the protocol's signature
        return iter(())

    def open(self, artifact: Artifact, one: ArtifactFile, budget: Budget) -> FileReader:  # noqa: ARG002
        return InMemory(one.name, self.contents[one.name], budget)


@frozen
class Verdict:
    """What reading a case gave.

    Attributes:
        status: ``healthy``, ``degraded``, ``unhealthy``, or ``unclaimed`` where no plugin wants it.
        format: The winning format, or None.
        codes: The findings' codes, worst first.
        exceptions: What was raised and should not have been.
        seconds: Time of the reading; of a long one processor time.
    """

    status: str
    format: str | None
    codes: tuple[str, ...]
    exceptions: tuple[str, ...]
    seconds: float


class Judge:
    """Reads cases.

    Args:
        companions: Whether the plugin that reads what lies beside the weights is asked too.
        plugins: Plugins besides the installed ones.
    """

    def __init__(self, *, companions: bool = False, plugins: Iterable[object] = ()) -> None:
        blocked = _UNUSED if companions else (*_UNUSED, "companions")
        self._plugins = PluginSet.discover(plugins, blocked=blocked)
        self._memory = _Memory()
        self._examiner = Examiner(
            self._plugins, FormatTable.of(self._plugins.collect("modelshelf_formats")), [self._memory]
        )

    def verdict(self, case: Case) -> Verdict:
        """Read a case; whatever it raises is in the verdict."""
        files = ((case.name, case.content, Role.WEIGHTS), *case.beside)
        self._memory.contents = {name: content for name, content, _ in files}
        artifact = Artifact(
            folder="/memory/tiny-model",
            primary=case.name,
            files=tuple(
                ArtifactFile(name=name, size=len(content), mtime_ns=1, role=role)
                for name, content, role in files
            ),
            source="memory",
        )
        verdict = self._read(artifact, time.perf_counter)
        # The clock of the wall is cheap to ask, but runs on while other programs have their turn.
        return self._read(artifact, time.process_time) if verdict.seconds > _SUSPICIOUS else verdict

    def _read(self, artifact: Artifact, clock: Callable[[], float]) -> Verdict:
        failures = len(self._plugins.failures)
        started = clock()
        try:
            answer = self._examiner.examine(artifact)
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            return Verdict("unhealthy", None, (), (f"{type(error).__name__}: {error}",), clock() - started)
        seconds = clock() - started
        exceptions = tuple(
            f"{one.plugin}: {one.hook}: {one.reason}" for one in self._plugins.failures[failures:]
        )
        del self._plugins.failures[failures:]
        status = "unclaimed" if answer.format is None else status_of(answer.findings).value
        return Verdict(status, answer.format, tuple(one.code for one in answer.findings), exceptions, seconds)
