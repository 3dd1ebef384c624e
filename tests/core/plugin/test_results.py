from __future__ import annotations

import math
from enum import IntEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.command import CommandType
from modelshelf.model import Detection, Finding, FormatType, ModelMetadata, Origin, Severity
from modelshelf.plugin.results import is_json, wrong_field
from modelshelf.records.frame import pack, unpack
from modelshelf.serializer import SerializerType


def metadata(**values: object) -> ModelMetadata:
    return ModelMetadata.partial(Origin.HEADER, "key", **values)


class Word(str):
    """Text of a type of its own, as a plugin may have it."""

    __slots__ = ()


class Count(IntEnum):
    TWO = 2


SOUND = [
    metadata(
        architecture=Word("llama"),
        tags=(Word("a"),),
        context_length=Count.TWO,
        tensor_types={Word("F32"): Count.TWO},
    ),
    ModelMetadata(details={"word": Word("a"), "count": Count.TWO}),
    Finding(code="odd", severity=Severity.INFO, message="odd", file="a", offset=3),
    metadata(parameters=7, bits_per_weight=4.5, tags=("a",), tensor_types={"F32": 2}, chat_template=True),
    metadata(bits_per_weight=4),
    ModelMetadata(details={"list": [1, "a", None], "table": {"a": 1.5}}),
    Detection(format="npy", confidence=1),
    FormatType(name="npy", suffixes=(".npy",), magic=((0, b"\x93NUMPY"),)),
    SerializerType(name="ids", media_type="text/plain", dump=lambda _models: iter([])),
    CommandType(name="hello", load=lambda: None),
]


@pytest.mark.parametrize("value", SOUND, ids=lambda value: type(value).__name__)
def test_a_value_that_holds_what_it_declares_fits(value: object) -> None:
    assert wrong_field(value, type(value)) is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Finding(code=7, severity=Severity.INFO, message="odd"), "code holds int"),
        (Finding(code="odd", severity=Severity.INFO, message=b"odd"), "message holds bytes"),
        (Finding(code="odd", severity=Severity.INFO, message="odd", offset="3"), "offset holds str"),
        (metadata(bits_per_weight=math.nan), "bits_per_weight holds nan"),
        (ModelMetadata(details={"it": object()}), "details holds a dict of something else"),
        (ModelMetadata(details={1: "one"}), "details holds a dict of something else"),
        (Detection(format=None, confidence=0.5), "format holds NoneType"),
        (FormatType(name="npy", suffixes=[".npy"]), "suffixes holds a list of something else"),
        (FormatType(name="npy", magic=((0, "text"),)), "magic holds a tuple of something else"),
        (SerializerType(name="ids", media_type="text/plain", dump="text"), "dump holds str"),
        (CommandType(name=7, load=lambda: None), "name holds int"),
    ],
)
def test_the_first_field_that_does_not_fit_is_named(value: object, reason: str) -> None:
    assert wrong_field(value, type(value)) == reason


def test_what_is_no_value_class_always_fits() -> None:
    assert wrong_field(None, type(None)) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=12,
)


@given(values)
@settings(deadline=None, max_examples=300)
def test_what_counts_as_plain_can_be_stored(value: object) -> None:
    if is_json(value):
        assert unpack(pack(value)) == value


def test_a_value_without_end_is_not_plain() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert not is_json(endless)
