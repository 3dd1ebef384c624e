from __future__ import annotations

import itertools
import re
from enum import IntEnum

import attrs
import pytest
from hypothesis import given

from modelshelf import InvalidValueError, ModelMetadata, Origin
from modelshelf.model import Provenance, merge_metadata
from modelshelf.model.metadata import FIELD_NAMES
from tests.core.record_strategies import METADATA


def test_parameters_bring_their_written_count() -> None:
    assert ModelMetadata(parameters=1_235_814_400).parameter_count == "1.24B"
    assert ModelMetadata().parameter_count is None


def test_a_better_reading_is_never_overwritten_whatever_the_order() -> None:
    partials = [
        ModelMetadata.partial(
            Origin.FILENAME, "name", architecture="a", parameter_count="7B", license="name"
        ),
        ModelMetadata.partial(Origin.CONFIG, "config.json", architecture="b", context_length=8),
        ModelMetadata.partial(Origin.HEADER, "header", architecture="c", parameters=6_700_000_000),
        ModelMetadata.partial(Origin.CARD, "README.md", license="card"),
    ]
    for order in itertools.permutations(partials):
        merged = merge_metadata(order)
        assert (merged.architecture, merged.parameter_count, merged.license) == ("c", "6.7B", "card")
        assert merged.provenance["architecture"].origin is Origin.HEADER
        assert str(merged.provenance["license"]) == "card: README.md"


def test_the_former_name_of_partial_warns_and_does_the_same() -> None:
    with pytest.warns(DeprecationWarning, match=r"ModelMetadata\.partial") as warned:
        metadata = ModelMetadata.told(Origin.HEADER, "header", architecture="llama")
    assert metadata == ModelMetadata.partial(Origin.HEADER, "header", architecture="llama")
    assert warned[0].filename == __file__


def test_the_former_name_of_fields_set_warns_and_does_the_same() -> None:
    metadata = ModelMetadata.partial(Origin.HEADER, "header", architecture="llama")
    with pytest.warns(DeprecationWarning, match=r"ModelMetadata\.fields_set") as warned:
        names = metadata.known()
    assert names == metadata.fields_set() == ("architecture",)
    assert warned[0].filename == __file__


def test_of_two_readings_of_one_rank_the_first_counts() -> None:
    first, second = (ModelMetadata.partial(Origin.HEADER, word, architecture=word) for word in ("x", "y"))
    assert merge_metadata([first, second]).architecture == "x"


@given(METADATA)
def test_every_value_that_is_reported_has_the_place_and_no_other_field_has(metadata: ModelMetadata) -> None:
    given_values = {name: getattr(metadata, name) for name in (*FIELD_NAMES, "details")}
    partial = ModelMetadata.partial(Origin.CARD, "README.md", **given_values)
    assert partial.provenance == dict.fromkeys(partial.fields_set(), Provenance(Origin.CARD, "README.md"))
    assert repr(attrs.evolve(partial, provenance=metadata.provenance)) == repr(metadata)


def test_a_written_count_that_is_computed_comes_from_the_parameters_place() -> None:
    metadata = ModelMetadata.partial(Origin.HEADER, "tensors", parameters=7)
    assert metadata.provenance["parameter_count"] == metadata.provenance["parameters"]
    assert metadata.fields_set() == ("parameters", "parameter_count")
    unwritten = ModelMetadata.partial(Origin.HEADER, "tensors", parameters=7, parameter_count=None)
    assert set(unwritten.provenance) == {"parameters"}


def test_what_a_person_set_outranks_the_header() -> None:
    header = ModelMetadata.partial(Origin.HEADER, "", license="header")
    mine = ModelMetadata.partial(Origin.USER, "", license="mine")
    assert merge_metadata([header, mine]).license == "mine"


def test_a_field_that_does_not_exist_is_refused_and_the_one_that_was_meant_is_named() -> None:
    with pytest.raises(InvalidValueError, match=r"^metadata has no field 'colour'$"):
        ModelMetadata.partial(Origin.HEADER, "", colour="red")
    with pytest.raises(InvalidValueError, match=r"no field 'contextlength'; did you mean 'context_length'\?"):
        ModelMetadata.partial(Origin.HEADER, "", contextlength=8)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"context_length": "long"}, "context_length must be an integer, not str 'long'"),
        ({"context_length": True}, "context_length must be an integer, not bool True"),
        ({"parameters": "7B"}, "parameters must be an integer, not str '7B'"),
        ({"parameters": 1.5e9}, "parameters must be an integer, not float 1500000000.0"),
        ({"architecture": b"llama"}, "architecture must be text, not bytes b'llama'"),
        ({"bits_per_weight": "4"}, "bits_per_weight must be a number, not str '4'"),
        ({"bits_per_weight": False}, "bits_per_weight must be a number, not bool False"),
        ({"chat_template": 1}, "chat_template must be true or false, not int 1"),
        ({"tags": 5}, "tags must be text, or several texts, not int 5"),
        ({"tags": ("one", 2)}, "tags must be text, or several texts, not int 2"),
        ({"languages": b"en"}, "languages must be text, or several texts, not int 101"),
        ({"tensor_types": "F32"}, "tensor_types must be integers by name, not str 'F32'"),
        ({"tensor_types": {"F32": "two"}}, "tensor_types must be integers by name, not str 'two'"),
        ({"tensor_types": {"F32": True}}, "tensor_types must be integers by name, not bool True"),
        ({"tensor_types": {1: 2}}, "tensor_types must be integers by name, not int 1"),
        ({"details": None}, "details must be a mapping, not NoneType None"),
        ({"details": "rope"}, "details must be a mapping, not str 'rope'"),
        ({"title": 10**5000}, "title must be text, not int"),
        ({"title": ["x" * 100]}, "title must be text, not list ['" + "x" * 58 + "…"),
    ],
)
def test_a_value_of_another_type_is_refused_with_field_type_and_value(
    values: dict[str, object], message: str
) -> None:
    for make in (ModelMetadata, lambda **given: ModelMetadata.partial(Origin.CARD, "README.md", **given)):
        with pytest.raises(InvalidValueError, match=f"^metadata: {re.escape(message)}$"):
            make(**values)


def test_a_subclass_of_the_fields_type_is_of_that_type() -> None:
    class Word(str):
        __slots__ = ()

    class Count(IntEnum):
        TWO = 2

    metadata = ModelMetadata(
        architecture=Word("llama"),
        tags=[Word("a")],
        context_length=Count.TWO,
        bits_per_weight=4,
        tensor_types={Word("F32"): Count.TWO},
    )
    assert (metadata.tags, metadata.context_length, metadata.tensor_types) == (("a",), 2, {"F32": 2})
    assert ModelMetadata(tags="chat").tags == ("chat",)


def test_a_finer_citation_keeps_the_origin() -> None:
    metadata = ModelMetadata.partial(Origin.HEADER, "header", architecture="llama").cite(
        architecture="general.architecture"
    )
    assert str(metadata.provenance["architecture"]) == "header: general.architecture"
