from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelshelf.registry.fits import host_room
from modelshelf.testing import CommandLine, ModelFiles
from tests.plugins.modelshelf_gguf.forge import write_llama

FIELDS = [
    "weights_bytes",
    "kv_bytes",
    "state_bytes",
    "compute_low_bytes",
    "compute_high_bytes",
    "output_bytes",
    "overhead_bytes",
    "total_bytes",
    "context",
    "context_max",
    "verdict",
    "exact",
    "estimated",
    "unknown",
]


@pytest.fixture
def shelf(tmp_path: Path) -> CommandLine:
    models = tmp_path / "models"
    (models / "tiny").mkdir(parents=True)
    write_llama(models / "tiny" / "tiny.gguf")
    ModelFiles(models).sound("safetensors", name="other")
    command_line = CommandLine(tmp_path / "cli")
    command_line.run("scan", models)
    ids = [one["id"] for one in command_line.run("ls", "--json").json]
    assert len(ids) == 2
    return command_line


def gguf_id(shelf: CommandLine) -> str:
    (one,) = [one["id"] for one in shelf.run("ls", "--json").json if one["metadata"]["format"] == "gguf"]
    return str(one)


def test_a_model_that_fits_ends_with_0_and_names_every_item(shelf):
    outcome = shelf.run("fit", gguf_id(shelf), "--memory", "24G", "--ram", "8G", "--json")
    assert list(outcome.json) == FIELDS
    assert (outcome.code, outcome.json["verdict"], outcome.json["unknown"]) == (0, "fits", [])
    assert outcome.json["kv_bytes"] == 4096 * 2 * 2 * 2 * 8 * 2  # cells, layers, K and V, heads, width, f16
    assert outcome.json["context_max"] == 4096


def test_a_model_that_does_not_fit_ends_with_1_and_says_what_it_lacks(shelf):
    outcome = shelf.run("fit", gguf_id(shelf), "--memory", "1G", "--ram", "1K", "--json")
    assert outcome.code == 1
    assert outcome.json["verdict"].startswith("lacks ")
    assert outcome.json["context_max"] is None


def test_a_device_that_is_too_small_leaves_layers_on_the_host(shelf):
    outcome = shelf.run("fit", gguf_id(shelf), "--memory", "1M", "--ram", "8G")
    assert outcome.code == 0
    assert "layers on the host" in outcome.out


def test_what_nobody_can_estimate_ends_with_3_and_has_no_total(shelf):
    (other,) = {one["id"] for one in shelf.run("ls", "--json").json} - {gguf_id(shelf)}
    outcome = shelf.run("fit", other, "--memory", "24G", "--json")
    assert (outcome.code, outcome.json["verdict"], outcome.json["total_bytes"]) == (3, "unknown", None)
    assert outcome.json["unknown"]


QWEN3 = {
    "model_type": "qwen3",
    "num_hidden_layers": 36,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "intermediate_size": 12288,
    "max_position_embeddings": 40960,
}


@pytest.mark.parametrize("engine", [None, "transformers", "vllm", "mlx"])
def test_a_safetensors_model_is_judged_by_its_config_and_no_file_is_opened(tmp_path, engine):
    models = tmp_path / "models"
    one = ModelFiles(models).sound("safetensors", name="qwen")
    (one.parent / "config.json").write_text(json.dumps(QWEN3))
    shelf = CommandLine(tmp_path / "cli")
    shelf.run("scan", models)
    (found,) = [one["id"] for one in shelf.run("ls", "--json").json]
    for path in one.parent.iterdir():
        path.unlink()
    wanted = ("--engine", engine) if engine else ()
    outcome = shelf.run("fit", found, "--memory", "24G", "--ram", "8G", "--json", *wanted)
    assert (outcome.code, outcome.json["verdict"], outcome.json["unknown"]) == (0, "fits", [])
    element = 2 if engine == "vllm" else 4  # which takes 32-bit models as 16-bit ones
    assert outcome.json["kv_bytes"] == 4096 * 36 * 2 * 8 * 128 * element
    assert set(outcome.json["exact"]) >= {"weights", "kv"}
    small = shelf.run("fit", found, "--memory", "1G", "--ram", "8G", "--json", *wanted)
    assert (small.code, small.json["verdict"][:5]) == (1, "lacks")
    shown = shelf.run("fit", found, "--memory", "24G", *wanted)
    assert f"engine: {engine or 'transformers'}" in shown.out


def test_an_engine_that_does_not_run_the_format_is_unknown(shelf):
    outcome = shelf.run("fit", gguf_id(shelf), "--engine", "vllm", "--json")
    assert (outcome.code, outcome.json["total_bytes"]) == (3, None)
    assert "vllm" in " ".join(outcome.json["unknown"])


def test_the_list_has_every_model_and_ends_with_0(shelf):
    outcome = shelf.run("fit", "--memory", "1G", "--ram", "1M")
    assert outcome.code == 0
    assert "VERDICT" in outcome.out
    assert len(outcome.out.splitlines()) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        ("--memory", "much"),
        ("--memory", "0"),
        ("--ctx", "-1"),
        ("--cache-k", "q2"),
        ("--cache-v", "q8_0", "--no-flash"),
        ("--parallel", "0"),
    ],
)
def test_a_wrong_size_or_type_is_wrong_use(shelf, wrong):
    assert shelf.run("fit", gguf_id(shelf), *wrong).code == 2


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_a_control_group_limits_the_hosts_memory(tmp_path):
    assert host_room(str(tmp_path)) == (None, "")
    write(tmp_path, "proc/meminfo", "MemTotal: 4000 kB\nMemAvailable: 2000 kB\n")
    assert host_room(str(tmp_path)) == (2000 << 10, "/proc/meminfo MemAvailable")
    write(tmp_path, "sys/fs/cgroup/memory.max", "max\n")
    write(tmp_path, "sys/fs/cgroup/memory.current", "100\n")
    assert host_room(str(tmp_path))[0] == 2000 << 10
    write(tmp_path, "sys/fs/cgroup/memory.max", "1100\n")
    assert host_room(str(tmp_path)) == (1000, "/sys/fs/cgroup/memory.max")
