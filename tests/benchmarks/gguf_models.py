"""GGUF models to measure with, and the plainest complete reading of their headers."""

from __future__ import annotations

import mmap
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from struct import Struct

from attrs import evolve, frozen

from modelshelf.reader import ArtifactReader
from modelshelf_gguf.parse import parse_headers
from modelshelf_gguf.vocabulary_cache import VocabularyCache
from tests.support import artifact_of

TOKENS, MERGES, TENSORS, FIELDS = 128_256, 280_147, 291, 33
"""Those of Llama 3.1 8B."""

SMALL_TOKENS = 32_000
"""Those of Llama 2."""

WALK = "the plain struct walk over a mapping"
"""What `walks` does, as a peer's name."""

_ROW = 256
_U32, _U64 = Struct("<I").unpack_from, Struct("<Q").unpack_from
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


@frozen(kw_only=True)
class Model:
    """A file that was made.

    Attributes:
        path: Where it is.
        header: Its header's bytes.
        size: Bytes of the whole file, nearly all of them a hole.
    """

    path: Path
    header: bytes
    size: int

    def variant(self, path: Path, number: int) -> Model:
        """A file whose first token and first merge, and so whose vocabulary, are another's."""
        header = self.header
        for key in (b"tokenizer.ggml.tokens", b"tokenizer.ggml.merges"):
            at = header.find(key)
            if at >= 0:
                at += len(key) + 4 + 4 + 8 + 8  # the array's types, its count, the first string's length
                header = header[:at] + b"%08d" % number + header[at + 8 :]
        made = evolve(self, path=path, header=header)
        made.write()
        return made

    def write(self) -> None:
        """Write the header, a hole for the data, and a last byte that is not zero."""
        with self.path.open("wb") as file:
            file.write(self.header)
            file.seek(self.size - 1)
            file.write(b"\1")


def write_model(path: Path, *, tokens: int, merges: int) -> Model:
    """A header as the format's own writer makes it; the tensors' data are a hole."""
    import gguf
    import numpy as np

    draw = random.Random(tokens)  # noqa: S311 - no secret
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Meta Llama 3.1 8B Instruct")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"{0:08}"] + [_word(draw, 9.3) for one in range(1, tokens)])
    writer.add_token_types([1] * tokens)
    if merges:
        writer.add_token_merges(
            [f"{0:08}"] + [f"{_word(draw, 4)} {_word(draw, 4)}" for _ in range(1, merges)]
        )
    for number in range(FIELDS - 5 - bool(merges)):
        writer.add_uint32(f"llama.number_{number}", number)
    for number in range(TENSORS):
        name = f"blk.{number // 9}.part_{number % 9}.weight"
        writer.add_tensor_info(name, (_ROW, _ROW), np.dtype("float16"), _ROW * _ROW * 2)
    for step in ("header", "kv_data", "ti_data"):
        getattr(writer, f"write_{step}_to_file")()
    writer.close()
    header = path.read_bytes()
    header += bytes(-len(header) % 32)
    made = Model(path=path, header=header, size=len(header) + TENSORS * _ROW * _ROW * 2)
    made.write()
    return made


def _word(draw: random.Random, mean: float) -> str:
    # Real vocabularies have a few hundred long runs of one sign; one in 5,000 here.
    length = (
        draw.randrange(256, 400) if draw.random() < 1 / 5_000 else max(1, int(draw.gauss(mean, mean / 3)))
    )
    return "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=length))


def struct_walk(path: Path) -> tuple[int, int]:
    """The plainest complete reading of a header: one `struct` call a number; pairs and tensors."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        (tensors,), (pairs,), at = _U64(data, 8), _U64(data, 16), 24
        fields = {}
        for _ in range(pairs):
            (length,) = _U64(data, at)
            key, (kind,), at = (
                data[at + 8 : at + 8 + length],
                _U32(data, at + 8 + length),
                at + 12 + length,
            )
            fields[key] = kind, at
            at = _behind(data, kind, at)
        table = []
        for _ in range(tensors):
            (length,) = _U64(data, at)
            name, at = data[at + 8 : at + 8 + length], at + 8 + length
            (dimensions,) = _U32(data, at)
            shape = [_U64(data, at + 4 + 8 * one)[0] for one in range(dimensions)]
            at += 4 + 8 * dimensions
            table.append((name, shape, _U32(data, at)[0], _U64(data, at + 4)[0]))
            at += 12
    return len(fields), len(table)


def _behind(data: mmap.mmap, kind: int, at: int) -> int:
    if kind == 8:
        return at + 8 + _U64(data, at)[0]
    if kind != 9:
        return at + _WIDTHS[kind]
    (item,), (count,), at = _U32(data, at), _U64(data, at + 4), at + 12
    if item != 8:
        return at + count * _WIDTHS[item]
    for _ in range(count):
        at += 8 + _U64(data, at)[0]
    return at


def headers(models: Sequence[Model], cache: VocabularyCache | None) -> int:
    """Read these headers through the reader that a scan uses; the bytes that it took."""
    taken = 0
    for model in models:
        artifact = artifact_of(model.path)
        with ArtifactReader(artifact) as reader:
            (header,) = parse_headers(artifact, reader, cache)
            taken += reader.bytes_read
        assert header.fault is None
        assert len(header.tensors) == TENSORS
    return taken


def walks(models: Sequence[Model]) -> Callable[[], None]:
    """The struct walk of all of these."""

    def walk() -> None:
        for model in models:
            assert struct_walk(model.path) == (FIELDS, TENSORS)

    return walk
