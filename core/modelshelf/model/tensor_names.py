"""What the names of a model's tensors say of its kind, whatever the file format.

The names are looked at together, as one text with a line for each: a rule is a few substrings, which is quick
for thousands of names, and the commonest models are told apart by the first rules. Shapes are asked for where
two families have equal names.

Sources of the names: the programs that write them (diffusers, PEFT, kohya's sd-scripts, LyCORIS, ComfyUI,
transformers, spandrel for upscalers).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from modelshelf.model.kind import Kind

ShapeOf = Callable[[str], "tuple[int, ...] | None"]
"""Gives the shape of a tensor as PyTorch writes it, or None where there is none of that name."""

MOST_TEXT = 4 << 20
"""Characters of names that are looked at; of what has more, other files say what it is."""

_IMAGE, _VIDEO = ("image",), ("video",)
_MOST_TARGETS = 64


class NamedKind(NamedTuple):
    """What tensor names say.

    Attributes:
        kind: The kind.
        family: The family, as ComfyUI and GGUF files name it: ``sdxl``, ``flux``, …; or None.
        output: What a generator gives; None where that is unknown, or follows from the kind.
        details: Further facts: an adapter's dialect, rank and target modules.
        likely: Whether other kinds have the same names, so that any other word is to be believed before.
    """

    kind: Kind
    family: str | None = None
    output: tuple[str, ...] | None = None
    details: dict[str, Any] = {}  # noqa: RUF012 - a default of a tuple, which nobody changes
    likely: bool = False


def kind_of_names(names: str, shape_of: ShapeOf) -> NamedKind | None:
    """What tensor names say; None where no rule fits.

    Args:
        names: The names, each with a line break before and behind it.
        shape_of: The shape of a tensor.
    """
    if len(names) > MOST_TEXT:
        return None
    adapter = _adapter(names, shape_of)
    if adapter is not None:
        return adapter
    if _fits(_WRITERS, names):
        return _writer(names)
    return _of_pictures(names, shape_of) or _likely(names, shape_of)


def _fits(rules: Iterable[tuple[str, ...]], names: str) -> bool:
    """Whether all marks of some rule are among the names."""
    for marks in rules:
        for mark in marks:
            if mark not in names:
                break
        else:
            return True
    return False


# Adapters


_DIALECTS: tuple[tuple[str, tuple[str, ...], str | None, int], ...] = (
    # dialect, its marks (in small letters), the mark of the tensor that has the rank, and its dimension
    ("loha", (".hada_w1_", ".hada_w2_"), ".hada_w1_b", 0),
    ("lokr", (".lokr_w",), ".lokr_w2_a", 1),
    ("oft", (".oft_blocks", ".oft_diag", ".oft_r.", ".boft_r.", ".boft_s."), None, 0),
    ("ia3", (".ia3_l",), None, 0),
    ("vera", (".vera_lambda_",), None, 0),
    ("lora", (".lora_a.", ".lora_b.", ".lora_a\n", ".lora_b\n", ".lora_embedding_"), ".lora_a", 0),
    ("lora", (".lora_down.", ".lora_up."), ".lora_down", 0),
    ("lora", (".lora.down.", ".lora.up.", "_lora.down.", "_lora.up."), "lora.down", 0),
    ("lora", ("_lora1.down.", "_lora1.up.", "_lora2.down.", "_lora2.up."), "_lora1.down", 0),
    ("full", (".diff\n", ".diff_b\n"), None, 0),
    ("lora", (".lora_linear_layer.down.", ".lora_linear_layer.up."), ".lora_linear_layer.down", 0),
    ("prompt-tuning", ("\nprompt_embeddings\n",), None, 0),
    ("ip-adapter", (".to_k_ip.", ".to_v_ip.", "\nimage_proj"), None, 0),
    ("ip-adapter", (".ip_adapter_double_stream_", "\nip_adapter_proj_model."), None, 0),
    ("t2i-adapter", ("\nbody.0.block1.", "\nadapter.body.", "\nadapter.channel_unshuffle"), None, 0),
    ("motion", (".motion_modules.", "\nmotion_modules."), None, 0),
)
_ANY_DIALECT = re.compile("|".join(re.escape(mark) for _, marks, _, _ in _DIALECTS for mark in marks))
"""One search in place of many, for the many models that are no adapter."""

_MAGNITUDES = (".lora_magnitude_vector", ".dora_scale")
_BESIDE = (".alpha\n", ".lora_e\n", ".ranknum\n", ".lora_mid.", *_MAGNITUDES)
_TARGET = re.compile(
    r"([A-Za-z]\w*(?:\.\d+)?)\.(?:base_layer\.)?"
    r"(?:weight\.)?(?:lora_[Aa]\b|lora_embedding_A|ia3_l|vera_lambda_b|oft_[rR]\b)"
)
_FLAT_TARGET = re.compile(
    r"(to_[qkv]|to_out_0|to_add_out|add_[qkv]_proj|[qkvo]_proj|out_proj|proj_in|proj_out|proj_mlp|"
    r"ff_net_0_proj|ff_net_2|ff_context_net_0_proj|ff_context_net_2|fc[12]|conv[12]?|conv_in|conv_out|"
    r"conv_shortcut|time_emb_proj|img_attn_(?:qkv|proj)|txt_attn_(?:qkv|proj)|img_mlp_[02]|txt_mlp_[02]|"
    r"img_mod_lin|txt_mod_lin|modulation_lin|linear[12])"
    r"\.(?:lora_down|hada_w1_a|lokr_w1(?:_a)?|oft_blocks|oft_diag)\b"
)


def _adapter(names: str, shape_of: ShapeOf) -> NamedKind | None:
    """An adapter, where most names are its own: a few whole models have some adapters in them."""
    lowered = names.lower()
    if _ANY_DIALECT.search(lowered) is None:
        return None
    for dialect, marks, ranked, dimension in _DIALECTS:
        if not any(mark in lowered for mark in marks):
            continue
        own = sum(map(lowered.count, (*marks, *_BESIDE)))
        if own * 2 <= names.count("\n") - 1:
            continue
        if dialect in {"ip-adapter", "t2i-adapter", "motion"}:
            return NamedKind(Kind.ADAPTER, details={"adapter": dialect})
        details: dict[str, Any] = {"adapter": dialect}
        if dialect == "lora" and any(mark in lowered for mark in _MAGNITUDES):
            details["adapter"] = "dora"
        rank = None if ranked is None else _rank(names, lowered, ranked, dimension, shape_of)
        if rank is not None:
            details["adapter_rank"] = rank
        targets = target_modules(names)
        if targets:
            details["target_modules"] = targets
        family = _family_of_adapter(names, shape_of)
        if family is not None:
            details["adapter_family"] = family
        return NamedKind(Kind.ADAPTER, details=details)
    return None


_MOST_RANKS = 4096


def _rank(names: str, lowered: str, mark: str, dimension: int, shape_of: ShapeOf) -> int | None:
    """The largest of one dimension of the tensors with a mark."""
    found: int | None = None
    place = lowered.find(mark)
    for _ in range(_MOST_RANKS):
        if place < 0:
            break
        end = names.index("\n", place)
        shape = shape_of(names[names.rindex("\n", 0, place) + 1 : end]) or ()
        if len(shape) > dimension:
            found = max(found or 0, shape[dimension])
        place = lowered.find(mark, end)
    return found


def target_modules(names: str) -> list[str]:
    """The modules that an adapter changes, by the last parts of their names, sorted."""
    found = {match[1] for match in _TARGET.finditer(names)} or {
        match[1] for match in _FLAT_TARGET.finditer(names)
    }
    if not found and ".lora_a\n" in names + "\n":  # GGUF and MLX: the module's weight, then the letter
        found = {match[1] for match in _PLAIN_TARGET.finditer(names)}
    return sorted(found)[:_MOST_TARGETS]


_PLAIN_TARGET = re.compile(r"(\w+)(?:\.weight)?\.lora_a\b")
_ADAPTER_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("hyvid", ("_double_blocks_19_", "_single_blocks_38_", "double_blocks.0.img_attn_qkv.")),
    ("flux", ("lora_unet_double_blocks_0_img_attn", "lora_unet_single_blocks_0_linear")),
    ("flux", ("single_transformer_blocks.0.",)),
    ("flux", ("double_blocks.0.img_attn.", "single_blocks.0.linear")),
    ("sd3", ("lora_unet_joint_blocks_0", "joint_blocks.0.")),
    ("hidream", ("double_stream_blocks.0.", "double_stream_blocks_0_")),
    ("qwen_image", ("transformer_blocks.0.img_mod.", "transformer_blocks_0_img_mod", ".0.img_mlp.")),
    ("wan", ("blocks.0.cross_attn.", "lora_unet_blocks_0_cross_attn")),
    ("sdxl", ("lora_te2_", "\ntext_encoder_2.", "lora_unet_output_blocks_5_1_transformer_blocks_")),
)
_ATTENTIONS = (
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight",
    "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight",
    "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora.down.weight",
    "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight",
    "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight",
    "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight",
    "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight",
)
_FAMILY_OF_WIDTH = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl-refiner"}
"""The family of a U-Net, by the width of the text that its second attention looks at."""


def _family_of_adapter(names: str, shape_of: ShapeOf) -> str | None:
    for family, marks in _ADAPTER_FAMILIES:
        if any(mark in names for mark in marks):
            return family
    for name in _ATTENTIONS:
        shape = shape_of(name)
        if shape is not None and len(shape) > 1:
            return _FAMILY_OF_WIDTH.get(shape[1])
    return None


# Language models


_WRITERS = (
    ("\nmodel.embed_tokens.weight\n", "\nmodel.layers.0."),
    ("\nmodel.language_model.layers.0.",),
    ("\nlanguage_model.model.layers.0.",),
    ("\ntransformer.wte.weight\n", "\ntransformer.h.0."),
    ("\nwte.weight\n", "\nh.0.attn.c_attn."),
    ("\ntok_embeddings.weight\n", "\nlayers.0.attention.wq.", "\noutput.weight\n"),
    ("\ntransformer.word_embeddings.", "\ntransformer.h.0."),
    ("\ntransformer.wte.weight\n", "\ntransformer.blocks.0."),
    ("\ntransformer.embedding.word_embeddings.", "\ntransformer.encoder.layers.0."),
    ("\nmodel.tok_embeddings.weight\n", "\nmodel.layers.0."),
    ("\ngpt_neox.embed_in.weight\n", "\ngpt_neox.layers.0."),
    ("\nmodel.decoder.embed_tokens.weight\n", "\nmodel.decoder.layers.0.self_attn.", "\nlm_head."),
    ("\nbackbone.embeddings.weight\n", "\nbackbone.layers.0.mixer."),
    ("\nbackbone.embedding.weight\n", "\nbackbone.layers.0.mixer."),
    ("\nemb.weight\n", "\nblocks.0.att."),
)
_HEADS = ("\nscore.weight\n", "\nclassifier.weight\n", "\nv_head.", "\nregression_head.")
_SPEECH = ("\nmodel.encoder.conv1.weight\n", "\nencoder.conv1.weight\n")


def _writer(names: str) -> NamedKind | None:
    """A decoder with its vocabulary: it writes text, but where another head is on it."""
    if any(mark in names for mark in _HEADS):
        return None
    if any(mark in names for mark in _SPEECH):
        return NamedKind(Kind.SPEECH_RECOGNITION, likely=True)
    return NamedKind(Kind.TEXT_GENERATION, likely=True)


# Diffusion models and their parts


_CHECKPOINT = "\nmodel.diffusion_model."
_ENCODERS_WITHIN = ("\ncond_stage_model.", "\nconditioner.embedders.", "\ntext_encoders.", "\ntext_encoder.")
_VAE_WITHIN = ("\nfirst_stage_model.", "\nvae.")

_DENOISERS: tuple[tuple[str | None, tuple[str, ...] | None, tuple[str, ...]], ...] = (
    # family, what it gives, names that it has
    ("chroma", _IMAGE, ("distilled_guidance_layer.", "single_")),
    ("flux2", _IMAGE, ("double_stream_modulation_img.",)),
    ("flux", _IMAGE, ("double_blocks.0.img_attn.qkv.", "single_blocks.0.linear1.")),
    ("hyvid", _VIDEO, ("double_blocks.0.img_attn_qkv.", "txt_in.individual_token_refiner.")),
    ("hyvid", _VIDEO, ("double_blocks.0.img_attn.", "txt_in.individual_token_refiner.")),
    ("hyvid", _VIDEO, ("single_transformer_blocks.0.", "context_embedder.token_refiner.")),
    ("auraflow", _IMAGE, ("single_transformer_blocks.0.", "joint_transformer_blocks.0.")),
    ("auraflow", _IMAGE, ("double_layers.0.", "single_layers.0.")),
    ("flux", _IMAGE, ("single_transformer_blocks.0.", "transformer_blocks.0.attn.add_", "x_embedder.")),
    ("sd3", _IMAGE, ("joint_blocks.0.context_block.", "joint_blocks.0.x_block.")),
    ("sd3", _IMAGE, ("transformer_blocks.0.attn.add_q_proj.", "pos_embed.proj.", "context_embedder.")),
    ("qwen_image", _IMAGE, ("transformer_blocks.0.img_mod.", "transformer_blocks.0.txt_mod.", "txt_norm.")),
    ("hidream", _IMAGE, ("double_stream_blocks.0.block.", "single_stream_blocks.0.block.")),
    ("wan", _VIDEO, ("blocks.0.cross_attn.", "text_embedding.0.", "time_projection.1.", "patch_embedding.")),
    ("wan", _VIDEO, ("blocks.0.attn2.", "condition_embedder.text_embedder.", "patch_embedding.")),
    ("ltxv", _VIDEO, ("transformer_blocks.0.scale_shift_table", "patchify_proj.")),
    ("ltxv", _VIDEO, ("transformer_blocks.0.scale_shift_table", "\nproj_in.", "\ntime_embed.")),
    ("pixart", _IMAGE, ("transformer_blocks.0.scale_shift_table", "pos_embed.proj.", "adaln_single.")),
    ("pixart", _IMAGE, ("blocks.0.cross_attn.", "t_block.1.", "y_embedder.")),
    ("sana", _IMAGE, ("transformer_blocks.0.ff.conv_depth.", "caption_projection.")),
    ("mochi", _VIDEO, ("blocks.0.attn.qkv_x.", "t5_yproj.")),
    ("mochi", _VIDEO, ("blocks.0.attn.qkv_x.", "t5_y_embedder.")),
    ("lumina2", _IMAGE, ("noise_refiner.0.", "context_refiner.0.", "cap_embedder.")),
    ("lumina2", _IMAGE, ("noise_refiner.0.", "context_refiner.0.", "caption_embedder.")),
    ("cosmos", _VIDEO, ("blocks.block0.blocks.0.", "t_embedder.")),
    ("cogvideox", _VIDEO, ("patch_embed.text_proj.", "transformer_blocks.0.norm1.linear.", "norm_final.")),
    ("hunyuan-dit", _IMAGE, ("blocks.0.attn2.", "text_embedding_padding")),
    ("svd", _VIDEO, ("input_blocks.0.0.weight", ".time_stack.0.", "output_blocks.0.")),
    ("svd", _VIDEO, ("down_blocks.0.", "temporal_transformer_blocks.0.", "up_blocks.0.", "\nconv_in.")),
    ("stable-cascade", _IMAGE, ("clip_txt_mapper.", "down_blocks.0.")),
)
_UNET = ("input_blocks.0.0.weight\n", "middle_block.", "output_blocks.0.")
_UNET_OF_DIFFUSERS = ("\ndown_blocks.0.", "\nmid_block.", "\nup_blocks.0.", "\ntime_embedding.linear_1.")
_CONTROLNETS = (
    ("controlnet_cond_embedding.",),
    ("\ncontrolnet_blocks.0.",),
    ("\ncontrolnet_down_blocks.0.",),
    ("\nlora_controlnet\n",),
    ("\ncontrol_model.",),
    ("input_hint_block.", "zero_convs."),
)
_VAES = (
    ("encoder.down.0.block.0.", "decoder.up.0.block.0."),
    ("\ndecoder.up_blocks.0.resnets.", "\nencoder.down_blocks.0.resnets."),
    ("\nencoder.downsamples.0.", "\ndecoder.upsamples.0."),
    ("\ntaesd_encoder.",),
    ("\ntaesd_decoder.",),
    ("\nencoder.down_blocks.0.", "\ndecoder.up_blocks.0.", "\ndecoder.conv_in."),
)
_UPSCALERS = (
    ("\nmodel.0.weight\n", "\nmodel.1.sub.0.RDB1."),
    ("conv_first.weight\n", "body.0.rdb1."),
    ("conv_first.weight\n", "RRDB_trunk.0.RDB1."),
    ("conv_first.weight\n", "layers.0.residual_group."),
    ("conv_first.weight\n", "conv_after_body."),
    ("conv_first.weight\n", "conv_last.weight\n"),
    ("\nblock_1.c1_r.", "\nupsampler."),
    ("\nresidual_layer.0.residual_layer.0.",),
    ("feats.0.weight\n", "feats.1.channel_mixer."),
    ("feats.0.weight\n", "feats.1.channe_mixer."),
)


def _of_pictures(names: str, shape_of: ShapeOf) -> NamedKind | None:
    """A generator of images or videos, whole or a part of one."""
    inversion = _inversion(names, shape_of)
    if inversion is not None:
        return inversion
    is_checkpoint = _CHECKPOINT in names
    if not is_checkpoint and _fits(_CONTROLNETS, names):
        return NamedKind(Kind.CONTROLNET, _family_of_unet(names, shape_of))
    family, output, found = _denoiser(names, shape_of)
    if found or is_checkpoint:
        has_encoder = any(mark in names for mark in _ENCODERS_WITHIN)
        has_vae = any(mark in names for mark in _VAE_WITHIN)
        if not has_encoder and not has_vae:
            return NamedKind(Kind.DENOISER, family, output)
        kind = Kind.VIDEO_GENERATION if output == _VIDEO else Kind.IMAGE_GENERATION
        return NamedKind(kind, family, output)
    if _fits(_VAES, names):
        return NamedKind(Kind.VAE)
    is_upscaler = _fits(_UPSCALERS, names)
    return NamedKind(Kind.UPSCALER) if is_upscaler or _is_compact(names, shape_of) else None


def _denoiser(names: str, shape_of: ShapeOf) -> tuple[str | None, tuple[str, ...] | None, bool]:
    """The family of a denoiser, what it gives, and whether there is one."""
    for family, output, marks in _DENOISERS:
        for mark in marks:
            if mark not in names:
                break
        else:
            return family, output, True
    if _fits((_UNET, _UNET_OF_DIFFUSERS), names):
        return _family_of_unet(names, shape_of), _IMAGE, True
    return None, None, False


_CROSS_ATTENTIONS = (
    "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
    "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight",
)
_PREFIXES = ("", "model.diffusion_model.", "control_model.")


def _family_of_unet(names: str, shape_of: ShapeOf) -> str | None:
    if "transformer_blocks.0.attn2.to_k.weight\n" not in names:
        return None
    for attention in _CROSS_ATTENTIONS:
        for prefix in _PREFIXES:
            shape = shape_of(prefix + attention)
            if shape is not None and len(shape) > 1:
                return _FAMILY_OF_WIDTH.get(shape[1])
    return None


_MOST_INVERSIONS = 4
_TOKEN = re.compile(r"\n<[^>\n]+>\n")


def _inversion(names: str, shape_of: ShapeOf) -> NamedKind | None:
    """Embeddings of new words, and nothing else."""
    count = names.count("\n") - 1
    if count > _MOST_INVERSIONS:
        return None
    both = "\nclip_l\n" in names and "\nclip_g\n" in names
    name = "emb_params" if "\nemb_params\n" in names else "clip_l" if both else None
    if name is None and "\nstring_to_param." in names:
        name = names[names.index("\nstring_to_param.") + 1 :].partition("\n")[0]
    if name is None and count == 1 and _TOKEN.fullmatch(names):
        name = names.strip("\n")
    if name is None:
        return None
    shape = shape_of(name) or ()
    family = "sdxl" if both else _FAMILY_OF_WIDTH.get(shape[-1]) if shape else None
    return NamedKind(Kind.TEXTUAL_INVERSION, family)


_IMAGE_KERNEL = (3, 3, 3)


def _is_compact(names: str, shape_of: ShapeOf) -> bool:
    """Whether it is a compact upscaler: a body of convolutions alone, the first of which takes an image."""
    prefix = next((one for one in ("params_ema.", "params.") if f"\n{one}body." in names), "")
    first = shape_of(f"{prefix}body.0.weight")
    is_alone = names.count(f"\n{prefix}body.") == names.count("\n") - 1
    return is_alone and first is not None and first[1:] == _IMAGE_KERNEL


# What other words are believed before


_LIKELY: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (
        Kind.SPEECH_RECOGNITION,
        ("encoder.conv1.weight\n", "decoder.", "encoder.conv2.weight\n", "embed_tokens."),
    ),
    (Kind.SPEECH_RECOGNITION, ("\nencoder.conv1.weight\n", "\ndecoder.token_embedding.weight\n")),
    (Kind.SPEECH_RECOGNITION, ("\nwav2vec2.feature_extractor.", "\nlm_head.")),
    (Kind.TEXT_TO_SPEECH, ("predictor.", "text_encoder.", "bert_encoder.", "decoder.")),
    (Kind.TEXT_TO_SPEECH, ("\nspeech_decoder_postnet.",)),
    (Kind.VISION, ("\ntext_model.embeddings.", "\nvision_model.embeddings.")),
    (Kind.TEXT_ENCODER, ("text_model.embeddings.token_embedding.weight\n", "text_model.encoder.layers.0.")),
    (
        Kind.TEXT_GENERATION,
        ("encoder.block.0.layer.0.SelfAttention.", "decoder.block.0.layer.0.SelfAttention."),
    ),
    (Kind.TEXT_ENCODER, ("encoder.block.0.layer.0.SelfAttention.q.",)),
    (Kind.PROJECTOR, ("\nmodel.mm_projector.0.",)),
    (Kind.PROJECTOR, ("\nmm_projector.0.",)),
    (Kind.VISION, ("\nvision_model.embeddings.",)),
    (Kind.VISION, ("\nimage_encoder.", "\nmask_decoder.")),
    (Kind.VISION, ("embeddings.patch_embeddings.projection.",)),
    (Kind.VISION, ("\npatch_embed.proj.weight\n", "\nblocks.0.attn.qkv.")),
    (Kind.VISION, ("\nconv1.weight\n", "\nlayer1.0.conv1.weight\n", "\nlayer4.0.conv1.weight\n")),
    (Kind.TEXT_ENCODER, ("\ntransformer.resblocks.0.", "\ntoken_embedding.weight\n")),
    (Kind.DRAFT, ("\nmidlayer.self_attn.", "\nfc.weight\n")),
)
_WORDS = "embeddings.word_embeddings.weight\n"
_CLASSES = ("classifier.weight", "classifier.out_proj.weight")


def _likely(names: str, shape_of: ShapeOf) -> NamedKind | None:
    for kind, marks in _LIKELY:
        for mark in marks:
            if mark not in names:
                break
        else:
            return NamedKind(kind, likely=True)
    if _WORDS not in names:
        return None
    for name in _CLASSES:
        shape = shape_of(name)
        if shape:
            return NamedKind(Kind.RERANKER if shape[0] == 1 else Kind.CLASSIFIER, likely=True)
    return NamedKind(Kind.EMBEDDING, likely=True)
