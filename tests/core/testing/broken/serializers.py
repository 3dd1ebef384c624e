"""A sound serializer, and one for each way to be wrong, with the test of the kit that has to catch it."""

from __future__ import annotations

import json

import pytest

from modelshelf.serializer import SerializerType
from modelshelf.testing import SerializerCase, SerializerSuite


def line(model):
    return json.dumps([model.id, model.display_name]).replace("\x7f", "\\u007f").encode() + b"\n"


class Lines:
    """A JSON array on each line."""

    media_type = "application/jsonl"

    def modelshelf_serializers(self):
        yield SerializerType(name="lines", media_type=self.media_type, dump=self.dump)

    def dump(self, models):
        for model in models:
            yield line(model)


@pytest.fixture
def serializer_case(request):
    return SerializerCase(plugin=request.cls.Plugin(), name="lines")


class TestSound(SerializerSuite):
    Plugin = Lines
    caught_by = None


class TestHasNoMediaType(SerializerSuite):
    class Plugin(Lines):
        media_type = "JSON Lines"

    caught_by = "test_the_serializer_is_offered"


class TestWritesNothingForNothing(SerializerSuite):
    class Plugin(Lines):
        media_type = "application/json"

        def dump(self, models):
            between = b"["
            for model in models:
                yield between + line(model)
                between = b","
            if between == b",":
                yield b"]"

    caught_by = "test_no_records_give_a_valid_empty_document"


class TestDropsTheLast(SerializerSuite):
    class Plugin(Lines):
        def dump(self, models):
            waiting = None
            for model in models:
                yield b"" if waiting is None else line(waiting)
                waiting = model

    caught_by = "test_every_record_comes_back_in_order"


class TestDoesNotEscape(SerializerSuite):
    class Plugin(Lines):
        media_type = "text/csv"

        def dump(self, models):
            yield b"id,name\r\n"
            for model in models:
                yield f"{model.id},{model.display_name}\r\n".encode("utf-8", "replace")

    caught_by = "test_hostile_text_stays_within_its_field"


class TestWritesControls(SerializerSuite):
    class Plugin(Lines):
        def dump(self, models):
            for model in models:
                yield json.dumps([model.id], ensure_ascii=False).encode("utf-8", "replace") + b"\n"

    caught_by = "test_no_character_steers_a_terminal"


class TestTakesAllFirst(SerializerSuite):
    class Plugin(Lines):
        def dump(self, models):
            return iter([line(model) for model in models])

    caught_by = "test_records_are_written_as_they_come"


class TestHidesAnError(SerializerSuite):
    class Plugin(Lines):
        def dump(self, models):
            try:
                yield from map(line, models)
            except LookupError:
                return

    caught_by = "test_an_error_of_the_records_is_passed_on"


class TestIsNotDeterministic(SerializerSuite):
    class Plugin(Lines):
        documents = 0

        def dump(self, models):
            type(self).documents += 1
            for model in models:
                yield json.dumps([model.id, self.documents]).encode() + b"\n"

    caught_by = "test_the_same_records_give_the_same_document"


class TestKeepsStateBetweenCalls(SerializerSuite):
    class Plugin(Lines):
        number = 0

        def dump(self, models):
            type(self).number = 0
            for model in models:
                type(self).number += 1
                yield json.dumps([self.number, model.id]).encode() + b"\n"

    caught_by = "test_two_documents_at_a_time_do_not_mix"


class TestChangesRecords(SerializerSuite):
    class Plugin(Lines):
        def dump(self, models):
            for model in models:
                model.metadata.details["written"] = True
                yield line(model)

    caught_by = "test_records_are_left_as_they_were"


class TestPrints(SerializerSuite):
    class Plugin(Lines):
        def dump(self, models):
            print("writing")  # noqa: T201 - what the kit has to catch
            yield from map(line, models)

    caught_by = "test_nothing_is_run_written_or_printed"


class TestWritesNamesOnly(SerializerSuite):
    class Plugin(Lines):
        def dump(self, models):
            for model in models:
                yield json.dumps([model.path]).encode() + b"\n"

    caught_by = "test_a_registry_is_written_by_its_name"
