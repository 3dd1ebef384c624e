"""Names of tensors say what a model is for, and how sure they are of it."""

from __future__ import annotations

import pytest

from modelshelf.model.kind import Kind
from modelshelf.model.tensor_names import MOST_TEXT, NamedKind, kind_of_names, target_modules
from tests.kind_layouts import ADAPTERS, PICTURES, KindLayout

Shapes = dict[str, tuple[int, ...]]


def found_in(shapes: Shapes) -> NamedKind | None:
    return kind_of_names("\n".join(["", *shapes, ""]), shapes.get)


def named(*names: str) -> NamedKind | None:
    return found_in(dict.fromkeys(names, (4, 4)))


@pytest.mark.parametrize("layout", [*PICTURES, *ADAPTERS], ids=lambda one: one.name)
def test_parts_of_generators_and_adapters_have_names_of_their_own(layout: KindLayout) -> None:
    found = found_in(layout.tensors)
    assert found is not None
    assert (found.kind, found.likely) == (layout.kind, False)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"), Kind.TEXT_GENERATION),
        (("tok_embeddings.weight", "layers.0.attention.wq.weight", "output.weight"), Kind.TEXT_GENERATION),
        (("transformer.wte.weight", "transformer.h.0.attn.c_attn.weight"), Kind.TEXT_GENERATION),
        (("backbone.embedding.weight", "backbone.layers.0.mixer.A_log"), Kind.TEXT_GENERATION),
        (("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "score.weight"), None),
        (("embed_tokens.weight", "layers.0.mlp.up_proj.weight", "norm.weight"), None),
        (("bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.x"), Kind.EMBEDDING),
        (
            (
                "model.encoder.conv1.weight",
                "model.encoder.conv2.weight",
                "model.decoder.embed_tokens.weight",
            ),
            Kind.SPEECH_RECOGNITION,
        ),
        (("encoder.conv1.weight", "decoder.token_embedding.weight"), Kind.SPEECH_RECOGNITION),
        (
            (
                "shared.weight",
                "encoder.block.0.layer.0.SelfAttention.q.weight",
                "encoder.embed_tokens.weight",
            ),
            Kind.TEXT_ENCODER,
        ),
        (
            (
                "encoder.block.0.layer.0.SelfAttention.q.weight",
                "decoder.block.0.layer.0.SelfAttention.q.weight",
            ),
            Kind.TEXT_GENERATION,
        ),
        (
            ("text_model.embeddings.token_embedding.weight", "text_model.encoder.layers.0.mlp.fc1.weight"),
            Kind.TEXT_ENCODER,
        ),
        (("vit.embeddings.patch_embeddings.projection.weight", "classifier.weight"), Kind.VISION),
        (("conv1.weight", "layer1.0.conv1.weight", "layer4.0.conv1.weight", "fc.weight"), Kind.VISION),
        (("weight", "bias"), None),
        ((), None),
    ],
)
def test_what_shares_its_names_with_other_kinds_is_likely_at_most(
    names: tuple[str, ...], kind: Kind | None
) -> None:
    found = named(*names)
    assert (found.kind if found else None) == kind
    assert found is None or found.likely


@pytest.mark.parametrize(("labels", "kind"), [(1, Kind.RERANKER), (3, Kind.CLASSIFIER)])
def test_the_head_of_an_encoder_says_how_many_classes_there_are(labels: int, kind: Kind) -> None:
    shapes: Shapes = {"bert.embeddings.word_embeddings.weight": (8, 8), "classifier.weight": (labels, 8)}
    found = found_in(shapes)
    assert found is not None
    assert found.kind is kind


def test_the_same_names_are_of_two_families_and_the_number_of_blocks_tells() -> None:
    def family(blocks: int) -> object:
        names = [f"lora_unet_double_blocks_{one}_img_attn_qkv" for one in range(blocks)]
        found = named(*(f"{one}.{part}.weight" for one in names for part in ("lora_down", "lora_up")))
        return found and found.details["adapter_family"]

    assert (family(19), family(20)) == ("flux", "hyvid")


@pytest.mark.parametrize(
    ("names", "targets"),
    [
        (
            "\na.q_proj.lora_A.weight\nb.to_out.0.lora_A.weight\n",
            ["q_proj", "to_out.0"],
        ),
        ("\na.k_proj.lora_A.default.weight\n", ["k_proj"]),
        ("\nlora_unet_x_attn1_to_q.lora_down.weight\nlora_unet_x_ff_net_0_proj.lora_down.weight\n", None),
        ("\nblk.0.attn_q.weight.lora_a\nblk.0.ffn_up.weight.lora_a\n", ["attn_q", "ffn_up"]),
        ("\nnothing.weight\n", []),
    ],
)
def test_target_modules_are_the_last_parts_of_names(names: str, targets: list[str] | None) -> None:
    assert target_modules(names) == (targets if targets is not None else ["ff_net_0_proj", "to_q"])


def test_more_names_than_are_looked_at_say_nothing() -> None:
    assert kind_of_names("\nemb_params\n" + "x" * MOST_TEXT, lambda _: None) is None
