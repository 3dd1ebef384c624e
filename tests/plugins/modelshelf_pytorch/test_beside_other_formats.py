from __future__ import annotations

import pytest

from modelshelf.model import Depth, Severity
from modelshelf.reader import ArtifactReader
from modelshelf_pytorch import modelshelf_probe_health
from tests.support import artifact_of

ATTACK = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R."


def severities(tmp_path, name, content):
    weights, beside = tmp_path / "model.safetensors", tmp_path / name
    weights.write_bytes(b"weights")
    beside.write_bytes(content)
    artifact = artifact_of(weights, companions=(beside,))
    with ArtifactReader(artifact) as reader:
        return {
            one.severity for one in modelshelf_probe_health(artifact, "safetensors", reader, Depth.HEADER)
        }


@pytest.mark.parametrize(
    "name", ["training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state_0.pth", "tokenizer.model"]
)
def test_a_pickle_that_calls_code_fails_the_safetensors_model_beside_it(tmp_path, name):
    assert Severity.ERROR in severities(tmp_path, name, ATTACK)


@pytest.mark.parametrize("honest", [b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02", b"IQ== 0\nIg== 1\n"])
def test_an_honest_tokenizer_beside_a_model_is_left_alone(tmp_path, honest):
    assert severities(tmp_path, "tokenizer.model", honest) == set()


def _arguments(module, name):
    return f"\x80\x02c{module}\n{name}\n)\x81}}X\x01\x00\x00\x00aK\x01sb.".encode("latin-1")


def test_training_arguments_of_the_trainer_are_an_info_and_other_classes_a_warning(tmp_path):
    honest = _arguments("transformers.training_args", "TrainingArguments")
    assert severities(tmp_path, "training_args.bin", honest) == {Severity.INFO}
    assert severities(tmp_path, "optimizer.pt", honest) == {Severity.WARNING}
    other = _arguments("my_training", "Arguments")
    assert severities(tmp_path, "training_args.bin", other) == {Severity.WARNING}
