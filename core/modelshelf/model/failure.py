"""What a plugin failed at."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class PluginFailure:
    """One failure of one plugin.

    Attributes:
        plugin: Display name, ``distribution[entry]``.
        version: Version of the plugin's distribution, or None.
        hook: The hook that failed, or ``load``.
        reason: What happened, in one line.
        path: The artifact that the hook was called for, or None.
    """

    plugin: str
    version: str | None
    hook: str
    reason: str
    path: str | None = None

    def __str__(self) -> str:
        version = f" {self.version}" if self.version else ""
        return f"{self.plugin}{version}: {self.hook}: {self.reason}"
