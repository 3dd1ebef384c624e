from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from modelshelf_pytorch import modelshelf_tensor_places
from tests.plugins.modelshelf_pytorch.forge import EVIL
from tests.support import reader_of

TENSORS = {"a": torch.arange(1000, dtype=torch.float32), "b": torch.full((7,), 3, dtype=torch.uint8)}


def places(path: Path) -> list[tuple[int, int]]:
    with reader_of(path) as reader:
        return [
            span for one in modelshelf_tensor_places(reader.artifact, "pytorch", reader) for span in one.spans
        ]


def test_the_places_of_tensors_are_the_storages_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save(TENSORS, path)
    content = path.read_bytes()
    data = {content[offset : offset + length] for offset, length in places(path)}
    assert data == {bytes(one.untyped_storage()) for one in TENSORS.values()}


def test_a_pickle_lies_in_no_place_of_a_tensor(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save({**TENSORS, "more": pickle.dumps([1, 2, 3])}, path)
    at = path.read_bytes().index(b"data.pkl")
    assert not any(offset <= at < offset + length for offset, length in places(path))


@pytest.mark.parametrize("kind", ["legacy", "overlapping", "unsafe"])
def test_what_is_to_be_compared_whole_has_none(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.pt"
    torch.save(TENSORS, path, _use_new_zipfile_serialization=kind != "legacy")
    content = bytearray(path.read_bytes())
    if kind == "overlapping":  # the last storage's local header claims a longer name than there is
        last = content.rindex(b"PK\x03\x04")
        content[last + 26 : last + 28] = (60_000).to_bytes(2, "little")
    if kind == "unsafe":
        content = bytearray(EVIL)
    path.write_bytes(content)
    assert places(path) == []
