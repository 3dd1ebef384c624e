from __future__ import annotations

import pytest

from modelshelf.model.query import SORT_KEYS


@pytest.fixture
def stocked(project):
    """Three models of different kinds."""
    project.gguf("tiny", folder="tiny")
    project.safetensors("small")
    project.truncated("broken")
    project.run("scan", project.models)
    return project


def ids(outcome):
    assert outcome.code == 0, outcome
    return [one["id"] for one in outcome.json]


def test_ls_lists_what_a_scan_recorded(stocked):
    assert [line.split()[0] for line in stocked.run("ls").done().lines] == ["ID", "broken", "small", "tiny"]


def test_json_is_an_array_of_records_with_nested_metadata(stocked):
    records = stocked.run("ls", "--format", "json").done().json
    tiny = next(one for one in records if one["id"] == "tiny")
    assert {"id", "version", "path", "locations", "health_status", "use_count", "metadata"} <= tiny.keys()
    assert tiny["metadata"]["architecture"] == "llama"
    assert stocked.run("ls", "--json").json == records


@pytest.mark.parametrize("name", ["json", "jsonl", "csv", "yaml", "openai"])
def test_every_format_names_every_model(stocked, name):
    out = stocked.run("ls", "--format", name).done().out
    assert all(model_id in out for model_id in ("broken", "small", "tiny"))


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (["tin"], ["tiny"]),
        (["--model-format", "gguf"], ["broken", "tiny"]),
        (["--arch", "LLAMA", "--health", "healthy"], ["tiny"]),
        (["--health", "unhealthy"], ["broken"]),
        (["--min-context", "2049"], []),
        (["--max-params", "100"], ["small"]),
        (["--min-params", "0.1K", "--health", "healthy"], ["tiny"]),
        (["--missing"], []),
        (["--present", "--limit", "1"], ["broken"]),
        (["--disabled"], []),
    ],
)
def test_conditions_narrow_the_list(stocked, conditions, found):
    assert ids(stocked.run("ls", "--json", *conditions)) == found


def test_the_order_can_be_chosen_and_turned_round(stocked):
    assert ids(stocked.run("ls", "--json", "--sort", "id", "-r")) == ["tiny", "small", "broken"]
    by_size = stocked.run("ls", "--json", "--sort", "size").json
    sizes = [one["metadata"]["size_bytes"] for one in by_size]
    assert sizes == sorted(sizes)


def test_help_names_every_key_to_sort_by(project):
    text = project.run("ls", "--help").done().out
    assert all(key in text for key in SORT_KEYS)


def test_the_default_model_is_marked(stocked):
    stocked.run("default", "small")
    (line,) = [line for line in stocked.run("ls").lines if line.endswith("*")]
    assert line.startswith("small ")


def test_a_missing_model_is_marked(stocked):
    (stocked.models / "tiny/tiny.gguf").unlink()
    stocked.run("scan", stocked.models)
    (line,) = [line for line in stocked.run("ls").lines if line.startswith("tiny ")]
    assert "missing" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sort", "colour"],
        ["--health", "fine"],
        ["--format", "docx"],
        ["--min-params", "many"],
        ["--limit", "-1"],
        ["--nosuch"],
    ],
)
def test_wrong_use_is_exit_code_2_with_the_word_that_is_wrong(stocked, arguments):
    outcome = stocked.run("ls", *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert arguments[-1] in outcome.err


def test_an_unknown_format_names_the_known_ones(stocked):
    assert "jsonl" in stocked.run("ls", "--format", "docx").err


def test_an_empty_registry_is_no_fault(project):
    outcome = project.run("ls")
    assert (outcome.code, outcome.out) == (0, "")
    assert "modelshelf scan PATH" in outcome.err
    assert project.run("ls", "--json").done().json == []


def test_nothing_is_shortened_in_a_pipe(project):
    name = "n" * 150
    project.gguf("x", folder=name)
    project.scanned()
    assert project.run("ls").lines[1].startswith(name)
