"""A scan in a process of its own that counts: ``python -m tests.gates.counted MODELS STORE``.

Writes one JSON object: files opened below MODELS (folders that are listed do not count), the scan's own
count of bytes, commits to the store, and calls of Python functions. Before and after the scan it asks for
the paths `BEGIN` and `END`, which are not there, so that a trace of system calls tells the scan from all
else.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile

from modelshelf import ModelRegistry
from modelshelf.scan import batches

BEGIN, END = "/the-scan-begins", "/the-scan-ends"


def main() -> None:
    models, store = sys.argv[1:]
    opened: list[str] = []
    calls = 0

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = os.fsdecode(arguments[0])
            if path.startswith(f"{models}/") and not os.path.isdir(path):
                opened.append(path)

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    batches._COMMIT_SECONDS = float("inf")  # a busy machine does not make more commits, which are calls too
    with ModelRegistry(models, store) as registry:
        with tempfile.TemporaryDirectory() as empty:  # loads what every scan needs
            registry.discover_models(empty, workers=1)
        before = registry.store.revision()
        sys.addaudithook(note)
        os.access(BEGIN, os.F_OK)
        sys.setprofile(count)
        stats = registry.discover_models(workers=1)
        sys.setprofile(None)
        os.access(END, os.F_OK)
        counts = {
            "found": stats.models_found,
            "unchanged": stats.models_unchanged,
            "opened": len(opened),
            "bytes_read": stats.bytes_read,
            "commits": registry.store.revision() - before,
            "calls": calls,
        }
    print(json.dumps(counts))  # noqa: T201 - a command prints


if __name__ == "__main__":
    main()
