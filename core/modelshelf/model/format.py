"""What a format plugin says: which files it wants to be shown, and what it takes one for."""

from __future__ import annotations

from attrs import field, frozen


@frozen(kw_only=True)
class FormatType:
    """What a format plugin wants to be shown; a walk opens no file that no plugin wants.

    Attributes:
        name: The format's name in records: ``gguf``.
        suffixes: File name endings with their dot, lower case; matched without regard to case.
        magic: Byte strings with their offset, that identify the format whatever the file's name is. They must
            lie within the first 512 bytes.
        index_suffixes: Endings of JSON files whose ``weight_map`` names the shards, such as
            ``.safetensors.index.json``.
    """

    name: str
    suffixes: tuple[str, ...] = ()
    magic: tuple[tuple[int, bytes], ...] = ()
    index_suffixes: tuple[str, ...] = ()


@frozen(kw_only=True)
class Detection:
    """A plugin's vote.

    Attributes:
        format: The format's name, as in its `FormatType`.
        confidence: 0 to 1. By custom: 1.0 the whole structure was verified, 0.9 magic bytes, 0.5 an
            ambiguous signature, 0.2 the suffix alone. At 0 it is no vote but a word, in `evidence`, on whose
            file this is: where no plugin votes, that is why it is no model, and no problem.
        evidence: What the vote rests on, for `modelshelf why`.
    """

    format: str
    confidence: float = field()
    evidence: str = ""

    @confidence.validator
    def _in_range(self, _attribute: object, value: float) -> None:
        if not 0 <= value <= 1:
            raise ValueError(f"confidence must lie between 0 and 1, not {value!r}")


@frozen(kw_only=True)
class TensorPlaces:
    """Where the data of one file's tensors lies, for a comparison of two copies.

    Attributes:
        file: The file's name relative to the artifact's folder.
        spans: Offset and length of each tensor's data, in any order. Nothing else may lie there: all that is
            outside of them is compared byte by byte, of each of them samples.
    """

    file: str
    spans: tuple[tuple[int, int], ...]
