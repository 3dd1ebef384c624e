"""Calls to worker processes and their answers, as bytes.

Both ends are of one release, so the converter of records serves here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from modelshelf.model import Artifact, Depth
from modelshelf.plugin.given import PluginSelection
from modelshelf.plugin.spec import HOOK_SECONDS
from modelshelf.records.codec import converter
from modelshelf.records.frame import pack, unpack
from modelshelf.scan.examine import Examination

if TYPE_CHECKING:
    from collections.abc import Sequence


@frozen(kw_only=True)
class WorkerSettings:
    """What a worker process must know beside the artifacts.

    Attributes:
        plugins: Which plugins it loads beside the installed ones, and which not.
        hook_seconds: Time after which it ends a hook.
    """

    plugins: PluginSelection = field(factory=PluginSelection)
    hook_seconds: float = HOOK_SECONDS


def encode_call(artifacts: Sequence[Artifact], depth: Depth, settings: WorkerSettings) -> bytes:
    """Artifacts on their way to another process."""
    return _encode((artifacts, depth, settings))


def decode_call(data: bytes) -> tuple[list[Artifact], Depth, WorkerSettings]:
    """What `encode_call` encoded."""
    call: tuple[list[Artifact], Depth, WorkerSettings] = _decode(
        data, tuple[list[Artifact], Depth, WorkerSettings]
    )
    return call


def encode_answer(examinations: Sequence[Examination]) -> bytes:
    """Examinations on their way back from another process."""
    return _encode(examinations)


def decode_answer(data: bytes) -> list[Examination]:
    """What `encode_answer` encoded."""
    examinations: list[Examination] = _decode(data, list[Examination])
    return examinations


def _encode(value: object) -> bytes:
    return pack(converter().unstructure(value))


def _decode(data: bytes, kind: Any) -> Any:
    return converter().structure(unpack(data), kind)
