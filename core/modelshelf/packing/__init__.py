"""How quantized weights are packed into tensors of other types, whatever file holds them.

A config names the method, and anchor tensors tell the layout; both together give the number of parameters.
"""

from modelshelf.packing.counting import Counted, count_parameters, may_be_packed, may_name_packed
from modelshelf.packing.settings import (
    LayerSettings,
    PackingSettings,
    read_settings,
    settings_in,
    settings_of,
)
from modelshelf.packing.tensors import TensorLayout

__all__ = [
    "Counted",
    "LayerSettings",
    "PackingSettings",
    "TensorLayout",
    "count_parameters",
    "may_be_packed",
    "may_name_packed",
    "read_settings",
    "settings_in",
    "settings_of",
]
