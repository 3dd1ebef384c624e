"""An environment beside ours, with the packages that a comparison needs and we do not depend on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCANNERS = ("picklescan", "modelscan", "fickling", "modelaudit")
_UNDECLARED = ("typing_extensions",)  # fickling 0.1.12 imports it and does not ask for it


def python_with(folder: Path, *packages: str) -> Path:
    """The interpreter of an environment that has these packages; made at the first call.

    Raises:
        RuntimeError: They cannot be installed here; the message ends in what pip said.
    """
    python = folder / "bin" / "python"
    installed = folder / "installed"
    if not installed.is_file():
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", *packages, *_UNDECLARED)
        installed.write_text("\n".join(packages))
    return python


def _run(*line: str) -> None:
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{line[2]} ended with {done.returncode}: {done.stderr[-500:]}")
