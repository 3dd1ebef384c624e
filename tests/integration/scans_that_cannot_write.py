"""Scans in which the n-th write to the store fails, for every n; what is committed is held to what was told.

Run with the shim of failing writes preloaded, as
``python -m tests.integration.scans_that_cannot_write MODELS FOLDER CODE``; prints a line of JSON for each n:
the failure's type and message, the ids that were listed as committed, and those that are there.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from modelshelf import ModelRegistry
from modelshelf.errors import StoreError


def scan(models: str, store: Path) -> dict[str, object]:
    """Scan one folder after another, with whatever the shim does to writes."""
    listed: list[str] = []
    failure = None
    try:
        with ModelRegistry(models, store) as registry:
            for folder in sorted(Path(models).iterdir()):
                registry.discover_models(folder, workers=1)
                listed = registry.list_models()
    except StoreError as error:
        failure = [type(error).__name__, str(error)]
    return {"listed": listed, "failure": failure}


def main(models: str, folder: str, code: str) -> None:
    for number in range(1, 1000):
        store = Path(folder, str(number))
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.environ.update(FAIL_AT=str(number), FAIL_WITH=code)  # the shim reads them at each write
            with os.fdopen(writing, "w") as stream:
                json.dump(scan(models, store), stream)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as stream:
            outcome = json.load(stream)
        os.waitpid(pid, 0)
        with ModelRegistry(models, store) as registry:
            outcome["stored"] = registry.list_models()
            outcome["problems"] = [str(one) for one in registry.store.check()]
            registry.discover_models(workers=1)
            outcome["later"] = len(registry)
        sys.stdout.write(json.dumps(outcome) + "\n")
        if outcome["failure"] is None:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
