"""How much one header may ask for: so that none takes a second or 200 MB, and every honest one passes.

A vocabulary of a million tokens with its merges has about three million strings; the largest mixtures of
experts have some ten thousand tensors in a file.
"""

from __future__ import annotations

from attrs import define

from modelshelf.errors import FormatError

MOST_FIELDS = 8_192
MOST_TENSORS = 32_768
MOST_KEY_BYTES = 65_535
"""Specification, `gguf_metadata_kv_t`: a key is at most 2^16 - 1 bytes long."""

MOST_NAME_BYTES = 63
"""`GGML_MAX_NAME` is 64 with its closing NUL; llama.cpp refuses a longer tensor name."""

KEPT_ITEMS = 512
"""Elements of an array that is kept: one value per layer fits, a vocabulary does not."""

KEPT_TEXT_BYTES = 64 * 1024
"""Bytes of a text that is kept; a longer one is passed over."""


@define
class Allowance:
    """What is left of one header's share.

    Attributes:
        strings: Strings in arrays.
        arrays: Arrays within arrays.
        items: Elements of arrays that are kept.
        text_bytes: Bytes of keys and texts that are kept.
    """

    strings: int = 4_000_000
    arrays: int = 10_000
    items: int = 65_536
    text_bytes: int = 16 * 1024 * 1024

    def keeps(self, count: int) -> bool:
        """Whether an array of `count` elements is small enough to be kept, with all that were kept before."""
        if count > min(KEPT_ITEMS, self.items):
            return False
        self.items -= count
        return True

    def spend(self, what: str, amount: int, offset: int) -> None:
        """Take `amount` of the attribute `what`.

        Raises:
            FormatError: Not that much is left.
        """
        left = getattr(self, what)
        if amount > left:
            raise FormatError(
                f"the header asks for {amount} more {what.replace('_', ' ')} at offset {offset}, beyond what "
                "any model needs; the file was made to waste time or memory",
                code="header-too-large",
                offset=offset,
            )
        setattr(self, what, left - amount)
