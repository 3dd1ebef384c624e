"""A file as a scan reads it, named ``model.pt``."""

from __future__ import annotations

from tests.fuzz.targets import scanned_as

SEEDS = "pytorch"
one = scanned_as("model.pt")
