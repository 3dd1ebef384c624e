"""Run a target under atheris, which looks for inputs that reach code no input reached before.

::

    python -m pip install atheris==3.0.0          (Python 3.11; it is no dependency of anything here)
    python -m tests.fuzz.atheris gguf -- -max_total_time=60

What stands behind ``--`` goes to libFuzzer. The corpus begins with the seeds that the real libraries write
and grows in ``build/fuzz/corpus/TARGET``; an input that fails is written to ``build/fuzz``.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from importlib import import_module
from pathlib import Path

TARGETS = ("gguf", "safetensors", "pytorch", "pickle_audit")
_INSTRUMENTED = [
    "modelshelf",
    "modelshelf_companions",
    "modelshelf_gguf",
    "modelshelf_pytorch",
    "modelshelf_safetensors",
]
_DEFAULTS = ("-timeout=10", "-rss_limit_mb=1024", "-max_len=8192")


def main() -> int:
    """The command; it ends with libFuzzer's own exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.atheris", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="where everything is written")
    own, options = _split(sys.argv[1:])
    given = parser.parse_args(own)
    try:
        import atheris
    except ImportError:
        parser.error("atheris is not installed: python -m pip install atheris==3.0.0 (it needs Python 3.11)")
    logging.getLogger("modelshelf").setLevel(logging.CRITICAL)
    with atheris.instrument_imports(include=_INSTRUMENTED):
        target = import_module(f"tests.fuzz.targets.{given.target}")
        corpus = _corpus(given.folder / "corpus" / given.target, target.SEEDS)
        for path in corpus.iterdir():  # imports that happen at the first reading are instrumented too
            target.one(path.read_bytes())
    prefix = f"-artifact_prefix={given.folder}/{given.target}-"
    atheris.Setup([sys.argv[0], *_DEFAULTS, prefix, *options, str(corpus)], target.one)
    atheris.Fuzz()
    return 0


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What stands before ``--``, and what stands behind it."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


def _corpus(folder: Path, seeds: str) -> Path:
    """The corpus as it has grown; a new one is made of seeds, by a process that imports their libraries."""
    if not folder.is_dir():
        subprocess.run([sys.executable, "-m", "tests.fuzz.seeds", seeds, str(folder)], check=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
