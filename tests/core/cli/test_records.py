"""show, set, default, rm, check and why: one model at a time."""

from __future__ import annotations

import pytest

from modelshelf.cli.options import DEPTHS
from modelshelf.cli.set import settable
from modelshelf.model import Depth


@pytest.fixture
def stocked(project):
    project.gguf("tiny", folder="tiny")
    project.safetensors("small")
    project.run("scan", project.models)
    return project


def fact(outcome, name):
    (line,) = [line for line in outcome.done().lines if line.split()[:1] == [name]]
    return line.split(maxsplit=1)[1]


def test_show_tells_each_value_with_where_it_was_read(stocked):
    outcome = stocked.run("show", "tiny")
    assert fact(outcome, "context_length").startswith("2048 ")
    assert "header: llama.context_length" in fact(outcome, "context_length")
    for section in ("Metadata", "Settings", "Versions", "Places"):
        assert section in outcome.lines
    assert str(stocked.models / "tiny/tiny.gguf") in outcome.out


def test_show_tells_how_deep_the_last_look_went(stocked):
    assert fact(stocked.run("show", "tiny"), "checked_at").endswith("at depth header")
    stocked.run("check", "--depth", "full", "tiny").done()
    assert fact(stocked.run("show", "tiny"), "checked_at").endswith("at depth full")


def test_show_tells_findings_with_their_severity(project):
    project.truncated("broken")
    project.run("scan", project.models)
    outcome = project.run("show", "broken").done()
    assert outcome.lines[1].strip() == "incomplete"
    assert outcome.lines[2].strip().startswith("error: ")


def test_show_json_is_the_record_with_its_versions(stocked):
    record = stocked.run("show", "--json", "tiny").done().json
    assert record["versions"] == [record["version"]]
    assert record["metadata"]["context_length"] == 2048


def test_an_older_version_can_be_shown(stocked):
    old = stocked.run("show", "--json", "tiny").json["version"]
    stocked.gguf("tiny", folder="tiny", general_description="changed")
    stocked.run("scan", stocked.models)
    record = stocked.run("show", "--json", "tiny").json
    assert record["version"] != old
    assert record["versions"] == [record["version"], old]
    assert stocked.run("show", "--json", "tiny", old).json["version"] == old


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nosuch"),
        ("show", "tiny", "9.9.9"),
        ("default", "nosuch"),
        ("rm", "nosuch"),
        ("rm", "tiny", "9.9.9"),
        ("set", "nosuch", "enabled=no"),
        ("check", "nosuch"),
    ],
)
def test_an_unknown_id_is_exit_code_1_and_named(stocked, arguments):
    outcome = stocked.run(*arguments)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("modelshelf: error: model ")
    assert f"{arguments[1]!r}" in outcome.err


def test_text_that_is_no_version_is_wrong_use(stocked):
    assert stocked.run("show", "tiny", "one").code == 2


def test_what_is_set_is_shown_and_outlives_a_rescan(stocked):
    stocked.run(
        "set", "tiny", "display_name=The Tiny One", "max_tokens=512", "temperature=0.5", "tags=a, b"
    ).done()
    stocked.gguf("tiny", folder="tiny", general_description="changed")
    stocked.run("scan", "--force", stocked.models)
    record = stocked.run("show", "--json", "tiny").json
    assert (record["display_name"], record["max_tokens"], record["temperature"]) == ("The Tiny One", 512, 0.5)
    assert record["metadata"]["tags"] == ["a", "b"]
    assert "set by hand" in fact(stocked.run("show", "tiny"), "max_tokens")


def test_none_unsets(stocked):
    stocked.run("set", "tiny", "max_tokens=512", "license=MIT", "aliases=t")
    shown = (
        stocked.run("set", "--json", "tiny", "max_tokens=none", "license=none", "aliases=none").done().json
    )
    assert shown.get("max_tokens") is None
    assert shown["metadata"].get("license") is None
    assert not shown.get("aliases")


def test_an_alias_answers(stocked):
    stocked.run("set", "tiny", "aliases=t,the-tiny-one").done()
    assert stocked.run("show", "--json", "the-tiny-one").json["id"] == "tiny"


@pytest.mark.parametrize("word", ["no", "False", "off", "0"])
def test_a_switch_takes_the_words_people_use(stocked, word):
    assert stocked.run("set", "--json", "tiny", f"enabled={word}").done().json["enabled"] is False


@pytest.mark.parametrize(
    "change",
    [
        "enabled=maybe",
        "max_tokens=many",
        "max_tokens=0",
        "temperature=-1",
        "temperature=nan",
        "context_length=-5",
        "nonsense",
        "max_workers=1.5",
    ],
)
def test_a_value_that_cannot_be_is_exit_code_2_and_names_the_model(stocked, change):
    before = stocked.run("show", "--json", "tiny").json
    outcome = stocked.run("set", "tiny", change)
    assert (outcome.code, outcome.out) == (2, "")
    assert "'tiny'" in outcome.err
    assert stocked.run("show", "--json", "tiny").json == before


def test_one_wrong_change_undoes_its_neighbours(stocked):
    assert stocked.run("set", "tiny", "enabled=no", "max_tokens=0").code == 2
    assert stocked.run("show", "--json", "tiny").json["enabled"] is True


def test_an_unknown_key_is_exit_code_2_and_lists_the_keys(stocked):
    outcome = stocked.run("set", "tiny", "colour=red")
    assert outcome.code == 2
    assert all(key in outcome.err for key in settable())


def test_every_setting_of_the_seed_can_be_set():
    keys = {"display_name", "enabled", "preload", "max_workers", "max_tokens", "temperature", "aliases"}
    assert keys | {"tags", "license", "architecture", "context_length"} <= settable().keys()
    assert not {"id", "path", "findings", "provenance", "details"} & settable().keys()


def test_default_is_the_first_until_it_is_set(stocked):
    assert stocked.run("default").done().out.strip() == "tiny"  # the kind of the other one is unknown
    stocked.run("default", "small").done()
    assert stocked.run("default").done().out == "small\n"
    assert stocked.run("default", "--json").json == {"default": "small"}


def test_no_default_is_exit_code_1(project):
    outcome = project.run("default")
    assert (outcome.code, outcome.out) == (1, "")
    assert project.run("default", "--json").json == {"default": None}


@pytest.mark.parametrize("why", ["missing", "disabled"])
def test_a_default_that_is_not_available_is_none_and_says_why(stocked, why):
    stocked.run("default", "tiny").done()
    if why == "missing":
        (stocked.models / "tiny/tiny.gguf").unlink()
        stocked.run("scan", stocked.models)
    else:
        stocked.run("set", "tiny", "enabled=no").done()
    outcome = stocked.run("default")
    assert (outcome.code, outcome.out) == (1, "")
    assert f"the default, tiny, is {why}" in outcome.err
    assert stocked.run("default", "--json").json == {"default": None}
    (line,) = [line for line in stocked.run("ls").lines if line.startswith("tiny ")]
    assert line.endswith("*")  # as it was set
    assert why in line


def test_a_missing_model_is_never_shown_as_healthy(stocked):
    assert "  healthy" in stocked.run("show", "tiny").lines
    (stocked.models / "tiny/tiny.gguf").unlink()
    stocked.run("scan", stocked.models)
    lines = stocked.run("show", "tiny").lines
    assert "  missing" in lines
    assert "  healthy" not in lines
    assert stocked.run("show", "--json", "tiny").json["health_status"] == "unknown"
    assert "tiny" not in stocked.run("ls", "--health", "healthy").out


def test_rm_forgets_the_record_and_leaves_the_file(stocked):
    stocked.run("rm", "tiny").done()
    assert [one["id"] for one in stocked.run("ls", "--json").json] == ["small"]
    assert (stocked.models / "tiny/tiny.gguf").exists()


def test_rm_can_forget_one_version(stocked):
    old = stocked.run("show", "--json", "tiny").json["version"]
    stocked.gguf("tiny", folder="tiny", general_description="changed")
    stocked.run("scan", stocked.models)
    assert stocked.run("rm", "--json", "tiny", old).done().json == {"removed": "tiny", "version": old}
    assert old not in stocked.run("show", "--json", "tiny").json["versions"]


def test_check_sees_what_happened_since_the_scan(stocked):
    path = stocked.models / "tiny/tiny.gguf"
    assert stocked.run("check", "tiny").done().lines[1].split()[:2] == ["tiny", "healthy"]
    path.write_bytes(path.read_bytes()[:-64])
    outcome = stocked.run("check")
    assert outcome.code == 1
    assert outcome.lines[-1] == "2 models checked: 1 healthy, 1 incomplete."
    assert stocked.run("show", "--json", "tiny").json["health_status"] == "unhealthy"


@pytest.mark.parametrize("depth", DEPTHS)
def test_check_looks_as_deep_as_it_is_reported(stocked, depth):
    reports = stocked.run("check", "--depth", depth, "--json").done().json
    assert {one["depth"] for one in reports.values()} == {depth}


def test_the_depths_are_the_cores():
    assert tuple(depth.value for depth in Depth) == DEPTHS


def test_why_tells_the_rules_of_a_model_and_of_a_file_that_is_none(stocked):
    (stocked.models / "notes.txt").write_text("hello")
    admitted = stocked.run("why", stocked.models / "tiny/tiny.gguf").done()
    assert "modelshelf[gguf]" in admitted.out
    assert "registered as tiny" in admitted.out
    refused = stocked.run("why", "--json", stocked.models / "notes.txt").done().json
    assert "skipped" in {one["verdict"] for one in refused}


def test_why_tells_whether_a_foreign_ending_is_looked_into(project):
    def ending(path):
        report = project.run("why", "--json", path).json
        return next((one["verdict"], one["message"]) for one in report if one["rule"] == "ending")

    model = project.gguf()
    odd = model.rename(model.with_name("notes.txt"))
    assert ending(odd) == (
        "skipped",
        ".txt: no model file ends so; opened at depth full, or where it is named",
    )
    project.run("scan", odd).done()
    assert ending(odd)[0] == "noted"
    unknown = model.with_name("data.dat")
    unknown.write_bytes(b"hello")
    assert "neither its ending .dat nor its content is known" in project.run("why", unknown).out


def test_why_needs_no_earlier_scan(project):
    path = project.gguf()
    assert "gguf" in project.run("why", path).done().out
