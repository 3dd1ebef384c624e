"""modelshelf doctor: what is wrong is named, what can be saved is saved."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from modelshelf import ModelRegistry
from modelshelf.records.write import Records

MODELS = 12


@pytest.fixture
def store(project) -> Path:
    return project.root.parent / "store"


@pytest.fixture
def stocked(project):
    """A project of models, each with a name of its own by hand, one of them pinned and the default."""
    for number in range(MODELS):
        project.gguf(f"m{number:02}", folder=f"m{number:02}", general_description=f"number {number}")
    project.run("scan", project.models)
    for number in range(MODELS):
        project.run("set", f"m{number:02}", f"display_name=Name {number}", f"aliases=a{number}").done()
    project.run("default", "m05").done()
    project.run("pin", "m03", "1.0.0").done()
    return project


def flip(store: Path, *keys: bytes) -> None:
    """Flip a bit in the value of each record with one of the keys, wherever a copy of it lies."""
    data = bytearray((store / "data.mdb").read_bytes())
    for key in keys:
        places = [one for one in range(len(data)) if data.startswith(key, one) and data[one + len(key)] == 1]
        assert places
        for place in places:
            data[place + len(key) + 10] ^= 4
    (store / "data.mdb").write_bytes(data)


def names(project) -> dict[str, str]:
    return {one["id"]: one["display_name"] for one in project.run("ls", "--json").done().json}


def codes(outcome) -> set[str]:
    return {one["code"] for one in outcome.json["findings"] if one["severity"] != "info"}


def test_a_sound_store_is_said_to_be_so(stocked):
    outcome = stocked.run("doctor").done()
    assert outcome.lines[-1].endswith("nothing is wrong with the store or the plugins.")
    assert stocked.run("doctor", "--json").done().json["sound"] is True


def test_without_a_store_nothing_is_wrong_and_nothing_is_made(project, store):
    assert "no-store" in project.run("doctor").done().out
    assert "no-store" in project.run("doctor", "--repair").done().out
    assert not store.exists()


def test_a_damaged_record_is_named_with_what_a_repair_would_do(stocked, store):
    flip(store, b"m\0m07\x001.0.0")
    outcome = stocked.run("doctor", "--json")
    assert outcome.code == 1
    assert "record-damaged" in codes(outcome)
    plan = outcome.json["repair_would"]
    assert plan["salvaged"] == MODELS - 1
    assert [one["id"] for one in plan["lost"]] == ["m07"]
    assert "doctor --repair" in stocked.run("doctor").out


def test_a_repair_saves_every_other_record_and_rebuilds_the_damaged_one(stocked, store):
    before = names(stocked)
    flip(store, b"m\0m07\x001.0.0")
    damaged = (store / "data.mdb").read_bytes()
    outcome = stocked.run("doctor", "--repair")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"{MODELS - 1} records saved, 1 rebuilt from their files, 0 lost" in outcome.out
    assert names(stocked) == before | {"m07": "m07"}
    assert stocked.run("default").done().out == "m05\n"
    assert stocked.run("show", "--json", "a4").done().json["id"] == "m04"
    with ModelRegistry(metadata_path=store) as registry:
        assert registry.store.view(lambda state: Records(state).pinned("m03")) == "1.0.0"
    [kept] = store.glob("data.mdb.damaged-*")
    assert kept.read_bytes() == damaged
    assert stocked.run("doctor", "--json").done().json["sound"] is True


def test_what_cannot_be_rebuilt_is_named_as_lost_with_exit_code_1(stocked, store):
    flip(store, b"m\0m07\x001.0.0")
    (stocked.models / "m07" / "m07.gguf").unlink()
    outcome = stocked.run("doctor", "--repair", "--json")
    assert outcome.code == 1
    [lost] = outcome.json["repaired"]["lost"]
    assert (lost["id"], lost["version"]) == ("m07", "1.0.0")
    assert lost["paths"] == [str(stocked.models / "m07" / "m07.gguf")]
    assert stocked.run("doctor").code == 0


def test_a_record_under_a_damaged_key_is_saved_with_all_that_was_set(stocked, store):
    before = names(stocked)
    data = bytearray((store / "data.mdb").read_bytes())
    key = b"m\0m07\x001.0.0"
    for place in [one for one in range(len(data)) if data.startswith(key, one) and data[one + len(key)] == 1]:
        data[place + 3] ^= 8
    (store / "data.mdb").write_bytes(data)
    assert stocked.run("doctor").code == 1
    outcome = stocked.run("doctor", "--repair")
    assert outcome.code == 0
    assert f"{MODELS} records saved, 0 rebuilt from their files, 0 lost" in outcome.out
    assert names(stocked) == before


def test_what_an_older_state_still_has_is_taken_from_there_and_reported(stocked, store):
    data = bytearray((store / "data.mdb").read_bytes())
    keys = [b"m\0m%02d\x001.0.0" % number for number in range(MODELS)]
    with ModelRegistry(metadata_path=store) as registry:
        newest = registry.store.view(lambda state: {key: state.get(key) for key in keys})
    for key in keys[2:4]:  # the current copies alone
        place = data.index(newest[key])
        while place >= 0:
            data[place + 20] ^= 1
            place = data.find(newest[key], place + 1)
    (store / "data.mdb").write_bytes(data)
    outcome = stocked.run("doctor", "--repair", "--json")
    repaired = outcome.json["repaired"]
    assert set(repaired["older"]) <= {"m02", "m03"}
    assert repaired["salvaged"] + repaired["rebuilt"] == MODELS
    assert outcome.code == 0


@pytest.mark.parametrize("page", [0, 1])
def test_a_store_whose_meta_page_is_gone_is_repaired(stocked, store, page):
    before = names(stocked)
    with (store / "data.mdb").open("r+b") as file:
        file.seek(page * 4096)
        file.write(bytes(4096))
    assert codes(stocked.run("doctor", "--json")) == {"store-damaged"}
    assert stocked.run("doctor", "--repair").err == ""
    assert names(stocked) == before
    assert stocked.run("doctor", "--json").done().json["sound"] is True


def test_a_damaged_default_falls_to_another_model(stocked, store):
    flip(store, b"m\0m05\x001.0.0", b"s\0default")
    assert stocked.run("doctor", "--repair").code == 0
    assert stocked.run("default").done().out in {f"m{number:02}\n" for number in range(MODELS)}


def test_a_store_that_a_program_uses_is_not_repaired(stocked, store):
    flip(store, b"m\0m07\x001.0.0")
    hold = (
        "from modelshelf import ModelRegistry\nimport sys\nwith ModelRegistry(metadata_path=sys.argv[1]):\n"
    )
    line = [sys.executable, "-c", hold + "    print('in', flush=True); sys.stdin.read()\n", store]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "in\n"
        outcome = stocked.run("doctor", "--repair")
        assert outcome.code == 1
        assert "has the store open" in outcome.err
        other.stdin.close()
    assert stocked.run("doctor", "--repair").code == 0


def test_tables_that_do_not_fit_each_other_are_named_and_mended(stocked, store):
    def work(state):
        records = Records(state)
        records.set_default("nobody")
        state.delete(b"c\0" + records.current("m01").content_digest)
        state.delete(b"a\0a2")
        records._put(b"a\0ghost", "nobody")
        records._put(b"p\0ghost", "1.0.0")
        state.delete(b"l\0" + os.fsencode(records.current("m03").path))

    with ModelRegistry(metadata_path=store) as registry:
        registry.store.update(work)
    assert codes(stocked.run("doctor", "--json")) == {
        "dangling-default",
        "index-lacks-content",
        "index-lacks-alias",
        "dangling-alias",
        "dangling-pin",
        "index-lacks-place",
    }
    assert f"{MODELS} records saved, 0 rebuilt" in stocked.run("doctor", "--repair").out
    assert stocked.run("doctor", "--json").done().json["sound"] is True
    assert stocked.run("show", "--json", "a2").done().json["id"] == "m02"


def test_a_store_of_a_newer_release_is_left_alone(stocked, store):
    def work(state):
        key = b"m\0m01\x001.0.0"
        value = bytearray(state.get(key))
        value[0] = 99
        struct.pack_into("<I", value, 1, zlib.crc32(value[5:], zlib.crc32(value[:1], zlib.crc32(key))))
        state.put(key, bytes(value))

    with ModelRegistry(metadata_path=store) as registry:
        registry.store.update(work)
    flip(store, b"m\0m07\x001.0.0")
    before = (store / "data.mdb").read_bytes()
    outcome = stocked.run("doctor", "--repair")
    assert outcome.code == 1
    assert "upgrade modelshelf" in outcome.err
    assert (store / "data.mdb").read_bytes() == before


def test_modes_are_reported_with_the_command_that_sets_them(stocked, store):
    store.chmod(0o755)
    (store / "data.mdb").chmod(0o644)
    outcome = stocked.run("doctor")
    assert outcome.code == 1
    assert "`chmod 700` it" in outcome.out
    assert "`chmod 600` it" in outcome.out


def test_a_plugin_that_fails_or_misspells_a_hook_is_reported(stocked, site):
    (site / "odd.py").write_text("def modelshelf_formts():\n    return []\n")
    (site / "broken.py").write_text("import nothing_of_that_name\n")
    info = site / "odd-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: odd\nVersion: 1.0\nRequires-Dist: not-there-at-all\n"
    )
    (info / "entry_points.txt").write_text("[modelshelf]\nodd = odd\nbroken = broken\n")
    outcome = stocked.run("doctor", "--json")
    assert outcome.code == 1
    messages = " ".join(one["message"] for one in outcome.json["findings"])
    assert codes(outcome) == {"plugin-failed", "missing-dependency"}
    assert "modelshelf_formts" in messages
    assert "nothing_of_that_name" in messages
    assert "needs not-there-at-all" in messages


def test_whatever_the_damage_a_repair_leaves_a_sound_store_with_every_model(tmp_path):
    line = [sys.executable, "-m", "tests.core.cli.repairs", str(tmp_path / "repairs"), "--count", "8"]
    root = Path(__file__).resolve().parents[3]
    ran = subprocess.run(line, cwd=root, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
