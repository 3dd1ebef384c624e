"""The header of a ggml file as whisper.cpp writes it: eleven numbers behind the magic one.

Source: ``whisper_model_load`` in ``whisper.cpp``.
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
        details={f"whisper.{name}": value for name, value in values.items()},
    )
