from __future__ import annotations

import csv
import gzip
import pickle
import subprocess
import sys
import zipfile

import pytest
import torch

import modelshelf_pytorch
from modelshelf.model import Depth, HealthStatus
from modelshelf.model.health import status_of
from modelshelf.reader import HEAD_BLOCK
from tests.fuzz.pickles import generate
from tests.plugins.modelshelf_pytorch.forge import EVIL, EVIL_4, checkpoint, look, look_at, saved
from tests.support import artifact_of, candidate_of, reader_of

EXPECTED = {
    "safe": {HealthStatus.HEALTHY},
    "malicious": {HealthStatus.UNHEALTHY},
    "unreadable-not-malicious": {HealthStatus.UNHEALTHY},
    "embedded-pickle-or-code-string": {HealthStatus.DEGRADED, HealthStatus.UNHEALTHY},
}


def test_every_sample_of_the_corpus_gets_its_verdict(corpus):
    with (corpus / "manifest.tsv").open() as table:
        rows = [
            row
            for row in csv.DictReader(table, delimiter="\t")
            if row["file"].startswith(("pickle/", "torch/"))
        ]
    assert rows
    wrong = []
    for row in rows:
        result = look(corpus / row["file"])
        expected = row["expected"].partition("(")[0].strip()
        if result.status not in EXPECTED[expected]:
            wrong.append((row["file"], result.status, result.codes))
        if expected == "malicious" and not {"unsafe-global", "unsafe-call", "extension-opcode"} & set(
            result.codes
        ):
            wrong.append((row["file"], "not named", result.codes))
        if expected == "unreadable-not-malicious" and "unsafe" in " ".join(result.codes):
            wrong.append((row["file"], "called malicious", result.codes))
    assert wrong == []


def test_the_corpus_tensors_are_those_that_torch_loads(corpus):
    from tests.plugins.modelshelf_pytorch.containers.test_checkpoint import headers, ours

    for path in (
        *sorted((corpus / "torch").glob("*.pth")),
        *sorted((corpus / "pickle").glob("*pytorch_model.bin")),
    ):
        assert ours(path) == headers(torch.load(path, weights_only=True, map_location="cpu")), path.name
    script = corpus / "torch" / "silero_vad.jit"
    state = torch.jit.load(script).state_dict()
    shapes = {name: shape for name, (shape, _, _) in ours(script).items()}
    assert {name: shapes.get(name) for name in state} == {
        name: tuple(one.shape) for name, one in state.items()
    }
    assert "carries-code" in look(script).codes


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.pt", saved({"a": torch.ones(1)}), "pytorch"),
        ("a.weights", saved({"a": torch.ones(1)}), "pytorch"),
        ("a", saved({"a": torch.ones(1)}, _use_new_zipfile_serialization=False), "pytorch"),
        ("a.txt", pickle.dumps([1]), "pickle"),
        ("a.txt", EVIL_4, "pickle"),
        ("a.pkl", pickle.dumps([1], 0), "pickle"),
        ("a.bin", EVIL, "pickle"),
        ("a.txt", b"continuous\nlearning\n", None),
        ("a.bin", b"some firmware", "pytorch"),
        ("a.dat", b"\x80\x02\xff\xff\xff", None),
        ("a.tar", b"x" * 257 + b"ustar" + bytes(300), "archive"),
        ("a.pt", b"x" * 257 + b"ustar" + bytes(300), "archive"),
        ("a.7z", b"7z\xbc\xaf'\x1c" + bytes(30), "archive"),
        ("a.rar", b"Rar!\x1a\x07\x00" + bytes(30), "archive"),
    ],
)
def test_a_file_is_detected_by_its_bytes_first(tmp_path, name, data, expected):
    assert look_at(tmp_path, data, name).format == expected


def test_a_zip_of_something_else_is_left_alone(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("readme.txt", "continuous\nlearning\n")
    assert look(tmp_path / "a.zip").format is None


@pytest.mark.parametrize("name", ["a.7z", "a.rar", "a.tar"])
def test_a_container_that_stays_closed_is_unhealthy_and_not_called_an_attack(tmp_path, name):
    heads = {"a.7z": b"7z\xbc\xaf'\x1c", "a.rar": b"Rar!\x1a\x07\x00", "a.tar": b"x" * 257 + b"ustar"}
    result = look_at(tmp_path, heads[name] + bytes(600), name)
    assert (result.status, result.codes) == (HealthStatus.UNHEALTHY, ["archive-unreadable"])


def test_the_old_tar_layout_is_said_to_be_refused_by_torch(tmp_path):
    """CVE-2025-32434."""
    import tarfile

    with tarfile.open(tmp_path / "old.pt", "w") as packed:
        for name in ("storages", "tensors", "pickle"):
            (tmp_path / name).write_bytes(pickle.dumps(0, 2))
            packed.add(tmp_path / name, name)
    result = look(tmp_path / "old.pt")
    assert "torch itself refuses" in result.text
    assert result.status is HealthStatus.UNHEALTHY


def probe_beside(tmp_path, name, data):
    torch.save({"a": torch.ones(1)}, tmp_path / "model.pt")
    (tmp_path / name).write_bytes(data)
    artifact = artifact_of(tmp_path / "model.pt", companions=(tmp_path / name,))
    with reader_of(tmp_path / "model.pt", companions=(tmp_path / name,)) as reader:
        return list(modelshelf_pytorch.modelshelf_probe_health(artifact, "pytorch", reader, Depth.HEADER))


def test_an_attack_in_a_companion_fails_the_model_and_names_the_file(tmp_path):
    found = probe_beside(tmp_path, "optimizer.pt", checkpoint(pickle=EVIL_4))
    assert (status_of(found), found[0].file) == (HealthStatus.UNHEALTHY, "optimizer.pt")


def test_a_foreign_class_in_a_companion_degrades(tmp_path):
    data = checkpoint(pickle=b"\x80\x02cmy_training.args\nTrainingArguments\n)\x81.")
    assert status_of(probe_beside(tmp_path, "training_args.bin", data)) is HealthStatus.DEGRADED


def test_a_harmless_companion_changes_nothing(tmp_path):
    assert probe_beside(tmp_path, "scheduler.pt", saved({"last_epoch": 3})) == []


def test_of_a_file_of_another_format_the_first_and_the_last_bytes_alone_are_looked_at(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"GGUF\x03" + bytes(100_000))
    with reader_of(tmp_path / "a.gguf") as reader:
        assert modelshelf_pytorch.modelshelf_extract_metadata(reader.artifact, "gguf", reader) is None
        assert not list(
            modelshelf_pytorch.modelshelf_probe_health(reader.artifact, "gguf", reader, Depth.HEADER)
        )
        assert reader.bytes_read <= HEAD_BLOCK + 4096


def test_a_quick_probe_looks_at_no_member(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(checkpoint())
    assert look(path, Depth.QUICK).findings == ()


WATCH = """
import sys
FORBIDDEN = (
    "pickle.find_class", "exec", "compile", "marshal.", "subprocess.", "socket.", "ctypes.", "os.system",
    "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "pty.", "import",
)
from pathlib import Path
import modelshelf_pytorch
from modelshelf.model import Depth
from tests.support import candidate_of, reader_of

def look(path):
    with reader_of(path) as reader:
        vote = modelshelf_pytorch.modelshelf_detect_format(candidate_of(reader))
        name = vote.format if vote else "pytorch"
        modelshelf_pytorch.modelshelf_extract_metadata(reader.artifact, name, reader)
        return list(modelshelf_pytorch.modelshelf_probe_health(reader.artifact, name, reader, Depth.FULL))

paths = [Path(one) for one in sys.argv[1:]]
for path in paths:
    look(path)  # loads the plugin's own modules, which compiles and executes them
events = []
sys.addaudithook(lambda event, given: events.append((event, given)) if event.startswith(FORBIDDEN) else None)
found = sum(len(look(path)) for path in paths)
print(found, events)
sys.exit(bool(events) or not found)
"""


def test_a_whole_probe_imports_executes_and_calls_nothing(tmp_path):
    import numpy as np

    samples = {
        "evil.pkl": EVIL_4,
        "evil0.pkl": EVIL,
        "evil.pt": checkpoint(pickle=EVIL_4),
        "good.pt": saved({"a": torch.ones(2)}),
        "old.pt": saved({"a": torch.ones(2)}, _use_new_zipfile_serialization=False),
        "broken.pt": checkpoint()[:-5],
        "object.pkl": pickle.dumps(np.array([print], dtype=object)),
        "a.7z": b"7z\xbc\xaf'\x1c" + EVIL_4,
        "many.pt": saved({f"layer.{number}.weight": torch.ones(2) for number in range(60)}),
        "packed.joblib": gzip.compress(EVIL_4),
        "nested.pkl": pickle.dumps({"config": EVIL_4, "text": EVIL_4.hex()}),
        **{f"generated-{number}.pkl": data for number, data in enumerate(generate(100, seed=5))},
    }
    for name, data in samples.items():
        (tmp_path / name).write_bytes(data)
    np.save(tmp_path / "a.npy", np.ones(3))
    np.save(tmp_path / "o.npy", np.array([print], dtype=object), allow_pickle=True)
    paths = sorted(str(path) for path in tmp_path.iterdir())
    result = subprocess.run(
        [sys.executable, "-c", WATCH, *paths], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_importing_the_plugin_and_reading_with_it_imports_no_torch_and_no_numpy(tmp_path):
    (tmp_path / "a.pt").write_bytes(saved({"a": torch.ones(2)}))
    code = (
        "import sys; from pathlib import Path; from tests.support import *\n"
        "from modelshelf.model import Depth\n"
        "before = {*sys.modules} - {'torch', 'numpy'}; import modelshelf_pytorch as plugin\n"
        "assert not [name for name in sys.modules if name.startswith('modelshelf_pytorch.')]\n"
        "reader = reader_of(Path(sys.argv[1]))\n"
        "vote = plugin.modelshelf_detect_format(candidate_of(reader))\n"
        "assert plugin.modelshelf_extract_metadata(reader.artifact, vote.format, reader).parameters == 2\n"
        "list(plugin.modelshelf_probe_health(reader.artifact, vote.format, reader, Depth.HEADER))\n"
        "assert not {'torch', 'numpy', 'pickle'} & ({*sys.modules} - before)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.pt")], check=True)


def test_telling_the_tensors_imports_nothing_that_findings_need(tmp_path):
    (tmp_path / "a.pt").write_bytes(saved({"a": torch.ones(2)}))
    code = (
        "import os, sys; import modelshelf_pytorch as plugin\n"
        "from modelshelf.model import Artifact, ArtifactFile; from modelshelf.reader import ArtifactReader\n"
        "folder, name = os.path.split(sys.argv[1]); status = os.stat(sys.argv[1])\n"
        "one = ArtifactFile(name=name, size=status.st_size, mtime_ns=status.st_mtime_ns)\n"
        "reader = ArtifactReader(Artifact(folder=folder, primary=name, files=(one,)))\n"
        "assert plugin.modelshelf_extract_metadata(reader.artifact, 'pytorch', reader).parameters == 2\n"
        "health, check = 'modelshelf_pytorch.health', 'modelshelf_pytorch.zip.check'\n"
        "assert not {'modelshelf.model.health', health, check} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.pt")], check=True)


def test_the_candidate_of_an_unreadable_zip_is_still_claimed(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"PK\x03\x04" + bytes(60))
    with reader_of(tmp_path / "a.pt") as reader:
        assert modelshelf_pytorch.modelshelf_detect_format(candidate_of(reader)).format == "pytorch"
