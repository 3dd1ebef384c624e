"""What is said of models, held against what is right: ``python -m tests.benchmarks.meaning``.

Scans the layouts of `tests.kind_layouts` and, where they are there, the cases that lie outside of the
checkout; prints for each field how many values are right, unknown and wrong, and names those that are not
right. Ends with 1 where a value is wrong.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from modelshelf import ModelMetadata, ModelRegistry
from tests.kind_layouts import LAYOUTS, write

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
SELECTED = {
    "Chat-7B": "text-generation",
    "a-lora": "adapter",
    "b-vector": "control-vector",
    "c-importance": "importance-matrix",
    "d-projector": "projector",
    "e-peft": "adapter",
    "f-embed": "embedding",
    "g-textual-inversion": "textual-inversion",
}
"""The kinds of the models of the case `select_kinds`."""


@frozen
class Verdict:
    """One value.

    Attributes:
        field: Whose it is.
        place: The model.
        right: The right value.
        shown: What is shown.
        outcome: ``right``, ``unknown`` or ``wrong``.
    """

    field: str
    place: str
    right: object
    shown: object
    outcome: str


def main() -> int:
    verdicts = [*_of_layouts(), *_of_cases()]
    fields = dict.fromkeys(one.field for one in verdicts)
    print(f"{'field':20} {'right':>6} {'unknown':>8} {'wrong':>6}")
    for name in fields:
        counts = Counter(one.outcome for one in verdicts if one.field == name)
        print(f"{name:20} {counts['right']:>6} {counts['unknown']:>8} {counts['wrong']:>6}")
    for one in verdicts:
        if one.outcome != "right":
            print(f"{one.outcome}: {one.place}: {one.field} is {one.right!r}, shown is {one.shown!r}")
    return int(any(one.outcome == "wrong" for one in verdicts))


def _of_layouts() -> Iterator[Verdict]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for one in LAYOUTS:
            write(one, home / "models")
        found = _scanned(home / "models", home / "store")
    for one in LAYOUTS:
        metadata = found[one.name]
        for name, right in {"kind": one.kind, **one.right}.items():
            yield _verdict(name, one.name, right, getattr(metadata, name))
        for name, right in one.details.items():
            yield _verdict(name, one.name, right, metadata.details.get(name))


def _of_cases() -> Iterator[Verdict]:
    if not CASES.is_dir():
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        kinds = _scanned(CASES / "select_kinds", home / "kinds")
        for name, right in SELECTED.items():
            yield _verdict("kind", name, right, kinds[name].kind)
        with (CASES / "right.tsv").open(encoding="utf-8") as lines:
            for number, row in enumerate(csv.DictReader(lines, delimiter="\t")):
                yield from _of_case(row, home / str(number))


def _of_case(row: dict[str, str], store: Path) -> Iterator[Verdict]:
    """The numbers and the quantization of one case; its models together, as it is one of them."""
    found = list(_scanned(CASES / row["case"], store).values())
    wanted = int(row["parameters"]) if row["parameters"] else None
    shown = next((one.parameters for one in found if one.parameters is not None), None)
    if wanted is not None:
        outcome = "right" if shown == wanted else "wrong"
        if shown is None:
            outcome = "unknown" if row["unknown"] == "no" else "right"
        yield Verdict("parameters", row["case"], wanted, shown, outcome)
    elif row["unknown"] == "wanted":
        yield Verdict("parameters", row["case"], None, shown, "right" if shown is None else "wrong")
    word = (row["quantization"] or "").casefold()
    if word:
        names = [one.quantization for one in found if one.quantization]
        is_right = any(word in name.casefold() for name in names)
        outcome = "right" if is_right else "wrong" if names else "unknown"
        yield Verdict("quantization", row["case"], row["quantization"], names, outcome)


def _scanned(folder: Path, store: Path) -> dict[str, ModelMetadata]:
    with ModelRegistry(folder, store) as registry:
        registry.discover_models()
        return {one.id: one.metadata for one in registry}


def _verdict(field: str, place: str, right: object, shown: object) -> Verdict:
    outcome = "right" if shown == right else "unknown" if shown is None else "wrong"
    return Verdict(field, place, right, shown, outcome)


if __name__ == "__main__":
    sys.exit(main())
