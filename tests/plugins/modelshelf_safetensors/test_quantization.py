from __future__ import annotations

import json

import pytest

from modelshelf_safetensors.layout import lay_out
from modelshelf_safetensors.metadata import hints_of
from modelshelf_safetensors.quantization import Hints, count_parameters

ROWS, COLUMNS, GROUP = 256, 512, 128  # output and input features of the packed layer, and its scales' groups
GROUPS = COLUMNS // GROUP
ELEMENTS = ROWS * COLUMNS
NORM = {"norm.weight": ("F16", COLUMNS)}


def counted(entries, hints=None):
    """Parameters and label of these tensors and a norm."""
    tensors = {name: lay_out(dtype, tuple(shape)) for name, (dtype, *shape) in (entries | NORM).items()}
    result = count_parameters(tensors, hints or Hints())
    return result.label, None if result.parameters is None else result.parameters - COLUMNS


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gptq_is_reported_by_its_zeros_and_counted_unpacked(bits):
    entries = {
        "layer.qweight": ("I32", COLUMNS * bits // 32, ROWS),
        "layer.qzeros": ("I32", GROUPS, ROWS * bits // 32),
        "layer.scales": ("F16", GROUPS, ROWS),
        "layer.g_idx": ("I32", COLUMNS),
    }
    assert counted(entries) == (f"GPTQ-{bits}bit", ELEMENTS)


def test_awq_is_reported_from_gptq_by_what_it_packs():
    entries = {
        "layer.qweight": ("I32", COLUMNS, ROWS // 8),
        "layer.qzeros": ("I32", GROUPS, ROWS // 8),
        "layer.scales": ("F16", GROUPS, ROWS),
    }
    assert counted(entries) == ("AWQ-4bit", ELEMENTS)


def test_symmetric_gptq_without_zeros_takes_its_bits_from_the_config():
    entries = {"layer.qweight": ("I32", COLUMNS // 8, ROWS), "layer.scales": ("F16", GROUPS, ROWS)}
    assert counted(entries, Hints(bits=4)) == ("GPTQ-4bit", ELEMENTS)
    assert counted(entries) == ("GPTQ", None)


@pytest.mark.parametrize(("kind", "label"), [("nf4", "BNB-NF4"), ("fp4", "BNB-FP4")])
def test_bitsandbytes_four_bits_hold_two_parameters_a_byte(kind, label):
    entries = {
        "layer.weight": ("U8", ELEMENTS // 2, 1),
        "layer.weight.absmax": ("U8", 2048),
        "layer.weight.quant_map": ("F32", 16),
        "layer.weight.nested_absmax": ("F32", 8),
        "layer.weight.nested_quant_map": ("F32", 256),
        f"layer.weight.quant_state.bitsandbytes__{kind}": ("U8", 87),
    }
    assert counted(entries) == (label, ELEMENTS)


def test_bitsandbytes_eight_bits_hold_a_parameter_a_byte():
    entries = {
        "layer.weight": ("I8", ROWS, COLUMNS),
        "layer.SCB": ("F32", ROWS),
        "layer.weight_format": ("U8", 1),
    }
    assert counted(entries) == ("BNB-INT8", ELEMENTS)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_mlx_bits_follow_from_the_group_size_layer_by_layer(bits):
    entries = {
        "layer.weight": ("U32", ROWS, COLUMNS * bits // 32),
        "layer.scales": ("F16", ROWS, GROUPS),
        "layer.biases": ("F16", ROWS, GROUPS),
    }
    assert counted(entries, Hints(group_size=GROUP, bits=4)) == (f"MLX-{bits}bit", ELEMENTS)
    assert counted(entries) == ("MLX", None)


def test_compressed_tensors_take_their_bits_from_zero_points_or_the_config():
    entries = {
        "layer.weight_packed": ("I32", ROWS, COLUMNS // 8),
        "layer.weight_scale": ("BF16", ROWS, GROUPS),
        "layer.weight_shape": ("I64", 2),
    }
    assert counted(entries) == ("compressed-tensors", None)
    assert counted(entries, Hints(bits=4)) == ("compressed-tensors-4bit", ELEMENTS)
    asymmetric = entries | {"layer.weight_zero_point": ("I32", ROWS // 8, GROUPS)}
    assert counted(asymmetric) == ("compressed-tensors-4bit", ELEMENTS)


@pytest.mark.parametrize(
    "entries",
    [
        {
            "layer.weight_packed": ("U8", ROWS, COLUMNS // 2),
            "layer.weight_scale": ("F8_E4M3", ROWS, COLUMNS // 16),
        },
        {
            "layer.weight": ("U8", ROWS, COLUMNS // 2),
            "layer.weight_scale": ("F8_E4M3", ROWS, COLUMNS // 16),
            "layer.weight_scale_2": ("F32", 1),
        },
    ],
)
def test_nvfp4_holds_two_parameters_a_byte(entries):
    assert counted(entries) == ("NVFP4", ELEMENTS)


@pytest.mark.parametrize("scale", ["weight_scale", "weight_scale_inv", "scale_weight"])
def test_scales_of_eight_bit_floats_are_no_parameters(scale):
    entries = {"layer.weight": ("F8_E4M3", ROWS, COLUMNS), f"layer.{scale}": ("F32", ROWS, 1)}
    assert counted(entries) == ("F8_E4M3", ELEMENTS)


def test_mxfp4_blocks_hold_two_parameters_a_byte():
    entries = {
        "mlp.experts.gate_up_proj_blocks": ("U8", 4, ROWS, COLUMNS // 32, 16),
        "mlp.experts.gate_up_proj_scales": ("U8", 4, ROWS, COLUMNS // 32),
    }
    assert counted(entries) == ("MXFP4", 4 * ELEMENTS)


@pytest.mark.parametrize(
    "entries",
    [
        {"layer.qweight": ("F32", 4, 4)},
        {"layer.scales": ("F16", 4)},
        {"layer.weight": ("U32", 4, 4), "layer.scales": ("F16", 3, 4)},
        {"a_blocks": ("U8", 4, 8), "a_scales": ("U8", 4)},
        {"layer.weight_packed": ("I32", 4, 4)},
        {"layer.SCB": ("F32", 4)},
        {"layer.quant_state.bitsandbytes__nf4": ("U8", 4)},
    ],
)
def test_names_alone_do_not_make_a_scheme(entries):
    label, parameters = counted(entries)
    assert label is None
    assert parameters == sum(lay_out(dtype, tuple(shape)).elements for dtype, *shape in entries.values())


def test_zeros_that_fit_no_scales_leave_the_bits_unknown():
    entries = {
        "layer.qweight": ("I32", 64, ROWS),
        "layer.qzeros": ("I32", GROUPS, 7),
        "layer.scales": ("F16", GROUPS, 0),
    }
    assert counted(entries) == ("GPTQ", None)


@pytest.mark.parametrize(
    ("config", "hints"),
    [
        ({"quantization": {"group_size": 64, "bits": 4}}, Hints(group_size=64, bits=4)),
        ({"quantization_config": {"bits": 3, "group_size": -1}}, Hints(bits=3)),
        (
            {"quantization_config": {"config_groups": {"group_0": {"weights": {"num_bits": 8}}}}},
            Hints(bits=8),
        ),
        ({"quantization": "4bit"}, Hints()),
        ({"quantization": {"bits": True}}, Hints()),
        ([], Hints()),
    ],
)
def test_hints_are_taken_from_a_config_where_they_are_numbers(config, hints):
    assert hints_of(json.dumps(config).encode()) == hints


@pytest.mark.parametrize("raw", [b"", b"\xff", b"{", b"[" * 100_000])
def test_a_broken_config_gives_no_hints(raw):
    assert hints_of(raw) == Hints()
