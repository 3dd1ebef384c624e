"""A file as a scan reads it, named ``model.safetensors``."""

from __future__ import annotations

from tests.fuzz.targets import scanned_as

SEEDS = "safetensors"
one = scanned_as("model.safetensors")
