from __future__ import annotations

import pytest

from modelshelf.errors import InvalidValueError
from modelshelf.model import CacheMemory, MemoryEstimate, MemoryRequest


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"context": 0}, "context"),
        ({"context": True}, "context"),
        ({"parallel": 0}, "parallel"),
        ({"cache_k": "q2_k"}, "cache_k"),
        ({"ubatch": -1}, "ubatch"),
        ({"device_layers": -1}, "device_layers"),
        ({"cache_v": "q8_0", "flash": False}, "flash attention"),
    ],
)
def test_a_request_that_no_engine_takes_is_refused_by_name(wrong, named):
    with pytest.raises(InvalidValueError, match=named):
        MemoryRequest(**wrong)


def test_a_total_is_given_only_where_every_item_is_known():
    items = {
        "weights_bytes": {"device": 0, "host": 100},
        "kv": (CacheMemory(kind="full", cells=1, streams=1, layers=1, k_bytes=3, v_bytes=4),),
        "state_bytes": 5,
        "compute_low_bytes": 6,
        "compute_high_bytes": 8,
        "output_bytes": 1,
        "overhead_bytes": 0,
        "device_layers": 0,
    }
    whole = MemoryEstimate(engine="any", **items)
    assert (whole.kv_bytes, whole.total_bytes, whole.device_bytes, whole.host_bytes) == (7, 121, 0, 121)
    for name in ("weights_bytes", "kv", "state_bytes", "compute_high_bytes", "output_bytes"):
        part = MemoryEstimate(engine="any", **{**items, name: None})
        assert (part.total_bytes, part.host_bytes) == (None, None), name
