"""Records as plain data and back: the hooks that are written out against those that cattrs generates."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn
from cattrs.preconf.msgpack import make_converter

from modelshelf import ArtifactFile, Finding, Location, ModelConfig, ModelVersion, Provenance
from modelshelf.records.codec import converter, structure_provenance, unstructure_provenance
from tests.benchmarks.measure import Comparison, Workshop, processes_side_by_side, side_by_side
from tests.benchmarks.registry import model

_LISTS = (ModelVersion, ArtifactFile, Location, Finding)
_WORTH_WRITING = 0.9
"""Hooks that save less than a tenth are not worth writing out."""

_WRITTEN_OUT = """
from modelshelf.records.codec import decode_record, encode_record
from tests.benchmarks.registry import model
assert decode_record(b"key", encode_record(b"key", model(1))) == model(1)
"""
_GENERATED = """
from modelshelf import ModelConfig
from modelshelf.records.frame import decode_value, encode_value
from tests.benchmarks.codec import generated
from tests.benchmarks.registry import model
made = generated()
value = encode_value(b"key", made.unstructure(model(1)))
assert made.structure(decode_value(b"key", value), ModelConfig) == model(1)
"""


def comparisons(workshop: Workshop) -> Iterator[Comparison]:
    """Goals: hooks that are written out save a tenth at least, in a start and with many records."""
    models = [model(number) for number in range(workshop.scaled(10_000))]
    written, made = converter(), generated()
    outs = [one.get_unstructure_hook(ModelConfig) for one in (written, made)]
    backs = [one.get_structure_hook(ModelConfig) for one in (written, made)]
    contents = [list(map(out, models)) for out in outs]
    encode = [partial(_each, out, models) for out in outs]
    decode = [
        partial(_each, partial(_back, back), content) for back, content in zip(backs, contents, strict=True)
    ]
    for case, (ours, peer) in (("to", encode), ("from", decode)):
        yield _row(
            f"{len(models)} records {case} plain data", *side_by_side(ours, peer, max(workshop.rounds, 7))
        )
    ours, peer = processes_side_by_side(
        (sys.executable, "-c", _WRITTEN_OUT), (sys.executable, "-c", _GENERATED), max(workshop.rounds, 11)
    )
    saved = peer.processor_seconds - ours.processor_seconds
    yield _row(
        "a process that writes and reads one record",
        ours.processor_seconds,
        peer.processor_seconds,
        f"{saved * 1e3:.0f} ms saved",
    )


def generated() -> Converter:
    """A converter of the same layout that cattrs generates; written out is only how provenance is grouped."""
    made = make_converter(omit_if_default=True, detailed_validation=False)
    made.register_unstructure_hook_func(_is_provenance, unstructure_provenance)
    made.register_structure_hook_func(_is_provenance, lambda content, _: structure_provenance(content))
    made.register_structure_hook_func(lambda kind: kind == dict[str, Any], lambda content, _: content)
    for kind in _LISTS:
        names = [one.name for one in attrs.fields(kind)]
        out = make_dict_unstructure_fn(kind, made, _cattrs_omit_if_default=False)
        back = make_dict_structure_fn(kind, made)
        made.register_unstructure_hook(kind, partial(_to_list, out))
        made.register_structure_hook(kind, partial(_from_list, names, back))
    return made


def _is_provenance(kind: Any) -> bool:
    return bool(kind == dict[str, Provenance])


def _to_list(out: Any, value: Any) -> list[Any]:
    return list(out(value).values())


def _from_list(names: list[str], back: Any, content: list[Any], kind: type) -> Any:
    return back(dict(zip(names, content, strict=False)), kind)


def _back(back: Any, content: Any) -> ModelConfig:
    model: ModelConfig = back(content, ModelConfig)
    return model


def _each(work: Any, values: list[Any]) -> None:
    for one in values:
        work(one)


def _row(case: str, ours: float, peer: float, note: str = "") -> Comparison:
    return Comparison(
        case=case,
        ours=ours,
        peer=peer,
        peer_name="hooks that cattrs generates",
        goal=_WORTH_WRITING,
        note=note,
    )
