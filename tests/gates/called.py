"""The functions that a scan calls, in a process of its own: ``python -m tests.gates.called FOLDER STORE``.

Writes one JSON object, from the opening of the registry to its closing: the calls of this project's functions
by module, and every function in the order in which it was first entered. Bodies of modules and classes are no
functions.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections import Counter
from types import FrameType

from modelshelf import ModelRegistry


def main() -> None:
    folder, store = sys.argv[1:]
    calls: Counter[str] = Counter()
    entered: dict[str, None] = {}

    def note(frame: FrameType, event: str, _argument: object) -> None:
        module = frame.f_globals.get("__name__", "")
        code = frame.f_code
        if event == "call" and module.startswith("modelshelf") and code.co_flags & inspect.CO_OPTIMIZED:
            calls[module] += 1
            entered[f"{module}.{code.co_qualname}"] = None

    sys.setprofile(note)
    with ModelRegistry(folder, store) as registry:
        stats = registry.discover_models()
    sys.setprofile(None)
    assert (stats.models_added, stats.errors) == (1, 0), stats
    print(json.dumps({"calls": calls, "entered": list(entered)}))  # noqa: T201 - a command prints


if __name__ == "__main__":
    main()
