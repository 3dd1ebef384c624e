from __future__ import annotations

import json

import pytest

from modelshelf.packing import count_parameters, settings_of
from tests.core.packing.published import PUBLISHED
from tests.core.packing.tensor import Tensor


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_has_the_parameters_that_its_page_shows(name):
    header, config, total = PUBLISHED[name]
    tensors = {one: Tensor(dtype, shape) for one, dtype, shape in header()}
    counted = count_parameters(tensors, settings_of(json.dumps(config).encode()))
    assert counted.parameters == total
    assert counted.not_understood == ()
