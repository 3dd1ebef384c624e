"""A temporary project, the real command line run on it, and what came of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import safetensors.numpy

from modelshelf.cli import main
from modelshelf.testing import commandline


class Outcome(commandline.Outcome):
    """What one run gave: exit code, standard output, standard error."""

    def done(self) -> Outcome:
        """This outcome, of a run that succeeded and had nothing to complain of."""
        assert (self.code, self.err) == (0, ""), self
        return self


class Project:
    """A working directory with ``models/`` and a store of its own."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.models = root / "models"
        self.models.mkdir()
        self._capsys = capsys

    def run(self, *arguments: str | os.PathLike[str]) -> Outcome:
        """Run the command line in this process."""
        self._capsys.readouterr()
        code = main([os.fspath(one) for one in arguments])
        out, err = self._capsys.readouterr()
        return Outcome(code=code, out=out, err=err)

    def start(self, *arguments: str | os.PathLike[str], **options: Any) -> subprocess.Popen[str]:
        """Run the command line in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "modelshelf", *arguments],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def gguf(self, name: str = "tiny", *, folder: str = "", **texts: str) -> Path:
        """A whole GGUF file; `texts` are further keys, with ``_`` in place of ``.``."""
        path = self.models / folder / f"{name}.gguf"
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_context_length(2048)
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        for key, text in texts.items():
            writer.add_string(key.replace("_", "."), text)
        writer.add_tensor("token_embd.weight", np.zeros((8, 16), dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def safetensors(self, name: str = "small") -> Path:
        """A whole safetensors file in a folder of its own."""
        path = self.models / name / "model.safetensors"
        path.parent.mkdir()
        safetensors.numpy.save_file({"weight": np.ones((4, 4), dtype=np.float16)}, path)
        return path

    def truncated(self, name: str = "broken") -> Path:
        """A GGUF file that lacks its end."""
        path = self.gguf(name, folder=name)
        path.write_bytes(path.read_bytes()[:-64])
        return path

    def scanned(self) -> list[str]:
        """Scan the models; the ids that are recorded then."""
        self.run("scan", self.models)
        return [one["id"] for one in self.run("ls", "--json").json]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Project:
    """An empty project that is the working directory, with an empty home."""
    for name in [name for name in os.environ if name.startswith(("XDG_", "MODELSHELF_"))]:
        monkeypatch.delenv(name)
    for folder in ("home", "work"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODELSHELF_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path / "work")
    return Project(tmp_path / "work", capsys)
