from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.model import Concern, Finding, Severity
from modelshelf.scan.failed_download import is_failed_download, without_damage
from tests.support import reader_of

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 99\n"


@pytest.mark.parametrize(
    "head", [POINTER, b"", bytes(512), b"\n<!DOCTYPE html>", b"<html>", b'<?xml version="1.0"?><Error/>']
)
def test_a_pointer_a_page_zeros_and_nothing_are_left_by_failed_downloads(head: bytes) -> None:
    assert is_failed_download(head)


@pytest.mark.parametrize("head", [b"GGUF", bytes(500) + b"\x01", b"\x80\x02", b"{}"])
def test_other_bytes_are_not(head: bytes) -> None:
    assert not is_failed_download(head)


def test_damage_of_such_a_file_becomes_incompleteness_and_nothing_else_changes(tmp_path: Path) -> None:
    for name, content in (("a.gguf", POINTER), ("b.gguf", b"nonsense")):
        (tmp_path / name).write_bytes(content)
    damage = Finding(code="bad-magic", severity=Severity.ERROR, message="m", file="a.gguf")
    other = Finding(code="bad-magic", severity=Severity.ERROR, message="m", file="b.gguf")
    unsafe = Finding(code="x", severity=Severity.ERROR, message="m", file="a.gguf", concern=Concern.SAFETY)
    beside = Finding(code="x", severity=Severity.ERROR, message="m", file="tokenizer.json")
    with reader_of(tmp_path / "a.gguf", tmp_path / "b.gguf") as reader:
        changed, *same = without_damage([damage, other, unsafe, beside], reader)
    assert changed.concern is Concern.INCOMPLETE
    assert same == [other, unsafe, beside]
