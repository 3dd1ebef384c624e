"""Tensors of rare layouts: what torch saves and loads is healthy, what it does not load is not."""

from __future__ import annotations

import io

import pytest
import torch

from modelshelf.model import HealthStatus
from tests.plugins.modelshelf_pytorch.forge import look_at, saved


def packed_per_channel(columns: int) -> torch.Tensor:
    """Two elements to a byte, rows padded to whole bytes."""
    scales, zeros = torch.full((4,), 0.1), torch.zeros(4)
    return torch.quantize_per_channel(torch.ones(4, columns), scales, zeros, 0, torch.quint4x2)


def jagged(*lengths: int) -> torch.Tensor:
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    return torch.nested.nested_tensor_from_jagged(torch.ones(sum(lengths), 2), offsets)


SOUND = {
    "four bits each": lambda: packed_per_channel(2),
    "four bits each, many": lambda: packed_per_channel(64),
    "jagged": lambda: jagged(2, 3),
    "jagged, requiring gradients": lambda: jagged(2, 3).requires_grad_(),
    "jagged, with lengths": lambda: torch.nested.nested_tensor_from_jagged(
        torch.ones(5, 2), torch.tensor([0, 2, 5]), lengths=torch.tensor([1, 2])
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", SOUND)
def test_a_tensor_that_torch_loads_is_healthy(tmp_path, case):
    data = saved({"w": SOUND[case]()})
    assert torch.load(io.BytesIO(data), weights_only=True)["w"] is not None
    assert look_at(tmp_path, data).findings == ()


def test_a_packed_tensor_whose_storage_is_too_short_is_unhealthy(tmp_path):
    data = saved({"w": packed_per_channel(4)})
    forged = data.replace(b"K\x04K\x04\x86", b"K\x04K\x08\x86")
    assert forged != data
    with pytest.raises(RuntimeError):
        torch.load(io.BytesIO(forged), weights_only=True)
    assert look_at(tmp_path, forged).status is HealthStatus.UNHEALTHY


def test_a_quantized_tensor_without_data_is_not_healthy_as_torch_cannot_make_it(tmp_path):
    data = saved({"w": torch.empty((2, 3), dtype=torch.qint8, device="meta")})
    with pytest.raises(NotImplementedError):
        torch.load(io.BytesIO(data), weights_only=True)
    assert look_at(tmp_path, data).codes == ["bad-arguments"]


@pytest.mark.filterwarnings("ignore")
def test_a_jagged_tensor_of_other_fields_is_not_healthy(tmp_path):
    data = saved({"w": jagged(2, 3)})
    forged = data.replace(b"X\x06\x00\x00\x00values", b"X\x06\x00\x00\x00valuez")
    assert forged != data
    with pytest.raises((TypeError, RuntimeError)):
        torch.load(io.BytesIO(forged), weights_only=True)
    assert look_at(tmp_path, forged).status is HealthStatus.UNHEALTHY
