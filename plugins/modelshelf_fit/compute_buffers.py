"""Buffers of intermediate results: an estimate with a low and a high end.

The engine reuses the memory of a result as soon as nobody needs it any more, so what counts is the moment in
its graph at which most is alive: at the logits, in a feed-forward layer, or at the attention scores. The
formulas below follow what is alive then, in floats for each token; how the engine's allocator fits them
together is what the margin is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from modelshelf_fit.architectures import CACHELESS, ENCODERS, GATED_ENCODERS, HYBRID, RECURRENT
from modelshelf_fit.shape import Facts, UnknownMemoryError

if TYPE_CHECKING:
    from modelshelf.model import MemoryRequest

_FLOAT = 4
_HALF = 2


@frozen(kw_only=True)
class Widths:
    """The widths that decide what is alive at the worst moment.

    Attributes:
        family: ``dense``, ``latent``, ``hybrid``, ``recurrent`` or ``encoder``.
        vocabulary: Tokens of the vocabulary; None where it is not known.
        embedding: The hidden state's.
        feed_forward: The feed-forward layers', of all experts that a token uses.
        experts_out: What the experts give before they are added up.
        heads: Attention heads.
        absorbed: Queries of latent attention by which the latent keys are multiplied, and what comes of it.
        state: What a recurrent layer computes with.
    """

    family: str
    vocabulary: int | None
    embedding: int
    feed_forward: int
    experts_out: int
    heads: int
    absorbed: int
    state: int


def widths_of(facts: Facts) -> Widths:
    """Read the widths.

    Raises:
        UnknownMemoryError: The header lacks one.
    """
    embedding = facts.number("embedding_length")
    used = facts.number("expert_used_count", 0) if facts.number("expert_count", 0) else 0
    feed_forward = facts.number("feed_forward_length", 0)
    if used:
        dense = feed_forward if facts.number("leading_dense_block_count", 0) else 0
        feed_forward = max(dense, facts.number("expert_feed_forward_length", feed_forward) * used)
    if facts.architecture in GATED_ENCODERS:
        feed_forward *= 3
    heads, absorbed = facts.number("attention.head_count", 0), 0
    if facts.latent:
        latent, rotated = facts.number("attention.kv_lora_rank"), facts.number("rope.dimension_count")
        absorbed = heads * 2 * (latent + rotated)
    inner = facts.number("ssm.inner_size", 0)
    state = 4 * inner + 6 * facts.number("ssm.group_count", 0) * facts.number("ssm.state_size", 0)
    return Widths(
        family=_family(facts),
        vocabulary=facts.number("vocab_size") if facts.has("vocab_size") else None,
        embedding=embedding,
        feed_forward=feed_forward,
        experts_out=used * embedding,
        heads=heads,
        absorbed=absorbed,
        state=state,
    )


def compute_bytes(
    widths: Widths, request: MemoryRequest, cells: tuple[int, ...], context: int
) -> tuple[int, int]:
    """Estimate the least and the most that the buffers take.

    Args:
        widths: The model's.
        request: How it is to be run.
        cells: Cells of a stream of each cache that has a mask of its own.
        context: Tokens of all sequences together, padded.

    Raises:
        UnknownMemoryError: The size of the vocabulary is not known.
    """
    tokens = min(request.ubatch, context)
    if widths.family == "encoder":
        return _encoder(widths, tokens, flash=request.flash)
    if widths.vocabulary is None:
        raise UnknownMemoryError("the header does not say how large the vocabulary is")
    logits = _FLOAT * tokens * (widths.vocabulary + 2 * widths.embedding)
    if widths.family == "recurrent":
        inner = _FLOAT * tokens * (max(widths.state, 3 * widths.feed_forward) + 2 * widths.embedding)
        return _margin(max(logits, inner), 1.0, 1.2)
    mask = tokens * sum(cells) * (_HALF if request.flash else _FLOAT)
    feed_forward = mask + _FLOAT * tokens * (3 * widths.feed_forward + 4 * widths.embedding)
    attention = mask + _FLOAT * tokens * (widths.absorbed + 2 * widths.embedding)
    if not request.flash:
        scores = _FLOAT * widths.heads * max(cells, default=0) * tokens
        attention = max(mask + 22 * tokens * widths.embedding, attention) + scores
    low = max(logits, feed_forward, attention)
    if widths.family == "dense":
        return _margin(low, 1.0, 1.1)
    if widths.family == "hybrid":  # its graph may keep the mask until the logits
        return int(0.95 * low), max(int(1.15 * low), int(1.05 * (logits + mask)) if request.flash else 0)
    latent = _FLOAT * tokens * (widths.vocabulary + widths.experts_out + 4 * widths.embedding)
    return int(0.98 * low), max(int(1.15 * low), int(1.1 * latent))


def _encoder(widths: Widths, tokens: int, *, flash: bool) -> tuple[int, int]:
    """Everything is computed at once: the feed-forward layer beside three hidden states, or the scores."""
    mask = tokens * tokens * (_HALF if flash else _FLOAT)
    most = mask + _FLOAT * tokens * (widths.feed_forward + 3 * widths.embedding)
    if not flash:
        scores = _FLOAT * tokens * (widths.heads * tokens + 6 * widths.embedding)
        most = max(most, mask + scores)
    return _margin(most, 0.95, 1.2)


def _margin(size: int, low: float, high: float) -> tuple[int, int]:
    return int(low * size), int(high * size)


def _family(facts: Facts) -> str:
    if facts.architecture in ENCODERS:
        return "encoder"
    if facts.architecture in RECURRENT:
        return "recurrent"
    if facts.architecture in HYBRID:
        return "hybrid"
    if facts.architecture in CACHELESS:
        return "dense"
    return "latent" if facts.latent else "dense"
