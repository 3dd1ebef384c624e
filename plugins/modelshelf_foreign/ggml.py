"""The header of a ggml file as whisper.cpp writes it: eleven numbers behind the magic one.

Source: ``whisper_model_load`` in ``whisper.cpp``; ``ggml_ftype`` in ``ggml.h``.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from modelshelf.model import ModelMetadata, Origin

if TYPE_CHECKING:
    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader

_NAMES = (
    "n_vocab",
    "n_audio_ctx",
    "n_audio_state",
    "n_audio_head",
    "n_audio_layer",
    "n_text_ctx",
    "n_text_state",
    "n_text_head",
    "n_text_layer",
    "n_mels",
    "ftype",
)
_HEADER = struct.Struct("<4s11i")
_MELS = frozenset({80, 128})
_LARGEST = 1 << 20
_QUANTIZATION_VERSION = 1000  # GGML_QNT_VERSION_FACTOR: the file type lies below it
_FILE_TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1"}


def extract(artifact: Artifact, reader: ArtifactReader) -> ModelMetadata | None:
    """Return what the header says of a Whisper model; None where its numbers are no such model's."""
    head = reader.file(artifact.weights[0].name).read_up_to(0, _HEADER.size)
    if len(head) < _HEADER.size:
        return None
    _, *numbers = _HEADER.unpack(head)
    values = dict(zip(_NAMES, numbers, strict=True))
    if values["n_mels"] not in _MELS or not all(0 <= number < _LARGEST for number in numbers):
        return None
    return ModelMetadata.partial(
        Origin.HEADER,
        "whisper.cpp header",
        architecture="whisper",
        quantization=_FILE_TYPES.get(values["ftype"] % _QUANTIZATION_VERSION),
        vocab_size=values["n_vocab"],
        block_count=values["n_audio_layer"],
        embedding_length=values["n_audio_state"],
        head_count=values["n_audio_head"],
        pipeline_tag="automatic-speech-recognition",
        details={f"whisper.{name}": value for name, value in values.items()},
    )
