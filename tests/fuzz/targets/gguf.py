"""A file as a scan reads it, named ``model.gguf``."""

from __future__ import annotations

from tests.fuzz.targets import scanned_as

SEEDS = "gguf"
one = scanned_as("model.gguf")
