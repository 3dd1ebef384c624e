"""Scanners for hostile pickles over real, hostile and generated files: what each finds, misses and slanders.

``python -m tests.benchmarks.safety`` prints the table alone.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from attrs import field, frozen

from tests.benchmarks import containers
from tests.benchmarks.measure import Comparison, Skipped, Workshop
from tests.benchmarks.peers import environment
from tests.benchmarks.pytorch import judged
from tests.support import CORPUS

_PICKLES, _CHECKPOINTS = 10_000, 1_000
_KINDS = {  # the corpus's word for a file, and what a scanner should say of it
    "malicious": "hostile",
    "embedded-pickle-or-code-string": "hostile",
    "safe": "sound",
    "unreadable-not-malicious": "unreadable",
}


@frozen(kw_only=True)
class Score:
    """What one tool made of one set of files.

    Attributes:
        tool: Its name and version.
        files: Where the files are from.
        found: Hostile files that it flags.
        refused: Hostile files that it says it could not look into.
        missed: Hostile or unreadable files that it passes as clean.
        false_alarms: Sound files that it flags or refuses, and unreadable ones that it calls hostile.
        seconds: Median processor seconds a file.
    """

    tool: str
    files: str
    found: int = 0
    refused: int = 0
    missed: int = 0
    false_alarms: int = 0
    seconds: float = field(default=0.0)


Samples = dict[Path, str]
"""Files, each ``hostile``, ``sound`` or ``unreadable``."""


def comparisons(workshop: Workshop) -> Iterator[Comparison | Skipped]:
    """For each tool and set: what was missed, what was slandered, and the time."""
    try:
        scores = [one.score for one in judge_all(workshop)]
    except RuntimeError as error:
        yield Skipped(case="scanners for hostile pickles", reason=str(error))
        return
    ours = {one.files: one for one in scores if one.tool.startswith("modelshelf ")}
    for peer in scores:
        mine = ours[peer.files]
        if peer is mine:
            continue
        for what in ("missed", "refused", "false_alarms"):
            counted, theirs = getattr(mine, what), getattr(peer, what)
            if counted or theirs:
                yield Comparison(
                    case=f"{what.replace('_', ' ')} in {peer.files}",
                    ours=counted,
                    peer=theirs,
                    peer_name=peer.tool,
                    unit="count",
                    note=f"found {mine.found} and {peer.found}",
                )
        yield Comparison(
            case=f"time a file in {peer.files}", ours=mine.seconds, peer=peer.seconds, peer_name=peer.tool
        )


@frozen(kw_only=True)
class Judgement:
    """What one tool said of each file, or folder, of one set.

    Attributes:
        tool: Its name.
        files: Where the files are from.
        samples: Each with what it is.
        words: What the tool said, as `tests.benchmarks.peers.judge` gives it.
    """

    tool: str
    files: str
    samples: Samples
    words: dict[str, list[float]]

    @property
    def score(self) -> Score:
        """What that comes to."""
        return score(self.tool, self.files, list(self.samples.values()), self.words)


def judge_all(workshop: Workshop) -> Iterator[Judgement]:
    """Every tool over every set.

    Raises:
        RuntimeError: The tools cannot be installed here, or one of them failed.
    """
    scanners = environment.python_with(workshop.folder / "scanners", *environment.SCANNERS)
    for files, samples in sets(workshop):
        listing = workshop.room("safety") / "listing"
        listing.write_text("".join(f"{path}\0" for path in samples))
        for tool in ("modelshelf", *environment.SCANNERS):
            python = Path(sys.executable) if tool == "modelshelf" else scanners
            words = judged(tool, python, listing)
            yield Judgement(tool=tool, files=files, samples=samples, words=words)


def sets(workshop: Workshop) -> Iterator[tuple[str, Samples]]:
    """The corpus where it is present, the hostile pickles and the honest checkpoints that are generated."""
    room = workshop.room("safety")
    corpus = _corpus()
    if corpus:
        yield f"the corpus ({len(corpus)} files)", corpus
    count = workshop.scaled(_PICKLES)
    yield f"{count} hostile pickles", _hostile(room / "pickles", count)
    count = workshop.scaled(_CHECKPOINTS)
    yield f"{count} variants of torch.save", _honest(room / "checkpoints", count)
    made = containers.write(room / "containers")
    yield f"{len(made)} models with code, and without", made


def _corpus() -> Samples:
    listing = CORPUS / "manifest.tsv"
    if not listing.is_file():
        return {}
    with listing.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    kinds = {row["file"]: _KINDS.get(row["expected"].partition("(")[0].strip()) for row in rows}
    return {
        CORPUS / name: kind for name, kind in kinds.items() if kind and name.startswith(("pickle/", "torch/"))
    }


def _hostile(folder: Path, count: int) -> Samples:
    from tests.fuzz import pickles

    folder.mkdir()
    made = {}
    for number, data in enumerate(pickles.generate(count)):
        path = folder / f"{number:05}.pkl"
        path.write_bytes(data)
        made[path] = "hostile"
    return made


def _honest(folder: Path, count: int) -> Samples:
    from tests.fuzz import checkpoints

    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict.fromkeys(checkpoints.generate(folder, count), "sound")


def score(tool: str, files: str, expected: list[str], report: dict[str, list[float]]) -> Score:
    """Count what a tool said against what it should have said."""
    both = list(zip(expected, report["verdicts"], strict=True))
    return Score(
        tool=f"{tool} {report['version']}",
        files=files,
        found=both.count(("hostile", "flagged")),
        refused=both.count(("hostile", "refused")),
        missed=both.count(("hostile", "clean")) + both.count(("unreadable", "clean")),
        false_alarms=sum(
            both.count(one) for one in (("sound", "flagged"), ("sound", "refused"), ("unreadable", "flagged"))
        ),
        seconds=statistics.median(report["seconds"]),
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.safety", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="below 1 for fewer generated files")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="safety-") as folder:
        line = "{:34} {:20} {:>7} {:>8} {:>7} {:>13} {:>11}"
        print(line.format("files", "tool", "found", "refused", "missed", "false alarms", "ms a file"))
        judgements = []
        for judgement in judge_all(Workshop(folder=Path(folder), scale=given.scale)):
            judgements.append(judgement)
            one = judgement.score
            counts = (one.found, one.refused, one.missed, one.false_alarms)
            print(line.format(one.files, one.tool, *counts, f"{one.seconds * 1e3:.3f}"), flush=True)
        print_each([one for one in judgements if one.files == judgements[-1].files])
    return 0


def print_each(judgements: list[Judgement]) -> None:
    """Print what each tool said of each sample of one set."""
    line = "{:38} {:9}" + " {:>11}" * len(judgements)
    print("\n" + line.format("model", "is", *(one.tool for one in judgements)))
    verdicts = zip(*(one.words["verdicts"] for one in judgements), strict=True)
    for (path, kind), said in zip(judgements[0].samples.items(), verdicts, strict=True):
        print(line.format(path.name, kind, *said))


if __name__ == "__main__":
    sys.exit(main())
