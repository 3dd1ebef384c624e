"""Bytes as the pickle audit is given them by other programs."""

from __future__ import annotations

from modelshelf_pytorch.pickle.audit import audit

SEEDS = "pytorch"


def one(content: bytes) -> None:
    """Audit; whatever the bytes are, there is a verdict."""
    _ = audit(content).verdict
