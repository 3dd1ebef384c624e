from __future__ import annotations

import gzip

import pytest

from modelshelf.errors import UnreadableFileError
from modelshelf.model import Depth, HealthStatus, Severity
from modelshelf.model.health import NOT_JUDGED, status_of
from modelshelf.reader import ArtifactReader
from modelshelf_pytorch import modelshelf_probe_health
from tests.support import artifact_of

ATTACK = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R."


def found_beside(tmp_path, name, content, change=None):
    weights, beside = tmp_path / "model.safetensors", tmp_path / name
    weights.write_bytes(b"weights")
    beside.write_bytes(content)
    artifact = artifact_of(weights, companions=(beside,))
    if change is not None:
        change(beside)
    with ArtifactReader(artifact) as reader:
        return list(modelshelf_probe_health(artifact, "safetensors", reader, Depth.HEADER))


def severities(tmp_path, name, content):
    return {one.severity for one in found_beside(tmp_path, name, content)}


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


@pytest.mark.parametrize(
    "subject",
    [
        "accelerate.state PartialState",
        "accelerate.utils.dataclasses DeepSpeedPlugin",
        "accelerate.utils.dataclasses DistributedType",
        "transformers.debug_utils DebugOption",
        "transformers.integrations.deepspeed HfTrainerDeepSpeedConfig",
        "transformers.trainer_pt_utils AcceleratorConfig",
        "transformers.trainer_utils FSDPOption",
        "transformers.trainer_utils IntervalStrategy",
        "transformers.training_args OptimizerNames",
        "transformers.training_args_seq2seq Seq2SeqTrainingArguments",
        "trl.trainer.sft_config SFTConfig",
        "trl.experimental.gkd.gkd_config GKDConfig",
        "sentence_transformers.training_args SentenceTransformerTrainingArguments",
        "sentence_transformers.training_args BatchSamplers",
        "sentence_transformers.base.sampler MultiDatasetBatchSamplers",
        "peft.tuners.lora.config LoraConfig",
        "peft.utils.peft_types TaskType",
        "deepspeed.runtime.config DeepSpeedConfig",
    ],
)
def test_a_class_that_a_training_program_writes_among_its_arguments_is_an_info(tmp_path, subject):
    data = _arguments(*subject.split())
    assert severities(tmp_path, "training_args.bin", data) == {Severity.INFO}
    assert severities(tmp_path, "model.training_args.bin", data) == {Severity.INFO}


@pytest.mark.parametrize(
    ("subject", "severity"),
    [
        ("my_training Arguments", Severity.WARNING),
        ("trl.trainer.sft_trainer SFTTrainer", Severity.WARNING),
        ("transformers.trainer_utils set_seed", Severity.ERROR),
        ("transformers.training_args TrainingArguments.from_json", Severity.ERROR),
        ("trl.trainer.sft_config SFTConfig.Config", Severity.ERROR),
        ("trl.trainer.sft_config run_Config", Severity.ERROR),
        ("torch.hub load", Severity.ERROR),
        ("torch.storage _load_from_bytes", Severity.ERROR),
        ("my_training run", Severity.ERROR),
    ],
)
def test_other_classes_are_a_warning_and_what_is_there_to_be_called_an_error(tmp_path, subject, severity):
    module, name = (part.encode() for part in subject.split())
    text = b"".join(b"\x8c" + bytes([len(part)]) + part for part in (module, name))
    data = b"\x80\x04" + text + b"\x93\x8c\x01x\x85R."
    assert severities(tmp_path, "training_args.bin", data) == {severity}


def test_a_companion_that_the_system_refuses_is_no_finding_of_ours_but_is_tried_again(tmp_path):
    with pytest.raises(UnreadableFileError):
        found_beside(tmp_path, "optimizer.pt", ATTACK, change=lambda path: path.unlink())


def test_a_companion_beyond_a_limit_is_not_judged_and_leaves_no_model_healthy(tmp_path):
    bomb = gzip.compress(b"\x80\x04B\xff\xff\xff\x7f" + bytes(80_000_000))
    found = found_beside(tmp_path, "optimizer.pt", bomb)
    assert [one.code for one in found] == [NOT_JUDGED]
    assert status_of(found) is HealthStatus.UNKNOWN
