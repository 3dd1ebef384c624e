"""The real program as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen


@frozen
class Program:
    """What one run of ``modelshelf`` gave."""

    code: int
    out: str
    err: str

    @classmethod
    def run(cls, arguments: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> Program:
        line = [sys.executable, "-m", "modelshelf", *map(str, arguments)]
        done = subprocess.run(
            line,
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return cls(done.returncode, done.stdout, done.stderr)

    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)
