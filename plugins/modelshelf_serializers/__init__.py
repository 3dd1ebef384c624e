"""Ways to write records: OpenAI's listing, JSON, JSON Lines, CSV, YAML.

Commands that write none load this module too, so each writer is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelshelf.model.config import ModelConfig
    from modelshelf.serializer import SerializerType


def _openai(models: Iterable[ModelConfig]) -> Iterator[bytes]:
    from modelshelf_serializers.json_yaml import dump_openai

    return dump_openai(models)


def _json(models: Iterable[ModelConfig]) -> Iterator[bytes]:
    from modelshelf_serializers.json_yaml import dump_json

    return dump_json(models)


def _jsonl(models: Iterable[ModelConfig]) -> Iterator[bytes]:
    from modelshelf_serializers.json_yaml import dump_jsonl

    return dump_jsonl(models)


def _yaml(models: Iterable[ModelConfig]) -> Iterator[bytes]:
    from modelshelf_serializers.json_yaml import dump_yaml

    return dump_yaml(models)


def _csv(models: Iterable[ModelConfig]) -> Iterator[bytes]:
    from modelshelf_serializers.csv_table import dump_csv

    return dump_csv(models)


def modelshelf_serializers() -> Iterable[SerializerType]:
    """Offer the built-in ways to write records."""
    from modelshelf.serializer import SerializerType

    yield SerializerType(
        name="openai",
        media_type="application/json",
        dump=_openai,
        summary="OpenAI's list of models (/v1/models)",
    )
    yield SerializerType(
        name="json", media_type="application/json", dump=_json, summary="an array of whole records"
    )
    yield SerializerType(
        name="jsonl", media_type="application/jsonl", dump=_jsonl, summary="a whole record on each line"
    )
    yield SerializerType(
        name="yaml", media_type="application/yaml", dump=_yaml, summary="a sequence of whole records"
    )
    yield SerializerType(
        name="csv",
        media_type="text/csv; charset=utf-8; header=present",
        dump=_csv,
        summary="one line for each record, for spreadsheets",
    )
