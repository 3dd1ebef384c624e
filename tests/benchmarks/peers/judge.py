"""What one scanner says of each file, and how long it takes: ``python judge.py TOOL LIST ROUNDS``.

LIST is a file of paths with a NUL after each. Standard output gets one JSON object: the tool's version, a
verdict for each file (``flagged``; ``refused``: the tool itself reports that it could not look; ``clean``),
and for each file the least processor seconds of the rounds. Every tool is called by the function that its own
documentation offers to programs, with its own defaults, in a process that has imported it already.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import logging
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

Judge = Callable[[str], str]


def picklescan() -> Judge:
    """Exit code 1 of its command line is an issue, 2 a scan that failed; a suspicious global is neither."""
    from picklescan.scanner import scan_file_path

    def judge(path: str) -> str:
        try:
            result = scan_file_path(path)
        except Exception:  # noqa: BLE001 - its command line reports it and ends with 2
            return "refused"
        return "flagged" if result.issues_count else "refused" if result.scan_err else "clean"

    return judge


def modelscan() -> Judge:
    """Its command line ends with 1 for issues, 2 for errors, 3 where nothing was scanned."""
    from modelscan.modelscan import ModelScan
    from modelscan.settings import DEFAULT_SETTINGS

    scanner = ModelScan(settings=DEFAULT_SETTINGS)

    def judge(path: str) -> str:
        result = scanner.scan(path)
        if result["summary"]["total_issues"]:
            return "flagged"
        return "refused" if result["errors"] or not result["summary"]["scanned"]["total_scanned"] else "clean"

    return judge


def fickling() -> Judge:
    """Anything above its severity ``LIKELY_SAFE`` is unsafe to its command line, an error is another."""
    from fickling import scan_file, scan_zip_archive

    def judge(path: str) -> str:
        try:
            archive = zipfile.is_zipfile(path)
            result = (
                scan_zip_archive(path, graceful=True).values()
                if archive
                else (scan_file(path, graceful=True),)
            )
        except Exception:  # noqa: BLE001 - its command line reports it and ends with 2
            return "refused"
        if any(one.results and not one.is_safe for one in result):
            return "flagged"
        return "refused" if any(one.errors for one in result) or not result else "clean"

    return judge


def modelaudit() -> Judge:
    """An issue of severity warning or critical is one to its command line, which ends with 1."""
    from modelaudit.core import scan_model_directory_or_file

    def judge(path: str) -> str:
        scanned = scan_model_directory_or_file(path)
        severities = {str(getattr(one.severity, "value", one.severity)).lower() for one in scanned.issues}
        if severities & {"warning", "critical"}:
            return "flagged"
        return "clean" if scanned.files_scanned and not scanned.has_errors else "refused"

    return judge


def modelshelf() -> Judge:
    """A degraded file counts as flagged, a broken one that names no danger as refused."""
    from modelshelf.errors import ReadError
    from modelshelf.model import Depth
    from modelshelf.reader import Budget, LocalFile
    from modelshelf_pytorch.containers.issues import examine
    from modelshelf_pytorch.verdict import Verdict

    def judge(path: str) -> str:
        if Path(path).is_dir():
            return scanned(path)
        file = LocalFile(path, Path(path).name, Budget())
        try:
            verdicts = {one.verdict for one in examine(file, Depth.HEADER)}
        except ReadError:
            return "refused"
        finally:
            file.close()
        if verdicts & {Verdict.DANGEROUS, Verdict.SUSPICIOUS}:
            return "flagged"
        return "refused" if Verdict.UNREADABLE in verdicts else "clean"

    return judge


def scanned(folder: str) -> str:
    """What a scan of a folder says of its models, the worst of them."""
    from modelshelf import ModelRegistry, Query

    with (
        tempfile.TemporaryDirectory(prefix="store-") as store,
        ModelRegistry(folder, store) as registry,
    ):
        registry.discover_models(workers=1)
        found = {str(one.health_status) for one in registry.find(Query())}
    if found & {"unhealthy", "degraded"}:
        return "flagged"
    return "clean" if found == {"healthy"} else "refused"


def of_folders(judge: Judge) -> Judge:
    """A scanner of files over a folder: what it flags in any file, else whether it could look into any."""

    def judge_all(path: str) -> str:
        if not Path(path).is_dir():
            return judge(path)
        found = {judge(str(one)) for one in sorted(Path(path).rglob("*")) if one.is_file()}
        return next((one for one in ("flagged", "clean") if one in found), "refused")

    return judge_all


TOOLS = {one.__name__: one for one in (picklescan, modelscan, fickling, modelaudit, modelshelf)}


def main(tool: str, listing: str, rounds: int) -> None:
    """Judge every file of the list."""
    logging.disable(logging.CRITICAL)
    judge = TOOLS[tool]()
    if tool != "modelshelf":
        judge = of_folders(judge)
    paths = Path(listing).read_text(encoding="utf-8").split("\0")[:-1]
    verdicts, seconds = [], []
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for path in paths:
            taken = []
            for _ in range(rounds):
                started = time.process_time()
                verdict = judge(path)
                taken.append(time.process_time() - started)
            verdicts.append(verdict)
            seconds.append(min(taken))
    report = {"version": importlib.metadata.version(tool), "verdicts": verdicts, "seconds": seconds}
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
