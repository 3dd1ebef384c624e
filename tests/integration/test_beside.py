"""What lies beside weights counts for their verdict, through a whole scan and every scan after it."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from modelshelf import HealthStatus, ModelRegistry, Query

ATTACK = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R."
ARGUMENTS = b"\x80\x02ctransformers.training_args\nTrainingArguments\n)\x81}X\x01\x00\x00\x00aK\x01sb."
REACHING = b"{{ x['__cl' ~ 'ass__'] }}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "org-model"
    home.mkdir()
    save_file({"a": torch.ones(4)}, home / "model.safetensors")
    return home


def health(home: Path) -> dict[str, HealthStatus]:
    """The health of each record after a scan, by the name of its file."""
    with ModelRegistry(home, home.parent / "store") as registry:
        registry.discover_models()
        return {Path(one.locations[0].path).name: one.health_status for one in registry.find(Query())}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("training_args.bin", ARGUMENTS, HealthStatus.HEALTHY),
        ("training_args.bin", ATTACK, HealthStatus.UNHEALTHY),
        ("optimizer.pt", ATTACK, HealthStatus.UNHEALTHY),
        ("model.optimizer.pt", ATTACK, HealthStatus.UNHEALTHY),
        ("tokenizer.pkl", ATTACK, HealthStatus.UNHEALTHY),
        ("tokenizer.model", ATTACK, HealthStatus.UNHEALTHY),
        ("kernel.so", b"\x7fELF", HealthStatus.DEGRADED),
        ("chat_template.jinja", REACHING, HealthStatus.DEGRADED),
        ("additional_chat_templates/rag.jinja", REACHING, HealthStatus.DEGRADED),
        ("chat_templates/rag.jinja", b"x" * (2 << 20), HealthStatus.UNKNOWN),
        ("processor_config.json", b'{"auto_map": {"A": "o/r--m.C"}}', HealthStatus.DEGRADED),
    ],
)
def test_what_lies_beside_weights_counts_for_them_also_where_it_came_later(home, name, content, expected):
    assert health(home) == {"model.safetensors": HealthStatus.HEALTHY}
    (home / name).parent.mkdir(exist_ok=True)
    (home / name).write_bytes(content)
    assert health(home)["model.safetensors"] is expected
    (home / name).unlink()
    assert health(home)["model.safetensors"] is HealthStatus.HEALTHY


def test_honest_training_state_leaves_a_model_healthy(home):
    states = {"python": random.getstate(), "numpy": np.random.RandomState(0).get_state()}
    torch.save({**states, "cpu": torch.random.get_rng_state()}, home / "rng_state.pth")
    (home / "random_states_0.pkl").write_bytes(pickle.dumps(states))
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), home / "optimizer.pt")
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    torch.save(scheduler.state_dict(), home / "scheduler.pt")
    torch.save({"scale": 1.0}, home / "scaler.pt")
    (home / "training_args.bin").write_bytes(ARGUMENTS)
    assert health(home) == {"model.safetensors": HealthStatus.HEALTHY}


def test_a_template_that_changes_in_its_folder_is_judged_anew(home):
    template = home / "additional_chat_templates" / "rag.jinja"
    template.parent.mkdir()
    template.write_bytes(b"{{ x }}")
    assert health(home) == {"model.safetensors": HealthStatus.HEALTHY}
    template.write_bytes(REACHING)
    assert health(home) == {"model.safetensors": HealthStatus.DEGRADED}


def test_in_a_folder_of_several_models_a_pickle_fails_the_one_whose_stem_it_bears_or_itself(home):
    save_file({"a": torch.zeros(4)}, home / "other.safetensors")
    (home / "optimizer.pt").write_bytes(ATTACK)
    (home / "other.training_args.bin").write_bytes(ATTACK)
    assert health(home) == {
        "model.safetensors": HealthStatus.HEALTHY,
        "other.safetensors": HealthStatus.UNHEALTHY,
        "optimizer.pt": HealthStatus.UNHEALTHY,
    }
