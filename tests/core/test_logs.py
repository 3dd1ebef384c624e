from __future__ import annotations

import json
import logging
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.logs import JsonFormatter, TextFormatter, configure


class Unwritable:
    def __str__(self):
        raise RuntimeError("no")


def record(message="hello %s", arguments=("world",), **extra):
    made = logging.getLogger("modelshelf.test").makeRecord(
        "modelshelf.test", logging.WARNING, __file__, 1, message, arguments, None, extra=extra
    )
    made.created = 1_700_000_000.25
    return made


def failed(text):
    made = record()
    error = ValueError(text)
    made.exc_info = (ValueError, error, error.__traceback__)
    return made


@pytest.fixture
def _restored():
    log = logging.getLogger("modelshelf")
    before = (log.handlers[:], log.level, log.propagate)
    yield
    log.handlers[:], log.level, log.propagate = before


def test_json_holds_time_level_logger_message_and_the_extra_fields():
    assert json.loads(JsonFormatter().format(record(event="moved", model_id="a"))) == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "warning",
        "logger": "modelshelf.test",
        "message": "hello world",
        "event": "moved",
        "model_id": "a",
    }


def test_json_is_one_line_of_ascii_whatever_a_name_holds():
    line = JsonFormatter().format(record("%s", ("\x1b]0;x\x07\n\u202e\udcff",), path="\x9b\u2028"))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == "\x1b]0;x\x07\n\u202e\udcff"


def test_json_has_no_word_that_json_does_not_know():
    line = JsonFormatter().format(record(a=math.nan, b=math.inf, c={1: b"x"}, d={3}, e=Unwritable()))

    def refuse(word):
        raise AssertionError(word)

    fields = json.loads(line, parse_constant=refuse)
    assert (fields["a"], fields["b"], fields["c"], fields["d"]) == ("nan", "inf", {"1": "b'x'"}, [3])
    assert "Unwritable" in fields["e"]


def test_an_extra_field_cannot_pose_as_the_records_own():
    assert json.loads(JsonFormatter().format(record(level="info", time="never")))["level"] == "warning"


def test_json_holds_the_traceback_as_one_field():
    made = failed("bad\x1b")
    assert "ValueError: bad\x1b" in json.loads(JsonFormatter().format(made))["exception"]


def test_a_value_that_holds_itself_is_written_to_a_limit():
    circular: list[object] = []
    circular.append(circular)
    assert json.loads(JsonFormatter().format(record(held=circular)))["held"]


def test_wrong_arguments_of_a_message_do_not_raise():
    for formatter in (JsonFormatter(), TextFormatter()):
        assert "hello %s" in formatter.format(record("hello %s %s", ("one",)))


@given(st.text(st.characters(codec=None), max_size=40))
@settings(deadline=None, max_examples=200)
def test_text_is_one_printable_line(text):
    line = TextFormatter().format(record("%s", (text,)))
    assert line.isprintable()
    assert line.startswith("modelshelf: warning: ")


def test_a_traceback_in_text_is_neutral_too():
    made = failed("bad\x1b[2J")
    text = TextFormatter().format(made)
    assert "\x1b" not in text
    assert r"ValueError: bad\x1b[2J" in text


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize(
    ("verbosity", "shown"), [(0, ["warning"]), (1, ["info", "warning"]), (2, ["debug", "info", "warning"])]
)
def test_verbosity_opens_the_levels_one_by_one(capsys, verbosity, shown):
    configure("json", verbosity)
    log = logging.getLogger("modelshelf.somewhere")
    log.debug("d")
    log.info("i")
    log.warning("w")
    assert [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()] == shown


@pytest.mark.usefixtures("_restored")
def test_configuring_twice_writes_each_record_once(capsys):
    configure()
    configure()
    logging.getLogger("modelshelf.somewhere").warning("once")
    assert capsys.readouterr().err == "modelshelf: warning: once\n"
