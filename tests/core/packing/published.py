"""Headers of published models, rebuilt by the shapes of their configs: names, types and shapes, no data.

Of two models, DeepSeek-V4-Pro and Kimi-K3, only the experts have shapes, of the latter eight in one tensor;
the rest of each type is one tensor of the published size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Described = tuple[str, str, tuple[int, ...]]
Linear = Callable[[str, int, int], Iterator[Described]]


def plain(dtype: str) -> Linear:
    """A layer that is not packed."""

    def layer(name: str, rows: int, columns: int) -> Iterator[Described]:
        yield f"{name}.weight", dtype, (rows, columns)

    return layer


def gptq(name: str, rows: int, columns: int) -> Iterator[Described]:
    yield f"{name}.qweight", "I32", (columns // 8, rows)
    yield f"{name}.qzeros", "I32", (columns // 128, rows // 8)
    yield f"{name}.scales", "F16", (columns // 128, rows)
    yield f"{name}.g_idx", "I32", (columns,)
    yield f"{name}.bias", "F16", (rows,)


def bitsandbytes(name: str, rows: int, columns: int) -> Iterator[Described]:
    size = rows * columns
    yield f"{name}.weight", "U8", (size // 2, 1)
    yield f"{name}.weight.absmax", "U8", (size // 64,)
    yield f"{name}.weight.quant_map", "F32", (16,)
    yield f"{name}.weight.nested_absmax", "F32", (size // 64 // 256,)
    yield f"{name}.weight.nested_quant_map", "F32", (256,)
    yield f"{name}.weight.quant_state.bitsandbytes__nf4", "U8", (87,)


def packed(name: str, rows: int, columns: int) -> Iterator[Described]:
    yield f"{name}.weight_packed", "I32", (rows, columns // 8)
    yield f"{name}.weight_scale", "BF16", (rows, columns // 32)
    yield f"{name}.weight_shape", "I64", (2,)
    yield f"{name}.weight_g_idx", "I32", (columns,)


def packed_mxfp4(name: str, rows: int, columns: int) -> Iterator[Described]:
    yield f"{name}.weight_packed", "U8", (rows, columns // 2)
    yield f"{name}.weight_scale", "U8", (rows, columns // 32)


def bytes_of_two(name: str, rows: int, columns: int) -> Iterator[Described]:
    yield f"{name}.weight", "I8", (rows, columns // 2)
    yield f"{name}.scale", "F8_E8M0", (rows, columns // 32)


def llama(linear: Linear, dtype: str, layers: int, width: int, inner: int) -> Iterator[Described]:
    """Llama 3, with 1,024 columns of keys and values."""
    for name in ("model.embed_tokens", "lm_head"):
        yield f"{name}.weight", dtype, (128256, width)
    for at in range(layers):
        prefix = f"model.layers.{at}"
        for name, rows in (("q", width), ("k", 1024), ("v", 1024), ("o", width)):
            yield from linear(f"{prefix}.self_attn.{name}_proj", rows, width)
        for name in ("gate", "up"):
            yield from linear(f"{prefix}.mlp.{name}_proj", inner, width)
        yield from linear(f"{prefix}.mlp.down_proj", width, inner)
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"{prefix}.{name}.weight", dtype, (width,)
    yield "model.norm.weight", dtype, (width,)


def gpt_oss(layers: int, experts: int) -> Iterator[Described]:
    for name in ("model.embed_tokens", "lm_head"):
        yield f"{name}.weight", "BF16", (201088, 2880)
    for at in range(layers):
        prefix = f"model.layers.{at}"
        for name, rows, columns in (("q", 4096, 2880), ("k", 512, 2880), ("v", 512, 2880), ("o", 2880, 4096)):
            yield f"{prefix}.self_attn.{name}_proj.weight", "BF16", (rows, columns)
            yield f"{prefix}.self_attn.{name}_proj.bias", "BF16", (rows,)
        yield f"{prefix}.self_attn.sinks", "BF16", (64,)
        yield f"{prefix}.mlp.router.weight", "BF16", (experts, 2880)
        yield f"{prefix}.mlp.router.bias", "BF16", (experts,)
        for name, rows in (("gate_up_proj", 5760), ("down_proj", 2880)):
            yield f"{prefix}.mlp.experts.{name}_blocks", "U8", (experts, rows, 90, 16)
            yield f"{prefix}.mlp.experts.{name}_scales", "U8", (experts, rows, 90)
            yield f"{prefix}.mlp.experts.{name}_bias", "BF16", (experts, rows)
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"{prefix}.{name}.weight", "BF16", (2880,)
    yield "model.norm.weight", "BF16", (2880,)


def experts(linear: Linear, layers: range, count: int, width: int, inner: int) -> Iterator[Described]:
    for at in layers:
        for expert in range(count):
            prefix = f"language_model.model.layers.{at}.mlp.experts.{expert}"
            yield from linear(f"{prefix}.gate_proj", inner, width)
            yield from linear(f"{prefix}.up_proj", inner, width)
            yield from linear(f"{prefix}.down_proj", width, inner)


def kimi_k25() -> Iterator[Described]:
    width = 7168
    prefix = "language_model.model"
    for name in ("embed_tokens", "lm_head"):
        yield f"{prefix}.{name}.weight", "BF16", (163840, width)
    yield f"{prefix}.norm.weight", "BF16", (width,)
    for at in range(61):
        layer = f"{prefix}.layers.{at}"
        for name, *shape in (
            ("q_a_proj", 1536, width),
            ("q_a_layernorm", 1536),
            ("q_b_proj", 64 * 192, 1536),
            ("kv_a_proj_with_mqa", 576, width),
            ("kv_a_layernorm", 512),
            ("kv_b_proj", 64 * 256, 512),
            ("o_proj", width, 8192),
        ):
            yield f"{layer}.self_attn.{name}.weight", "BF16", tuple(shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"{layer}.{name}.weight", "BF16", (width,)
        mlp, inner = ("mlp.shared_experts", 2048) if at else ("mlp", 18432)
        for name in ("gate_proj", "up_proj", "down_proj"):
            yield f"{layer}.{mlp}.{name}.weight", "BF16", (inner, width)
        if at:
            yield f"{layer}.mlp.gate.weight", "BF16", (384, width)
            yield f"{layer}.mlp.gate.e_score_correction_bias", "F32", (384,)
    yield from experts(packed, range(1, 61), 384, width, 2048)
    yield from moon_vit()


def moon_vit() -> Iterator[Described]:
    width, inner, merged = 1152, 4304, 4608
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
        "patch_embed.pos_emb.weight": (64, 64, width),
        "encoder.final_layernorm.weight": (width,),
        "encoder.final_layernorm.bias": (width,),
        "projector.pre_norm.weight": (width,),
        "projector.pre_norm.bias": (width,),
        "projector.linear_1.weight": (merged, merged),
        "projector.linear_1.bias": (merged,),
        "projector.linear_2.weight": (7168, merged),
        "projector.linear_2.bias": (7168,),
    }
    for at in range(27):
        block = f"encoder.blocks.{at}"
        layers = (
            ("wqkv", 3 * width, width),
            ("wo", width, width),
            ("mlp.fc0", inner, width),
            ("mlp.fc1", width, inner),
        )
        for name, rows, columns in layers:
            shapes |= {f"{block}.{name}.weight": (rows, columns), f"{block}.{name}.bias": (rows,)}
        for name in ("norm0", "norm1"):
            shapes |= {f"{block}.{name}.weight": (width,), f"{block}.{name}.bias": (width,)}
    for name, shape in shapes.items():
        yield f"vision_tower.{name}", "BF16", shape


def rest(**elements: int) -> Iterator[Described]:
    """One tensor of each type."""
    for dtype, count in elements.items():
        yield f"rest.{dtype}", dtype, (count,)


def kimi_k3() -> Iterator[Described]:
    yield from experts(packed_mxfp4, range(1, 93), 896 // 8, 7168, 8 * 1536)
    yield from rest(BF16=57_179_884_544, F32=11_122_432)


def deepseek_v4_pro() -> Iterator[Described]:
    yield from experts(bytes_of_two, range(62), 384, 7168, 3072)
    for at in range(3):
        yield f"layers.{at}.ffn.gate.tid2eid", "I64", (129280, 6)
    yield from rest(F8_E4M3=23_169_335_296, BF16=2_816_899_328, F32=87_776_414)


def bloom() -> Iterator[Described]:
    width = 14336
    yield "word_embeddings.weight", "BF16", (250880, width)
    for norm in ("word_embeddings_layernorm", "ln_f"):
        yield from _with_bias(norm, "BF16", width)
    for at in range(70):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield from _with_bias(f"h.{at}.{norm}", "BF16", width)
        yield from _with_bias(f"h.{at}.self_attention.query_key_value", "BF16", 3 * width, width)
        yield from _with_bias(f"h.{at}.self_attention.dense", "BF16", width, width)
        yield from _with_bias(f"h.{at}.mlp.dense_h_to_4h", "BF16", 4 * width, width)
        yield from _with_bias(f"h.{at}.mlp.dense_4h_to_h", "BF16", width, 4 * width)


def _with_bias(name: str, dtype: str, rows: int, *others: int) -> Iterator[Described]:
    yield f"{name}.weight", dtype, (rows, *others)
    yield f"{name}.bias", dtype, (rows,)


def encoder(model: str, words: int, positions: int, types: int) -> Iterator[Described]:
    """The encoder that BERT and RoBERTa share."""
    width = 768
    for name, rows in (("word", words), ("position", positions), ("token_type", types)):
        yield f"{model}.embeddings.{name}_embeddings.weight", "F32", (rows, width)
    yield from _with_bias(f"{model}.embeddings.LayerNorm", "F32", width)
    for at in range(12):
        layer = f"{model}.encoder.layer.{at}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            yield from _with_bias(f"{layer}.attention.{name}", "F32", width, width)
        yield from _with_bias(f"{layer}.intermediate.dense", "F32", 4 * width, width)
        yield from _with_bias(f"{layer}.output.dense", "F32", width, 4 * width)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            yield from _with_bias(f"{layer}.{name}", "F32", width)


def bert() -> Iterator[Described]:
    yield from encoder("bert", 30522, 512, 2)
    yield from _with_bias("bert.pooler.dense", "F32", 768, 768)
    yield from _with_bias("cls.predictions.transform.dense", "F32", 768, 768)
    yield from _with_bias("cls.predictions.transform.LayerNorm", "F32", 768)
    yield "cls.predictions.bias", "F32", (30522,)
    yield from _with_bias("cls.seq_relationship", "F32", 2, 768)


def roberta() -> Iterator[Described]:
    yield from encoder("roberta", 50265, 514, 1)
    yield "roberta.embeddings.position_ids", "I64", (1, 514)
    yield from _with_bias("lm_head.dense", "F32", 768, 768)
    yield from _with_bias("lm_head.layer_norm", "F32", 768)
    yield "lm_head.bias", "F32", (50265,)


def qwen_image() -> Iterator[Described]:
    width = 3072
    yield from _with_bias("img_in", "BF16", width, 64)
    yield "txt_norm.weight", "BF16", (3584,)
    yield from _with_bias("txt_in", "BF16", width, 3584)
    yield from _with_bias("time_text_embed.timestep_embedder.linear_1", "BF16", width, 256)
    yield from _with_bias("time_text_embed.timestep_embedder.linear_2", "BF16", width, width)
    yield from _with_bias("norm_out.linear", "BF16", 2 * width, width)
    yield from _with_bias("proj_out", "BF16", 64, width)
    for at in range(60):
        block = f"transformer_blocks.{at}"
        for name in ("img", "txt"):
            yield from _with_bias(f"{block}.{name}_mod.1", "BF16", 6 * width, width)
            yield from _with_bias(f"{block}.{name}_mlp.net.0.proj", "BF16", 4 * width, width)
            yield from _with_bias(f"{block}.{name}_mlp.net.2", "BF16", width, 4 * width)
        for name in (
            "to_q",
            "to_k",
            "to_v",
            "to_out.0",
            "add_q_proj",
            "add_k_proj",
            "add_v_proj",
            "to_add_out",
        ):
            yield from _with_bias(f"{block}.attn.{name}", "BF16", width, width)
        for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            yield f"{block}.attn.{name}.weight", "BF16", (128,)


def stable_diffusion_unet() -> Iterator[Described]:
    widths = (320, 640, 1280, 1280)
    yield from _with_bias("conv_in", "F32", 320, 4, 3, 3)
    yield from _with_bias("time_embedding.linear_1", "F32", 1280, 320)
    yield from _with_bias("time_embedding.linear_2", "F32", 1280, 1280)
    before = 320
    for at, width in enumerate(widths):
        for layer in range(2):
            yield from _resnet(f"down_blocks.{at}.resnets.{layer}", before, width)
            if at < 3:
                yield from _transformer(f"down_blocks.{at}.attentions.{layer}", width)
            before = width
        if at < 3:
            yield from _with_bias(f"down_blocks.{at}.downsamplers.0.conv", "F32", width, width, 3, 3)
    yield from _resnet("mid_block.resnets.0", 1280, 1280)
    yield from _transformer("mid_block.attentions.0", 1280)
    yield from _resnet("mid_block.resnets.1", 1280, 1280)
    beside = [320, 320, 320, 320, 640, 640, 640, 1280, 1280, 1280, 1280, 1280]  # outputs on the way down
    for at, width in enumerate(reversed(widths)):
        for layer in range(3):
            yield from _resnet(f"up_blocks.{at}.resnets.{layer}", before + beside.pop(), width)
            if at:
                yield from _transformer(f"up_blocks.{at}.attentions.{layer}", width)
            before = width
        if at < 3:
            yield from _with_bias(f"up_blocks.{at}.upsamplers.0.conv", "F32", width, width, 3, 3)
    yield from _with_bias("conv_norm_out", "F32", 320)
    yield from _with_bias("conv_out", "F32", 4, 320, 3, 3)


def _resnet(name: str, before: int, width: int) -> Iterator[Described]:
    yield from _with_bias(f"{name}.norm1", "F32", before)
    yield from _with_bias(f"{name}.conv1", "F32", width, before, 3, 3)
    yield from _with_bias(f"{name}.time_emb_proj", "F32", width, 1280)
    yield from _with_bias(f"{name}.norm2", "F32", width)
    yield from _with_bias(f"{name}.conv2", "F32", width, width, 3, 3)
    if before != width:
        yield from _with_bias(f"{name}.conv_shortcut", "F32", width, before, 1, 1)


def _transformer(name: str, width: int) -> Iterator[Described]:
    yield from _with_bias(f"{name}.norm", "F32", width)
    yield from _with_bias(f"{name}.proj_in", "F32", width, width, 1, 1)
    yield from _with_bias(f"{name}.proj_out", "F32", width, width, 1, 1)
    block = f"{name}.transformer_blocks.0"
    for attention, columns in (("attn1", width), ("attn2", 768)):
        yield f"{block}.{attention}.to_q.weight", "F32", (width, width)
        yield f"{block}.{attention}.to_k.weight", "F32", (width, columns)
        yield f"{block}.{attention}.to_v.weight", "F32", (width, columns)
        yield from _with_bias(f"{block}.{attention}.to_out.0", "F32", width, width)
    yield from _with_bias(f"{block}.ff.net.0.proj", "F32", 8 * width, width)
    yield from _with_bias(f"{block}.ff.net.2", "F32", width, 4 * width)
    for norm in ("norm1", "norm2", "norm3"):
        yield from _with_bias(f"{block}.{norm}", "F32", width)


def _compressed(form: str) -> dict[str, Any]:
    weights = {"num_bits": 4, "type": "int", "group_size": 32}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": groups}


PUBLISHED: dict[str, tuple[Callable[[], Iterator[Described]], dict[str, Any], int]] = {
    "Llama-3.1-8B w4a16": (
        lambda: llama(gptq, "F16", 32, 4096, 14336),
        {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}},
        8_031_637_504,
    ),
    "Llama-3.1-8B bnb-4bit": (
        lambda: llama(bitsandbytes, "BF16", 32, 4096, 14336),
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
        8_030_261_248,
    ),
    "Llama-3.3-70B w4a16": (
        lambda: llama(packed, "BF16", 80, 8192, 28672),
        {"quantization_config": _compressed("pack-quantized")},
        70_553_706_496,
    ),
    "gpt-oss-20b": (
        lambda: gpt_oss(24, 32),
        {"quantization_config": {"quant_method": "mxfp4"}},
        20_914_757_184,
    ),
    "gpt-oss-120b": (
        lambda: gpt_oss(36, 128),
        {"quantization_config": {"quant_method": "mxfp4"}},
        116_829_156_672,
    ),
    "Kimi-K2.5": (
        kimi_k25,
        {"text_config": {"quantization_config": _compressed("pack-quantized")}},
        1_026_879_376_368,
    ),
    "Kimi-K3": (kimi_k3, {"quantization_config": _compressed("mxfp4-pack-quantized")}, 2_779_931_837_184),
    "DeepSeek-V4-Pro": (
        deepseek_v4_pro,
        {"expert_dtype": "fp4", "quantization_config": {"quant_method": "fp8"}},
        1_598_839_674_782,
    ),
    "bloom": (bloom, {}, 176_247_271_424),
    "bert-base-uncased": (bert, {}, 110_106_428),
    "roberta-base": (roberta, {}, 124_697_947),
    "stable-diffusion-v1-4 unet": (stable_diffusion_unet, {}, 859_520_964),
    "Qwen-Image transformer": (qwen_image, {}, 20_430_401_088),
}
"""By name: what makes the header, the config beside it, and the total that the Hub's page shows."""
