"""What became of each plugin: loaded, blocked, failed, and what failed since."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.model.failure import PluginFailure  # noqa: TC004 - an annotation; loaded where one failed


class PluginState(Enum):
    """What became of a plugin when it was loaded."""

    LOADED = "loaded"
    DISABLED = "disabled"
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value


@define(kw_only=True)
class PluginReport:
    """One plugin as `modelshelf plugins` shows it.

    Attributes:
        name: The entry point's name.
        plugin: Display name, ``distribution[entry]``.
        distribution: The distribution's name, or None for a plugin that was passed in.
        version: The distribution's version, or None.
        state: What became of it.
        hooks: Names of the hooks that it implements, sorted.
        load_seconds: Time that its import took.
        failures: What failed, in order; repeats of one reason are counted once.
    """

    name: str
    plugin: str
    distribution: str | None = None
    version: str | None = None
    state: PluginState = PluginState.LOADED
    hooks: tuple[str, ...] = ()
    load_seconds: float = 0.0
    failures: list[PluginFailure] = field(factory=list)

    def record(self, hook: str, reason: str, path: str | None = None) -> PluginFailure:
        """Remember a failure and give it back."""
        from modelshelf.model.failure import PluginFailure

        failure = PluginFailure(plugin=self.plugin, version=self.version, hook=hook, reason=reason, path=path)
        if not any((one.hook, one.reason) == (hook, reason) for one in self.failures):
            self.failures.append(failure)
        return failure


def describe(error: BaseException) -> str:
    """An exception in one line: its type and message."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - a plugin's exception may fail at telling what it is
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def failed(reports: Iterable[PluginReport]) -> list[PluginReport]:
    """The plugins that failed, on loading or since."""
    return [one for one in reports if one.failures]
