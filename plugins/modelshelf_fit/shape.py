"""Read the facts that a record keeps into the numbers that the items of memory are computed from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from modelshelf_fit.architectures import ARCHITECTURES, ENCODERS

MOST_LAYERS = 4096
_MOST = 2**48


class UnknownMemoryError(Exception):
    """A fact that an estimate needs is missing or cannot be; the message says which."""


@frozen(kw_only=True)
class Facts:
    """The header's facts by the keys of llama.cpp, without the architecture's prefix.

    Attributes:
        architecture: The architecture's name.
        keys: Numbers, truth values, and lists of them for each layer, by key.
    """

    architecture: str
    keys: Mapping[str, Any]

    @classmethod
    def of(cls, memory: Mapping[str, Any] | None) -> Facts:
        """Read what a record keeps.

        Raises:
            UnknownMemoryError: It keeps nothing of the kind, or the architecture is not known.
        """
        keys = None if memory is None else memory.get("keys")
        if memory is None or not isinstance(keys, dict):
            raise UnknownMemoryError(
                "the record lacks the facts of the header; scan the model again: `modelshelf scan --force`"
            )
        architecture = memory.get("architecture")
        if architecture not in ARCHITECTURES:
            raise UnknownMemoryError(f"what the architecture {architecture!r} keeps in memory is not known")
        return cls(architecture=str(architecture), keys=keys)

    def number(self, key: str, default: int | None = None) -> int:
        """The number at a key; of a list the largest.

        Raises:
            UnknownMemoryError: There is none, and no default.
        """
        value = self.keys.get(key)
        if isinstance(value, list | tuple) and value:
            value = max(map(_checked(key), value))
        if value is None:
            value = default
        if value is None:
            raise UnknownMemoryError(f"the header has no {key}")
        return _checked(key)(value)

    def has(self, *keys: str) -> bool:
        """Whether the header has all of these keys."""
        return all(self.keys.get(one) is not None for one in keys)

    def per_layer(self, key: str, layers: int, default: int | None = None) -> Sequence[int]:
        """One number for each layer, the same for all where the header has one.

        Raises:
            UnknownMemoryError: There is none and no default, or fewer than there are layers.
        """
        value = self.keys.get(key)
        if not isinstance(value, list | tuple):
            return [self.number(key, default)] * layers
        if len(value) < layers:
            raise UnknownMemoryError(f"{key} has {len(value)} numbers for {layers} layers")
        return [_checked(key)(one) for one in value[:layers]]

    @property
    def layers(self) -> int:
        """Layers that run for each token: those for the next but one token do not.

        Raises:
            UnknownMemoryError: The header does not say, or claims what cannot be.
        """
        blocks, after = self.number("block_count"), self.number("nextn_predict_layers", 0)
        if not after < blocks <= MOST_LAYERS:
            raise UnknownMemoryError(f"{blocks} blocks, of which {after} predict further tokens, cannot be")
        return blocks - after

    @property
    def gives_logits(self) -> bool:
        """Whether it gives logits; encoders give embeddings."""
        return self.architecture not in ENCODERS

    @property
    def latent(self) -> bool:
        """Whether keys and values are cached as one latent vector (MLA)."""
        return self.has("attention.key_length_mla", "attention.value_length_mla")


def _checked(key: str) -> Callable[[object], int]:
    def check(value: object) -> int:
        if not isinstance(value, int) or not 0 <= value <= _MOST:
            raise UnknownMemoryError(f"{key} cannot be {value!r}")
        return int(value)

    return check
