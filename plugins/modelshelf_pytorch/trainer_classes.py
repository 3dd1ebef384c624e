"""The classes that training programs pickle into ``training_args.bin``, which no model loader reads.

Sources: what `Trainer._save` of transformers 5.24 and of releases back to 4.0 pickles, which is its
`TrainingArguments` with the values that `__post_init__` makes; accelerate 1.15 (`state`, `utils.dataclasses`,
`parallelism_config`); trl 1.16 (`*_config`), sentence-transformers 6.2 and 3 to 5 (`training_args`), peft
0.21 (`config`, `utils.peft_types`), DeepSpeed (`runtime`, `inference`).
"""

from __future__ import annotations

import re

_OF_TRAINER = {
    "accelerate.parallelism_config": "ParallelismConfig",
    "accelerate.state": "PartialState",
    "accelerate.utils.dataclasses": (
        "DeepSpeedPlugin DeepSpeedSequenceParallelConfig DistributedType DynamoBackend "
        "FullyShardedDataParallelPlugin GradientAccumulationPlugin TorchContextParallelConfig "
        "TorchDynamoPlugin TorchTensorParallelConfig"
    ),
    "accelerate.utils.deepspeed": "HfDeepSpeedConfig",
    "transformers.debug_utils": "DebugOption",
    "transformers.deepspeed": "HfDeepSpeedConfig HfTrainerDeepSpeedConfig",
    "transformers.generation.configuration_utils": "GenerationConfig",
    "transformers.integrations.deepspeed": "HfDeepSpeedConfig HfTrainerDeepSpeedConfig",
    "transformers.trainer_pt_utils": "AcceleratorConfig",
    "transformers.trainer_utils": (
        "EvaluationStrategy FSDPOption HubStrategy IntervalStrategy SaveStrategy SchedulerType "
        "ShardedDDPOption"
    ),
    "transformers.training_args": "OptimizerNames ParallelMode TrainingArguments",
    "transformers.training_args_seq2seq": "Seq2SeqTrainingArguments",
}
_TRAINER_CLASSES = frozenset(
    f"{module}.{name}" for module, names in _OF_TRAINER.items() for name in names.split()
)
# Packages with a class of configuration for each of their dozens of methods, in modules that move.
_CONFIGURATION = re.compile(
    r"(trl(\.\w+)*\.\w+(Config|Arguments)"
    r"|sentence_transformers(\.\w+)*\.\w*(TrainingArguments|BatchSamplers)"
    r"|peft(\.\w+)*\.(\w+Config|PeftType|TaskType|PromptEncoderReparameterizationType|\w+Init)"
    r"|deepspeed(\.\w+)*\.\w+Config)",
    re.ASCII,
)
_CLASS = re.compile(r"_*[A-Z]\w*", re.ASCII)


def is_of_training(subject: str) -> bool:
    """Whether a global is a class that a training program writes among its arguments."""
    path, _, name = subject.rpartition(".")
    if subject in _TRAINER_CLASSES:
        return True
    # A name with an upper-case part before its last one is something in a class, which may be a function.
    within = any(_CLASS.fullmatch(part) for part in path.split("."))
    return not within and bool(_CLASS.fullmatch(name)) and bool(_CONFIGURATION.fullmatch(subject))


def is_class(subject: str) -> bool:
    """Whether a global is a class by its name; a function is there to be called, whatever it is in."""
    path, _, name = subject.rpartition(".")
    return bool(_CLASS.fullmatch(name)) and not any(_CLASS.fullmatch(part) for part in path.split("."))
