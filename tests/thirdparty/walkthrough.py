"""CONTRIBUTING's walk through the ONNX plugin, done as it stands in an empty environment."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from modelshelf.testing import ModelFiles
from tests.thirdparty.environment import ROOT, Environment, build_wheel, modelshelf_requirements, once_a_run

HERE = Path(__file__).resolve().parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
WALK = re.search(r"^## Write a plugin$(.*?)^## ", TEXT, re.DOTALL | re.MULTILINE)
_STEP = re.compile(
    r"(?:^`(?P<file>[\w./-]+)`:\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_MODELS = "../models"  # what the text scans at its end
_SAVE = (
    "import sys; sys.path.insert(0, 'tests'); import test_modelshelf_onnx as t; from pathlib import Path\n"
)
_OFFLINE = {  # what pip does without a network: the build backend and the dependencies are there already
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
_KINDS = ("format", "source", "store", "serializer")


@frozen(kw_only=True)
class Step:
    """A block of the text: a file's content, or lines for the shell."""

    language: str
    text: str
    file: str | None


def steps() -> list[Step]:
    """The blocks of the walk, in order."""
    assert WALK is not None
    found = [Step(**match.groupdict()) for match in _STEP.finditer(WALK[1])]
    assert all(one.file or one.language == "sh" for one in found), "a block says neither file nor shell"
    return found


def wheel_of(factory: pytest.TempPathFactory) -> Path:
    """The built wheel of this checkout."""
    folder = once_a_run(factory, "wheel", lambda shared: build_wheel(ROOT, shared))
    (wheel,) = folder.glob("*.whl")
    return wheel


def _environment(factory: pytest.TempPathFactory, folder: Path, *more: str) -> Environment:
    requirements = [*modelshelf_requirements(), "pytest", "hatchling", "pip", *more]
    made = Environment.make(folder / "environment", requirements)
    made.install(wheel_of(factory))
    return made


def _kept(folder: Path, report: dict[str, Any]) -> None:
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")


def walked(factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of the walk, and of uninstalling afterwards; done once for all workers."""
    folder = once_a_run(factory, "walk", lambda shared: _kept(shared, _walk(factory, shared)))
    return dict(json.loads((folder / "report.json").read_text(encoding="utf-8")))


def _walk(factory: pytest.TempPathFactory, folder: Path) -> dict[str, Any]:
    made, work = _environment(factory, folder, "onnx"), folder / "work"
    work.mkdir()
    place, shown = work, []
    for step in steps():
        if step.file:
            (place / step.file).write_text(step.text, encoding="utf-8")
            continue
        if _MODELS in step.text:
            _write_models(made, place)
        script = f"set -euo pipefail\n{step.text}pwd > '{folder}/place'\n"
        done = made.run("bash", "-c", script, cwd=place, env=_OFFLINE)
        assert done.returncode == 0, f"{step.text}{done.stdout}{done.stderr}"
        shown.append(done.stdout)
        place = Path((folder / "place").read_text(encoding="utf-8").strip())
    report: dict[str, Any] = {"shown": shown, "folder": str(place)}
    report["plugins"] = made.json("modelshelf", "plugins", "--json", cwd=work)
    report["records"] = made.json("modelshelf", "ls", "--json", cwd=work)
    made.uninstall("modelshelf-onnx")
    report["plugins after"] = made.json("modelshelf", "plugins", "--json", cwd=work)
    again = made.run("modelshelf", "scan", "--json", "models", cwd=work)
    report["scan after"] = {"code": again.returncode, **json.loads(again.stdout)}
    report["records after"] = made.json("modelshelf", "ls", "--json", cwd=work)
    report["why after"] = made.run("modelshelf", "why", "models/inside/model.onnx", cwd=work).stdout
    return report


def _write_models(made: Environment, place: Path) -> None:
    """Two ONNX models, one with its data beside it, and a GGUF file."""
    models = place.parent / "models"
    models.mkdir()
    ModelFiles(models).sound("gguf", name="known")
    script = (
        f"{_SAVE}models = Path('{_MODELS}')\n"
        "t.save(models / 'inside' / 'model.onnx')\n"
        "t.save(models / 'beside' / 'model.onnx', save_as_external_data=True,\n"
        "       location='model.onnx.data', size_threshold=0)\n"
    )
    done = made.run("python", "-c", script, cwd=place)
    assert done.returncode == 0, done.stderr


def installed(factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of new plugins of every kind and of the inventory; done once for all workers."""
    folder = once_a_run(factory, "new", lambda shared: _kept(shared, _install(factory, shared)))
    return dict(json.loads((folder / "report.json").read_text(encoding="utf-8")))


def _install(factory: pytest.TempPathFactory, folder: Path) -> dict[str, Any]:
    made, work = _environment(factory, folder), folder / "work"
    work.mkdir()
    report: dict[str, Any] = {"written": {}}
    for kind in _KINDS:
        done = made.run("modelshelf", "plugins", "new", f"my-{kind}", "--kind", kind, cwd=work)
        assert (done.returncode, done.stderr) == (0, ""), done
        report["written"][kind] = done.stdout
    shutil.copytree(HERE / "modelshelf-inventory", work / "modelshelf-inventory")
    sources = sorted(one.name for one in work.glob("modelshelf-*"))
    done = made.run(
        "python", "-m", "pip", "install", *(f"./{one}" for one in sources), cwd=work, env=_OFFLINE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # -W error: being merely installed warns of nothing either.
    line = ["-W", "error", "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--rootdir", "."]
    done = made.run("python", *line, *(f"{one}/tests" for one in sources), cwd=work)
    report["tests"] = {"code": done.returncode, "out": done.stdout + done.stderr}
    report["plugins"] = made.json("modelshelf", "plugins", "--json", cwd=work)
    report["table"] = made.run("modelshelf", "plugins", cwd=work).stdout
    report["inventory"] = _use_inventory(made, work)
    return report


def _use_inventory(made: Environment, work: Path) -> dict[str, Any]:
    place = work / "place"
    ModelFiles(place).sound("gguf", name="llama")
    (place / "inventory.yaml").write_text(
        "models:\n"
        "  - {path: llama, id: team/llama, license: apache-2.0, tags: [approved]}\n"
        "  - {url: 'https://models.example/large.gguf'}\n",
        encoding="utf-8",
    )
    settings = work / "modelshelf.toml"
    settings.write_text(
        '[[sources]]\nname = "inventory"\nfile = "FILE"\n'.replace("FILE", str(place / "inventory.yaml"))
    )
    configured = ("modelshelf", "--config", str(settings))
    report = {
        "places": made.json(*configured, "sources", "--json", cwd=work),
        "scan": made.run(*configured, "scan", cwd=work).returncode,
        "records": made.json(*configured, "ls", "--json", cwd=work),
    }
    made.uninstall("modelshelf-inventory")
    refused = made.run(*configured, "scan", cwd=work)
    made.run("modelshelf", "scan", place, cwd=work)
    after = made.json("modelshelf", "ls", "--json", cwd=work)
    return {**report, "refused": [refused.returncode, refused.stderr], "records after": after}
