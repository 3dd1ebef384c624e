"""The fuzzing itself: it sees what it looks for, and goes on where it stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelshelf import Detection
from modelshelf.model import Candidate
from tests.fuzz import campaign, reference
from tests.fuzz.campaign import Plan, Runner
from tests.fuzz.counts import Counts
from tests.fuzz.formats import NAMES, Case, Cases
from tests.fuzz.seeds import Seed, made

CASES = int(os.environ.get("MODELSHELF_FUZZ_CASES", "1000"))


@pytest.mark.parametrize("format", sorted(set(NAMES) - {"gguf", "safetensors", "pytorch"}))
def test_no_mutated_file_gets_an_exception_out_of_a_plugin(format):
    counted = Runner(Plan(format=format, seeds=made(format))).run(0, CASES)
    assert [one for one in counted.failures if one.kind == "exception"] == []
    assert counted.counts["healthy"] > CASES // 100
    assert counted.counts["total"] - counted.counts["healthy"] > CASES // 100


class Careless:
    """A format plugin that trusts a length."""

    def modelshelf_detect_format(self, candidate: Candidate) -> Detection | None:
        length = candidate.head[candidate.head[0]]
        return Detection(format="careless", confidence=1.0, evidence=str(length))


def test_an_exception_is_counted_with_its_number_and_the_file_kept(tmp_path):
    plan = Plan(format="gguf", seeds=made("gguf"), folder=tmp_path)
    counted = Runner(plan, [Careless()]).run(0, 200)
    first = next(one for one in counted.failures if one.kind == "exception")
    assert "IndexError" in first.message
    case = Cases("gguf", plan.seeds)[first.number]
    assert (tmp_path / f"gguf-{first.number}" / case.name).read_bytes() == case.content


def test_what_the_real_loader_refuses_is_counted():
    assert reference.fault_of(Case("model.safetensors", b"\xff" * 20), "safetensors") is not None
    assert reference.fault_of(Case("model.gguf", b"GGUF"), "gguf") is not None
    assert reference.fault_of(Case("model.pt", b"PK\x03\x04"), "pytorch") is not None
    assert reference.fault_of(Case("data.pkl", b"\x80\x04."), "pickle") is not None
    for format in ("gguf", "safetensors"):
        for name, content in made(format):
            assert reference.fault_of(Case(name, content), format) is None


def test_a_run_that_stopped_goes_on_and_counts_what_a_whole_one_does(tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "BLOCK", 50)
    seeds = made("safetensors")
    result = tmp_path / "result.json"
    said: list[str] = []
    campaign.run(Plan(format="safetensors", seeds=seeds, count=100), 1, result, said.append)
    resumed = campaign.run(Plan(format="safetensors", seeds=seeds, count=200), 1, result, said.append)
    whole = Runner(Plan(format="safetensors", seeds=seeds)).run(0, 200)
    assert (resumed.counts, resumed.codes) == (whole.counts, whole.codes)
    document = json.loads(result.read_text())
    assert (document["next"], Counts.of(document).counts) == (200, whole.counts)
    assert said
    with pytest.raises(SystemExit, match="another run"):
        campaign.run(Plan(format="safetensors", seeds=(*seeds, Seed("x", b""))), 1, result, said.append)


def test_the_command_replays_a_case_by_its_number(tmp_path):
    line = [sys.executable, "-m", "tests.fuzz", "gguf", "--replay", "3", "--folder", str(tmp_path)]
    done = subprocess.run(
        line, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    case = Cases("gguf", made("gguf"))[3]
    assert (tmp_path / "gguf-3" / case.name).read_bytes() == case.content


def test_without_atheris_its_command_says_what_to_do():
    line = [sys.executable, "-S", "-m", "tests.fuzz.atheris", "gguf"]
    done = subprocess.run(
        line, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2
    assert "pip install atheris==" in done.stderr
