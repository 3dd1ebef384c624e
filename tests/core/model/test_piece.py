from __future__ import annotations

import pytest

from modelshelf.model.piece import Piece, piece_of


@pytest.mark.parametrize(
    ("name", "piece"),
    [
        ("x.gguf.part1of2", Piece(whole="x.gguf", number=1, total=2)),
        ("x.i1-Q6_K.GGUF.Part02of10", Piece(whole="x.i1-Q6_K.GGUF", number=2, total=10)),
        ("x.gguf.part01", Piece(whole="x.gguf", number=1)),
        ("x.gguf-part-b", None),
        ("x.gguf-split-a", Piece(whole="x.gguf")),
        ("x.safetensors.split_aa", Piece(whole="x.safetensors")),
        ("x.bin.001", Piece(whole="x.bin", number=1)),
        ("x-00001-of-00002.gguf", None),
        ("x.gguf", None),
        ("x.gguf.part", None),
        ("part1of2", None),
    ],
)
def test_a_name_tells_whether_a_file_was_cut_by_bytes(name: str, piece: Piece | None) -> None:
    assert piece_of(name) == piece
