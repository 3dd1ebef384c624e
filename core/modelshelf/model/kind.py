"""What a model is for: its kind, what goes in and comes out, what it can do.

The kinds are an open set: a plugin or a person may name others, and unknown is None. What is here are the
kinds that the built-in plugins tell apart.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a model is for, as `ModelMetadata.kind` names it."""

    TEXT_GENERATION = "text-generation"
    EMBEDDING = "embedding"
    RERANKER = "reranker"
    CLASSIFIER = "classifier"
    IMAGE_GENERATION = "image-generation"
    VIDEO_GENERATION = "video-generation"
    SPEECH_RECOGNITION = "speech-recognition"
    TEXT_TO_SPEECH = "text-to-speech"
    VISION = "vision"
    AUDIO = "audio"
    ADAPTER = "adapter"
    PROJECTOR = "projector"
    DRAFT = "draft"
    DENOISER = "denoiser"
    VAE = "vae"
    TEXT_ENCODER = "text-encoder"
    CONTROLNET = "controlnet"
    UPSCALER = "upscaler"
    TEXTUAL_INVERSION = "textual-inversion"
    CONTROL_VECTOR = "control-vector"
    IMPORTANCE_MATRIX = "importance-matrix"
    VOCABULARY = "vocabulary"
    OPTIMIZER_STATE = "optimizer-state"

    @property
    def stands_alone(self) -> bool:
        """Whether such a model can answer a request by itself; the others are parts of one."""
        return self in USUAL


class Modalities(NamedTuple):
    """What goes into a model and what comes out: ``text``, ``image``, ``audio``, ``video``.

    Attributes:
        input: What it takes; None where that is unknown.
        output: What it gives; None where that is unknown, or no such thing.
    """

    input: tuple[str, ...] | None
    output: tuple[str, ...] | None


_TEXT, _IMAGE, _AUDIO = ("text",), ("image",), ("audio",)
USUAL: dict[str, Modalities] = {
    Kind.TEXT_GENERATION: Modalities(_TEXT, _TEXT),
    Kind.EMBEDDING: Modalities(_TEXT, None),
    Kind.RERANKER: Modalities(_TEXT, None),
    Kind.CLASSIFIER: Modalities(_TEXT, None),
    Kind.IMAGE_GENERATION: Modalities(_TEXT, _IMAGE),
    Kind.VIDEO_GENERATION: Modalities(_TEXT, ("video",)),
    Kind.SPEECH_RECOGNITION: Modalities(_AUDIO, _TEXT),
    Kind.TEXT_TO_SPEECH: Modalities(_TEXT, _AUDIO),
    Kind.VISION: Modalities(_IMAGE, None),
    Kind.AUDIO: Modalities(None, None),
}
"""The kinds that answer a request by themselves, with what such a model usually takes and gives."""

CAPABILITIES = ("chat", "tools", "vision", "audio", "thinking", "embedding", "rerank")
"""The capabilities that the built-in plugins tell, in the order in which they are listed; an open set too."""


_TOOLS = ("for tool in tools", "if tools", "tools is ", "tools %", "tool_calls", ".ToolCalls", ".Tools")
_THINKING = (
    *("enable_thinking", "reasoning_content", "reasoning_effort", "thinking_budget", "message.thinking"),
    *("<think>", "[THINK]", "<seed:think>", "<|channel>thought", ".Thinking", ".IsThinkSet"),
)


def capabilities_of_template(template: str) -> tuple[str, ...]:
    """What a chat template shows that its model can do, by its text: it is never rendered.

    A template of Jinja or of Go's `text/template` names the tools that it lists, and the place of thoughts.
    """
    tools = ("tools",) if any(mark in template for mark in _TOOLS) else ()
    thinking = ("thinking",) if any(mark in template for mark in _THINKING) else ()
    return tools + thinking


def joined_capabilities(*several: tuple[str, ...] | None) -> tuple[str, ...]:
    """Capabilities from several places together, each once, those of `CAPABILITIES` first."""
    found = dict.fromkeys(word for words in several for word in words or ())
    return tuple(sorted(found, key=lambda word: _PLACES.get(word, len(_PLACES))))


_PLACES = {word: place for place, word in enumerate(CAPABILITIES)}
