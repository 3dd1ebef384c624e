"""What of this machine decides where tools keep their models: environment, home, platform, user.

`platformdirs` gives such folders too, for this process's environment and user alone, and every scan would
load it; here both are given, so that the rules for every platform are tested on one.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import Self

from attrs import frozen

_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)|%(\w+)%")


@frozen(kw_only=True, eq=False, repr=False)
class Machine:
    """One user's view of a machine.

    Attributes:
        environment: Environment variables.
        home: The user's home folder.
        platform: As `sys.platform` names it: ``linux``, ``darwin``, ``win32``.
        is_root: Whether the user is the system's administrator.
    """

    environment: Mapping[str, str]
    home: str
    platform: str = "linux"
    is_root: bool = False

    @classmethod
    def here(cls) -> Self:
        """Describe the machine and user that this process runs as."""
        return cls(
            environment=os.environ,
            home=os.path.expanduser("~"),
            platform=sys.platform,
            is_root=hasattr(os, "geteuid") and os.geteuid() == 0,
        )

    def variable(self, name: str) -> str | None:
        """Return an environment variable, or None where it is unset or empty."""
        return self.environment.get(name, "").strip() or None

    def expand(self, text: str) -> str:
        """Put ``~`` and variables (``$NAME``, ``${NAME}``, ``%NAME%``) into a path, as its tool does.

        An unknown variable, and the home of another user, stay as they are written.
        """

        def value(match: re.Match[str]) -> str:
            name = match[1] or match[2] or match[3]
            return self.environment.get(name, match[0])

        expanded = _VARIABLE.sub(value, text)
        if expanded == "~" or expanded.startswith(("~/", "~\\")):
            expanded = self.home + expanded[1:]
        return expanded

    def below_home(self, *parts: str) -> str:
        """Return a path below the home folder."""
        return os.path.join(self.home, *parts)

    @property
    def cache_home(self) -> str:
        """``$XDG_CACHE_HOME``, or ``~/.cache``: for tools that follow it on every platform."""
        return self.expand(self.variable("XDG_CACHE_HOME") or self.below_home(".cache"))

    @property
    def data_home(self) -> str:
        """``$XDG_DATA_HOME``, or ``~/.local/share``."""
        return self.expand(self.variable("XDG_DATA_HOME") or self.below_home(".local", "share"))

    @property
    def config_home(self) -> str:
        """Where the platform keeps an application's settings."""
        if self.platform == "darwin":
            return self.below_home("Library", "Application Support")
        if self.platform == "win32":
            return self.variable("APPDATA") or self.below_home("AppData", "Roaming")
        return self.expand(self.variable("XDG_CONFIG_HOME") or self.below_home(".config"))

    @property
    def local_app_data(self) -> str:
        """``%LOCALAPPDATA%`` of Windows."""
        return self.variable("LOCALAPPDATA") or self.below_home("AppData", "Local")
