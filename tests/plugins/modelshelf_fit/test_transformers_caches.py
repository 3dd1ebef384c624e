"""Caches that transformers 5.24 allocated for two sequences of 40 tokens, by bfloat16 models of each family.

The rows were made by `allocated` below; where transformers is installed the library is asked again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelshelf.model import MemoryRequest
from modelshelf_companions.config import from_config
from modelshelf_fit.python_engines import estimate

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parent / "transformers_caches.jsonl").read_text(encoding="utf-8").splitlines()
]
TOKENS, SEQUENCES = 40, 2


def allocated(config: dict[str, Any]) -> tuple[int, int]:
    """Bytes of keys and values, and of states, that the real library keeps after one prompt."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    settings = {key: value for key, value in config.items() if key != "model_type"}
    made = transformers.AutoConfig.for_model(config["model_type"], **settings)
    model = transformers.AutoModelForCausalLM.from_config(made, dtype=torch.bfloat16).eval()
    with torch.no_grad():
        output = model(torch.randint(2, 99, (SEQUENCES, TOKENS)), use_cache=True)
    names = ("cache", "past_key_values", "cache_params")
    cache = next(one for name in names if (one := getattr(output, name, None)) is not None)
    pairs, states = [], []
    for layer in cache.layers:
        pairs += [getattr(layer, "keys", None), getattr(layer, "values", None)]
        for name in ("conv_states", "recurrent_states"):
            states += list(getattr(layer, name, {}).values())
    kv, state = (
        sum(one.numel() * one.element_size() for one in found if one is not None) for found in (pairs, states)
    )
    return kv, state


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["config"]["model_type"])
def test_the_estimate_is_what_the_library_allocated(row):
    metadata = from_config({**row["config"], "torch_dtype": "bfloat16"}, "config.json")
    request = MemoryRequest(engine="transformers", context=TOKENS * SEQUENCES, parallel=SEQUENCES)
    answer = estimate(metadata, request)
    assert (answer.kv_bytes, answer.state_bytes) == (row["kv"], row["state"])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["config"]["model_type"])
def test_the_library_allocates_what_the_row_says(row):
    assert allocated(row["config"]) == (row["kv"], row["state"])
