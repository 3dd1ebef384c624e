"""What a plugin failed at."""

from __future__ import annotations

from attrs import field, frozen


@frozen(kw_only=True)
class PluginFailure:
    """One failure of one plugin.

    Attributes:
        plugin: Display name, ``distribution[entry]``.
        version: Version of the plugin's distribution, or None.
        hook: The hook that failed, or ``load``.
        reason: What happened, in one line.
        path: The artifact that the hook was called for, or None.
        file: The plugin's source file that it failed in, or None where that is not known.
        line: The line in it, or None.
        always: Whether the hook failed each time that it was called.
        traceback: Where an exception came from, as Python prints it. Only the first failure of a reason in a
            process has it; it is not stored.
    """

    plugin: str
    version: str | None
    hook: str
    reason: str
    path: str | None = None
    file: str | None = None
    line: int | None = None
    always: bool = False
    traceback: str = field(default="", repr=False)

    def __str__(self) -> str:
        version = f" {self.version}" if self.version else ""
        place = f" ({self.file}:{self.line})" if self.file else ""
        return f"{self.plugin}{version}: {self.hook}: {self.reason}{place}"
