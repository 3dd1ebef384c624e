from __future__ import annotations

import itertools

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


def test_of_two_readings_of_one_rank_the_first_stands() -> None:
    first, second = (ModelMetadata.partial(Origin.HEADER, word, architecture=word) for word in ("x", "y"))
    assert merge_metadata([first, second]).architecture == "x"


@given(METADATA)
def test_every_value_that_is_told_has_the_place_and_no_other_field_has(metadata: ModelMetadata) -> None:
    given_values = {name: getattr(metadata, name) for name in (*FIELD_NAMES, "details")}
    told = ModelMetadata.partial(Origin.CARD, "README.md", **given_values)
    assert told.provenance == dict.fromkeys(told.known(), Provenance(Origin.CARD, "README.md"))
    assert repr(attrs.evolve(told, provenance=metadata.provenance)) == repr(metadata)


def test_a_written_count_that_is_computed_comes_from_the_parameters_place() -> None:
    told = ModelMetadata.partial(Origin.HEADER, "tensors", parameters=7)
    assert told.provenance["parameter_count"] == told.provenance["parameters"]
    assert told.known() == ("parameters", "parameter_count")
    unwritten = ModelMetadata.partial(Origin.HEADER, "tensors", parameters=7, parameter_count=None)
    assert set(unwritten.provenance) == {"parameters"}


def test_what_a_person_set_outranks_the_header() -> None:
    header = ModelMetadata.partial(Origin.HEADER, "", license="header")
    mine = ModelMetadata.partial(Origin.USER, "", license="mine")
    assert merge_metadata([header, mine]).license == "mine"


def test_a_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="colour"):
        ModelMetadata.partial(Origin.HEADER, "", colour="red")


def test_a_finer_citation_keeps_the_origin() -> None:
    told = ModelMetadata.partial(Origin.HEADER, "header", architecture="llama").cite(
        architecture="general.architecture"
    )
    assert str(told.provenance["architecture"]) == "header: general.architecture"
