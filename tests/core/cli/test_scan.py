from __future__ import annotations

import gguf
import torch


def test_a_scan_shows_each_model_in_one_aligned_row(project):
    project.gguf("tiny")
    project.safetensors("small")
    done = project.run("scan", project.models).done()
    heading, first, second = done.lines[:3]
    assert heading.split() == [
        "ID",
        "VERSION",
        "KIND",
        "FORMAT",
        "ARCH",
        "QUANT",
        "PARAMS",
        "CONTEXT",
        "SIZE",
        "VERDICT",
    ]
    assert {first.split()[0], second.split()[0]} == {"small", "tiny"} or len({first, second}) == 2
    tiny = next(line for line in (first, second) if " gguf " in line)
    assert tiny[heading.index("FORMAT") :].startswith("gguf ")
    assert "2048" in tiny
    assert "healthy" in tiny


def test_the_counters_stand_in_words_on_the_last_line(project):
    project.gguf()
    assert project.run("scan", project.models).lines[-1].startswith("1 model in 1 folder: 1 new; ")
    assert (
        project.run("scan", project.models)
        .lines[-1]
        .startswith("1 model in 1 folder: 1 unchanged; 0 B read ")
    )


def test_a_second_scan_shows_the_unchanged_models_too(project):
    project.gguf()
    first = project.run("scan", project.models).lines
    assert project.run("scan", project.models).lines[:2] == first[:2]


def test_an_unhealthy_model_is_named_with_its_worst_finding_and_the_exit_code_is_1(project):
    project.gguf("sound", folder="sound")
    project.truncated("broken")
    outcome = project.run("scan", project.models)
    assert outcome.code == 1
    start = outcome.lines.index("Incomplete")
    assert outcome.lines[start + 1].startswith("  broken  ")
    assert "sound" not in outcome.lines[start + 1]


def test_an_unfinished_download_is_listed_with_its_size_and_is_no_fault(project):
    (project.models / "big.gguf.part").write_bytes(bytes(1500))
    outcome = project.run("scan", project.models).done()
    start = outcome.lines.index("Unfinished downloads")
    assert "1.5 kB" in outcome.lines[start + 1]
    assert "big.gguf.part" in outcome.lines[start + 1]
    assert "1 unfinished download" in outcome.lines[-2]


def test_a_place_that_is_not_there_is_a_problem_and_the_exit_code_is_1(project):
    outcome = project.run("scan", project.models / "nowhere")
    assert outcome.code == 1
    assert "Problems" in outcome.lines
    assert "nowhere" in outcome.out


def test_many_problems_are_cut_short_and_say_where_the_rest_is(project):
    places = [project.models / f"nowhere-{number:02}" for number in range(15)]
    outcome = project.run("scan", *places)
    assert sum("nowhere-" in line for line in outcome.lines) == 10
    assert "  … and 5 more, see `modelshelf scan --json`" in outcome.lines
    assert len(project.run("scan", "--json", *places).json["problems"]) == 15


def test_json_holds_counters_problems_and_records_and_nothing_else_is_written(project):
    project.gguf()
    report = project.run("scan", "--json", project.models).done().json
    assert (report["models_found"], report["models_added"], report["errors"]) == (1, 1, 0)
    assert report["problems"] == report["unfinished"] == []
    assert report["models"] == project.run("ls", "--json").json


def test_only_the_models_of_the_named_place_are_shown(project):
    project.gguf("one", folder="one")
    path = project.gguf("two", folder="two", general_description="another")
    project.run("scan", project.models)
    report = project.run("scan", "--json", project.models / "two").json
    assert [one["path"] for one in report["models"]] == [str(path)]


def test_a_copy_in_the_named_place_is_shown_though_its_record_began_elsewhere(project):
    project.gguf("one", folder="one")
    project.run("scan", project.models)
    project.gguf("two", folder="two")
    report = project.run("scan", "--json", project.models / "two").json
    assert [len(one["locations"]) for one in report["models"]] == [2]


def test_one_file_can_be_scanned(project):
    path = project.gguf("one")
    project.gguf("two")
    assert [one["path"] for one in project.run("scan", "--json", path).json["models"]] == [str(path)]


def test_without_a_path_the_working_directorys_models_are_scanned(project):
    (project.root / "vendor").mkdir()
    project.models.rename(project.root / "vendor/layerModels")
    project.models = project.root / "vendor/layerModels"
    project.gguf()
    assert project.run("scan", "--json").done().json["models_found"] == 1


def test_without_a_path_the_configured_places_are_scanned(project, monkeypatch):
    project.gguf()
    monkeypatch.setenv("MODELSHELF_PATHS", str(project.models))
    assert project.run("scan", "--json").done().json["models_found"] == 1


def test_a_forced_scan_reads_unchanged_models_again(project):
    project.gguf()
    project.run("scan", project.models)
    assert project.run("scan", "--json", project.models).json["bytes_read"] == 0
    assert project.run("scan", "--json", "--force", project.models).json["bytes_read"] > 0


def test_an_empty_place_is_reported_in_words(project):
    outcome = project.run("scan", project.models).done()
    assert "No models there" in outcome.out


def test_a_pytorch_checkpoint_is_shown_and_never_unpickled(project):
    class Trap:
        def __reduce__(self):
            return (open, (str(project.root / "sprung"), "w"))

    torch.save({"weight": torch.zeros(2, 2)}, project.models / "plain.pt")
    torch.save({"weight": Trap()}, project.models / "trap.pt")
    outcome = project.run("scan", "--json", project.models)
    assert not (project.root / "sprung").exists()
    status = {one["path"].rsplit("/", 1)[1]: one["health_status"] for one in outcome.json["models"]}
    assert status == {"plain.pt": "healthy", "trap.pt": "unhealthy"}
    assert outcome.code == 1


def test_hostile_text_of_a_header_is_shown_written_out(project):
    hostile = "x\x1b]0;owned\x07\x9b31m\u202e\u2028\r\n"
    path = project.models / "evil\x1b[2J\u202e.gguf"
    writer = gguf.GGUFWriter(path, "lla\x1b[31mma")
    writer.add_string("general.name", hostile)
    writer.add_string("general.license", hostile)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (model_id,) = project.scanned()
    project.run("set", model_id, f"display_name={hostile}", f"tags={hostile}")
    for arguments in (
        ("scan", project.models),
        ("ls",),
        ("show", model_id),
        ("check",),
        ("why", path),
        ("default",),
        ("set", model_id, "preload=yes"),
        ("-v", "set", model_id, f"license={hostile}"),
        ("show", "no\x1b[31msuch"),
        ("rm", "no\u202esuch"),
        ("scan", "no\x1b[31msuch"),
        ("no\x1b[31msuch",),
        ("ls", "--sort", "\x1b[31m"),
        ("ls", "--format", "\x1b[31m"),
        ("set", model_id, "\x1b[31m=1"),
        ("set", model_id, "max_tokens=\x1b[31m"),
        ("--config", "\x1b[31m", "ls"),
        ("rm", model_id),
    ):
        outcome = project.run(*arguments)
        for text in (outcome.out, outcome.err):
            assert all(line.isprintable() for line in text.split("\n")), (arguments, text)


def test_every_machine_format_escapes_hostile_text(project):
    project.gguf("evil", general_name="x\x1b]0;owned\x07\x9b31m\u202e\u2028")
    (model_id,) = project.scanned()
    project.run("set", model_id, "display_name=\x1b[31m\x9b\u202e")
    for arguments in (
        ("ls", "--json"),
        ("ls", "--format", "jsonl"),
        ("ls", "--format", "openai"),
        ("show", "--json", model_id),
    ):
        assert project.run(*arguments).out.isascii()
        assert "\x1b" not in project.run(*arguments).out
