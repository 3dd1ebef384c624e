from __future__ import annotations

import json

import pytest

from modelshelf.packing import count_parameters, settings_of
from modelshelf.packing.settings import PackingSettings
from tests.core.packing.tensor import tensors_of

ROWS, COLUMNS, GROUP = 256, 512, 128  # output and input features of the packed layer, and its scales' groups
GROUPS = COLUMNS // GROUP
ELEMENTS = ROWS * COLUMNS
NORM = {"norm.weight": ("F16", COLUMNS)}


def counted(told, settings=None):
    """Parameters and label of these tensors and a norm."""
    result = count_parameters(tensors_of(told | NORM), settings or PackingSettings())
    return result.label, None if result.parameters is None else result.parameters - COLUMNS


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gptq_is_told_by_its_zeros_and_counted_unpacked(bits):
    told = {
        "layer.qweight": ("I32", COLUMNS * bits // 32, ROWS),
        "layer.qzeros": ("I32", GROUPS, ROWS * bits // 32),
        "layer.scales": ("F16", GROUPS, ROWS),
        "layer.g_idx": ("I32", COLUMNS),
    }
    assert counted(told) == (f"GPTQ-{bits}bit", ELEMENTS)


def test_awq_is_told_from_gptq_by_what_it_packs():
    told = {
        "layer.qweight": ("I32", COLUMNS, ROWS // 8),
        "layer.qzeros": ("I32", GROUPS, ROWS // 8),
        "layer.scales": ("F16", GROUPS, ROWS),
    }
    assert counted(told) == ("AWQ-4bit", ELEMENTS)


def test_symmetric_gptq_without_zeros_takes_its_bits_from_the_config():
    told = {"layer.qweight": ("I32", COLUMNS // 8, ROWS), "layer.scales": ("F16", GROUPS, ROWS)}
    assert counted(told, PackingSettings(bits=4)) == ("GPTQ-4bit", ELEMENTS)
    assert counted(told) == ("GPTQ", None)


@pytest.mark.parametrize(("kind", "label"), [("nf4", "BNB-NF4"), ("fp4", "BNB-FP4")])
def test_bitsandbytes_four_bits_hold_two_parameters_a_byte(kind, label):
    told = {
        "layer.weight": ("U8", ELEMENTS // 2, 1),
        "layer.weight.absmax": ("U8", 2048),
        "layer.weight.quant_map": ("F32", 16),
        "layer.weight.nested_absmax": ("F32", 8),
        "layer.weight.nested_quant_map": ("F32", 256),
        f"layer.weight.quant_state.bitsandbytes__{kind}": ("U8", 87),
    }
    assert counted(told) == (label, ELEMENTS)


def test_bitsandbytes_eight_bits_hold_a_parameter_a_byte():
    told = {
        "layer.weight": ("I8", ROWS, COLUMNS),
        "layer.SCB": ("F32", ROWS),
        "layer.weight_format": ("U8", 1),
    }
    assert counted(told) == ("BNB-INT8", ELEMENTS)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_mlx_bits_follow_from_the_group_size_layer_by_layer(bits):
    told = {
        "layer.weight": ("U32", ROWS, COLUMNS * bits // 32),
        "layer.scales": ("F16", ROWS, GROUPS),
        "layer.biases": ("F16", ROWS, GROUPS),
    }
    assert counted(told, PackingSettings(group_size=GROUP, bits=4)) == (f"MLX-{bits}bit", ELEMENTS)
    assert counted(told) == ("MLX", None)


def test_compressed_tensors_take_their_bits_from_zero_points_or_the_config():
    told = {
        "layer.weight_packed": ("I32", ROWS, COLUMNS // 8),
        "layer.weight_scale": ("BF16", ROWS, GROUPS),
        "layer.weight_shape": ("I64", 2),
    }
    assert counted(told) == ("compressed-tensors", None)
    assert counted(told, PackingSettings(bits=4)) == ("compressed-tensors-4bit", ELEMENTS)
    asymmetric = told | {"layer.weight_zero_point": ("I32", ROWS // 8, GROUPS)}
    assert counted(asymmetric) == ("compressed-tensors-4bit", ELEMENTS)


@pytest.mark.parametrize(
    "told",
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
def test_nvfp4_holds_two_parameters_a_byte(told):
    assert counted(told) == ("NVFP4", ELEMENTS)


@pytest.mark.parametrize("scale", ["weight_scale", "weight_scale_inv", "scale_weight"])
def test_scales_of_eight_bit_floats_are_no_parameters(scale):
    told = {"layer.weight": ("F8_E4M3", ROWS, COLUMNS), f"layer.{scale}": ("F32", ROWS, 1)}
    assert counted(told) == ("F8_E4M3", ELEMENTS)


def test_mxfp4_blocks_hold_two_parameters_a_byte():
    told = {
        "mlp.experts.gate_up_proj_blocks": ("U8", 4, ROWS, COLUMNS // 32, 16),
        "mlp.experts.gate_up_proj_scales": ("U8", 4, ROWS, COLUMNS // 32),
    }
    assert counted(told) == ("MXFP4", 4 * ELEMENTS)


@pytest.mark.parametrize(
    "told",
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
def test_names_alone_do_not_make_a_scheme(told):
    label, parameters = counted(told)
    assert label is None
    assert parameters == sum(one.elements for one in tensors_of(told).values())


def test_zeros_that_fit_no_scales_leave_the_bits_unknown():
    told = {
        "layer.qweight": ("I32", 64, ROWS),
        "layer.qzeros": ("I32", GROUPS, 7),
        "layer.scales": ("F16", GROUPS, 0),
    }
    assert counted(told) == ("GPTQ", None)


def of(config):
    """The settings of a config's quantization."""
    return settings_of(json.dumps({"quantization_config": config}).encode())


MIXED = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "config_groups": {
        "group_0": {"targets": ["re:.*experts.*"], "weights": {"num_bits": 4, "group_size": GROUP}},
        "group_1": {"targets": ["Linear"], "weights": {"num_bits": 8, "group_size": GROUP}},
    },
    "ignore": ["lm_head"],
}


@pytest.mark.parametrize(
    ("told", "config", "label", "elements"),
    [
        pytest.param(
            {
                "experts.gate.qweight": ("I32", 4, COLUMNS, ROWS // 8),
                "experts.gate.qzeros": ("I32", 4, GROUPS, ROWS // 8),
                "experts.gate.scales": ("F16", 4, GROUPS, ROWS),
            },
            {"quant_method": "awq", "bits": 4},
            "AWQ-4bit",
            4 * ELEMENTS,
            id="AWQ of experts in one tensor",
        ),
        pytest.param(
            {
                "layer.qweight": ("I16", ROWS // 4, COLUMNS),
                "layer.qzeros": ("F16", GROUPS, ROWS),
                "layer.scales": ("F16", GROUPS, ROWS),
            },
            {"quant_method": "awq", "bits": 4},
            "AWQ-4bit",
            ELEMENTS,
            id="AWQ fast gemv",
        ),
        pytest.param(
            {
                "layer.B": ("I32", COLUMNS // 16, ROWS * 16 // 8),
                "layer.s": ("F16", GROUPS, ROWS),
                "layer.workspace": ("I32", 16),
            },
            {"quant_method": "gptq", "bits": 4, "is_marlin_format": True},
            "GPTQ-4bit",
            ELEMENTS,
            id="GPTQ in Marlin's layout",
        ),
        pytest.param(
            {
                "layer.weight_packed": ("I32", COLUMNS // 32, ROWS * 16 // 8),
                "layer.scale_packed": ("F16", GROUPS, ROWS),
                "layer.meta": ("I16", COLUMNS // 16, ROWS),
            },
            {"quant_method": "compressed-tensors", "format": "marlin-24"},
            "compressed-tensors-4bit",
            ELEMENTS,
            id="marlin-24",
        ),
        pytest.param(
            {
                "a.weight_packed": ("I32", ROWS, COLUMNS // 4),
                "a.weight_scale": ("BF16", ROWS, GROUPS),
                "experts.0.weight_packed": ("I32", ROWS, COLUMNS // 8),
                "experts.0.weight_scale": ("BF16", ROWS, GROUPS),
                "experts.0.weight_shape": ("I64", 2),
                "experts.1.weight_packed": ("I32", ROWS, COLUMNS // 8),
                "experts.1.weight_scale": ("BF16", ROWS, GROUPS),
            },
            MIXED,
            "compressed-tensors-4bit",
            3 * ELEMENTS,
            id="several config groups",
        ),
        pytest.param(
            {
                "layer.weight_packed": ("I32", ROWS, COLUMNS * 3 // 32),
                "layer.weight_scale": ("BF16", ROWS, GROUPS),
            },
            {
                "quant_method": "compressed-tensors",
                "format": "pack-quantized",
                "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 3}}},
            },
            "compressed-tensors-3bit",
            ELEMENTS,
            id="three bits are not cut to whole elements a word",
        ),
        pytest.param(
            {
                "layer.weight.compressed": ("BF16", ROWS, COLUMNS // 2),
                "layer.weight.bitmask": ("U8", ROWS, COLUMNS // 8),
                "layer.weight.shape": ("I64", 2),
            },
            {"quant_method": "compressed-tensors", "format": "sparse-24-bitmask"},
            "compressed-tensors",
            ELEMENTS,
            id="sparse-24-bitmask",
        ),
        pytest.param(
            {"layer.weight": ("I8", ROWS, COLUMNS), "layer.weight_scale": ("F32", ROWS, 1)},
            {"quant_method": "compressed-tensors", "format": "int-quantized"},
            "INT8",
            ELEMENTS,
            id="int-quantized",
        ),
        pytest.param(
            {
                "experts.gate_up_proj": ("U8", 4, ROWS, COLUMNS // 2),
                "experts.gate_up_proj_weight_scale": ("F8_E4M3", 4, ROWS, COLUMNS // 16),
                "experts.gate_up_proj_weight_scale_2": ("F32", 1),
                "experts.gate_up_proj_input_scale": ("F32", 1),
            },
            {"quant_method": "modelopt", "quant_algo": "NVFP4"},
            "NVFP4",
            4 * ELEMENTS,
            id="NVFP4 experts in one tensor",
        ),
        pytest.param(
            {"layer.weight": ("U8", ROWS, COLUMNS // 2), "layer.weight_scale": ("U8", ROWS, COLUMNS // 32)},
            {"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4"}}},
            "MXFP4",
            ELEMENTS,
            id="Quark's MXFP4",
        ),
        pytest.param(
            {
                "l.experts.0.w1.weight": ("I8", ROWS, COLUMNS // 2),
                "l.experts.0.w1.scale": ("F8_E8M0", ROWS, COLUMNS // 32),
            },
            {"quant_method": "fp8", "expert_dtype": "fp4"},
            None,
            None,
            id="an expert_dtype that is not the model's",
        ),
        pytest.param(
            {
                "layer.q_weight": ("I32", 80, ROWS),
                "layer.q_invperm": ("I32", COLUMNS),
                "layer.q_scale": ("I32", GROUPS, ROWS // 8),
                "layer.q_scale_max": ("F16", GROUPS),
                "layer.q_groups": ("I16", 2 * GROUPS),
            },
            {"quant_method": "exl2", "bits": 4.65},
            "EXL2-4.65bpw",
            ELEMENTS,
            id="EXL2",
        ),
        pytest.param(
            {
                "layer.trellis": ("I16", COLUMNS // 16, ROWS // 16, 48),
                "layer.suh": ("F16", COLUMNS),
                "layer.svh": ("F16", ROWS),
                "layer.mcg": ("I32",),
            },
            {"quant_method": "exl3", "bits": 3.0, "head_bits": 6},
            "EXL3-3bpw",
            ELEMENTS,
            id="EXL3",
        ),
        pytest.param(
            {
                "layer.W_q": ("I32", 205, 64),
                "layer.scale": ("F16", ELEMENTS // 64, 1),
                "layer.zero": ("F16", ELEMENTS // 64, 1),
                "layer.shape": ("I32", 2),
            },
            {
                "quant_method": "hqq",
                "quant_config": {"weight_quant_params": {"nbits": 3, "group_size": 64, "axis": 1}},
            },
            "HQQ-3bit",
            ELEMENTS,
            id="HQQ of three bits, ten in a word",
        ),
        pytest.param(
            {
                "layer.weight._data": ("U8", ROWS, COLUMNS // 2),
                "layer.weight._scale": ("F16", ROWS, GROUPS),
                "layer.weight._shift": ("F16", ROWS, GROUPS),
                "layer.input_scale": ("F32", 1),
            },
            {"quant_method": "quanto", "weights": "int4"},
            "QUANTO-4bit",
            ELEMENTS,
            id="quanto",
        ),
        pytest.param(
            {
                "layer.weight_qdata": ("U8", ROWS, COLUMNS // 2),
                "layer.weight_scale": ("BF16", GROUPS, ROWS),
                "layer.weight_zero_point": ("BF16", GROUPS, ROWS),
            },
            {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig"}}},
            "TORCHAO-4bit",
            ELEMENTS,
            id="torchao",
        ),
        pytest.param(
            {
                "layer.codes": ("I16", ROWS, COLUMNS // 8, 1),
                "layer.codebooks": ("F16", 1, 65536, 1, 8),
                "layer.scales": ("F16", ROWS, 1, 1, 1),
            },
            {"quant_method": "aqlm", "in_group_size": 8, "nbits_per_codebook": 16},
            "AQLM-2bit",
            ELEMENTS,
            id="AQLM",
        ),
        pytest.param(
            {
                "layer.qweight": ("I8", ROWS, COLUMNS // 2),
                "layer.wscales": ("BF16", COLUMNS // 64, ROWS),
                "layer.proj_down": ("BF16", COLUMNS, 32),
                "layer.proj_up": ("BF16", ROWS, 32),
                "layer.smooth_factor": ("BF16", COLUMNS),
            },
            {},
            "SVDQuant-INT4",
            ELEMENTS,
            id="SVDQuant",
        ),
        pytest.param(
            {
                "layer.weight": ("F8_E4M3", ROWS, COLUMNS),
                "layer.scale_weight": ("F32", 1),
                "layer.scale_input": ("F32", 1),
                "scaled_fp8": ("F8_E4M3", 2),
            },
            {},
            "F8_E4M3",
            ELEMENTS,
            id="ComfyUI's scaled fp8",
        ),
        pytest.param(
            {
                "layer.weight": ("U8", ROWS, COLUMNS // 2),
                "layer.weight_scale": ("F8_E4M3", ROWS, COLUMNS // 16 + 4),
                "layer.weight_scale_2": ("F32", 1),
            },
            {},
            "NVFP4",
            ELEMENTS,
            id="NVFP4 with scales that are filled up",
        ),
        pytest.param(
            {
                "layer.W_q": ("U8", ROWS // 2, COLUMNS),
                "layer.meta.scale": ("F16", ELEMENTS // 64, 1),
                "layer.meta.zero": ("F16", ELEMENTS // 64, 1),
            },
            {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}},
            "HQQ-4bit",
            ELEMENTS,
            id="HQQ's own checkpoints",
        ),
        pytest.param(
            {"a.weight_packed": ("I32", ROWS, COLUMNS // 8), "a.weight_scale": ("BF16", ROWS, 1)},
            {
                "quant_method": "compressed-tensors",
                "format": "mixed-precision",
                "config_groups": {
                    "group_0": {
                        "format": "pack-quantized",
                        "targets": ["Linear"],
                        "weights": {"num_bits": 4},
                    },
                    "group_1": {
                        "format": "float-quantized",
                        "targets": ["Linear"],
                        "weights": {"num_bits": 8},
                    },
                },
            },
            "compressed-tensors-4bit",
            ELEMENTS,
            id="mixed precision",
        ),
        pytest.param(
            {"layer.weight": ("U8", ROWS // 4, COLUMNS), "layer.weight_scale": ("BF16", 1)},
            {"quant_method": "bitnet"},
            "BitNet",
            ELEMENTS,
            id="BitNet",
        ),
    ],
)
def test_a_scheme_is_counted_by_its_own_layout(told, config, label, elements):
    result = counted(told, of(config))
    if label is None:
        assert result[1] != ELEMENTS
    else:
        assert result == (label, elements)


def test_experts_of_four_bits_in_bytes_are_named_by_the_config_beside_the_method():
    told = {
        "l.experts.0.w1.weight": ("I8", ROWS, COLUMNS // 2),
        "l.experts.0.w1.scale": ("F8_E8M0", ROWS, COLUMNS // 32),
        "l.shared_experts.w1.weight": ("F8_E4M3", ROWS, COLUMNS),
    }
    config = {"expert_dtype": "fp4", "quantization_config": {"quant_method": "fp8"}}
    settings = settings_of(json.dumps(config).encode())
    assert counted(told, settings) == ("FP4", 2 * ELEMENTS)


@pytest.mark.parametrize(
    ("words", "mode", "label"),
    [(4, "mxfp4", "MLX-MXFP4"), (8, "mxfp8", "MLX-MXFP8"), (2, "nvfp4", "MLX-NVFP4")],
)
def test_mlx_floats_are_recognised_by_their_scales(words, mode, label):
    bits, size = {"mxfp4": (4, 32), "mxfp8": (8, 32), "nvfp4": (4, 16)}[mode]
    columns = COLUMNS * bits // 32
    assert columns // words == COLUMNS // size
    told = {"l.weight": ("U32", ROWS, columns), "l.scales": ("U8", ROWS, columns // words)}
    assert counted(told) == (label, ELEMENTS)


def test_layers_of_other_bits_and_group_sizes_are_counted_by_the_configs_word_of_them():
    config = {"group_size": 64, "bits": 4, "head": {"group_size": 32, "bits": 8}}
    settings = settings_of(json.dumps({"quantization": config}).encode())
    told = {
        "l.weight": ("U32", ROWS, COLUMNS // 8),
        "l.scales": ("BF16", ROWS, COLUMNS // 64),
        "head.weight": ("U32", ROWS, COLUMNS // 4),
        "head.scales": ("BF16", ROWS, COLUMNS // 32),
    }
    assert counted(told, settings)[1] == 2 * ELEMENTS


def test_a_method_without_a_rule_leaves_the_number_unknown_and_its_own_name():
    told = {"l.indices": ("I16", ROWS, COLUMNS // 4), "l.centroids": ("F16", 1, 256 * 8)}
    result = count_parameters(tensors_of(told | NORM), of({"quant_method": "vptq"}))
    assert (result.parameters, result.label, result.not_understood) == (None, "VPTQ", ("l.indices",))


def test_integers_that_outweigh_floats_leave_the_number_unknown():
    told = {"l.codes_": ("U8", ROWS, COLUMNS), "l.weight": ("F16", 4, 4)}
    result = count_parameters(tensors_of(told), PackingSettings())
    assert (result.parameters, result.label, result.by_dtype.total()) == (None, None, 0)
    assert result.not_understood == ("l.codes_",)


def test_a_table_of_positions_is_counted_as_the_hub_counts_it():
    told = {"embeddings.position_ids": ("I64", 1, 514)}
    assert counted(told) == (None, 514)


def test_scalars_and_types_for_scales_alone_are_no_parameters():
    told = {"logit_scale": ("F32",), "l.scale": ("F8_E8M0", 4, 4), "l.weight": ("F8_E4M3", 4, 4)}
    assert counted(told) == (None, 16)
