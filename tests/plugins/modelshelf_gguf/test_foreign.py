from __future__ import annotations

import pytest

from modelshelf.model import HealthStatus
from tests.plugins.modelshelf_gguf import forge
from tests.plugins.modelshelf_gguf.forge import file, pair, save, tensor, verdict, write_llama

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 4108917152\n"


@pytest.mark.parametrize(
    ("content", "code", "advice"),
    [
        (LFS_POINTER, "git-lfs-pointer", "git lfs pull"),
        (b"FUGG" + bytes(60), "bad-magic", "swapped"),
        (bytes(4096), "bad-magic", "zeros"),
        (b"<!DOCTYPE html><html>Not found</html>", "bad-magic", "web page"),
        (b"PK\x03\x04" + bytes(60), "bad-magic", "no GGUF file"),
        (b"", "bad-magic", "no GGUF file"),
    ],
)
def test_what_stands_in_place_of_the_model_is_named(tmp_path, content, code, advice):
    result = verdict(save(tmp_path, content))
    assert result.status is HealthStatus.UNHEALTHY
    assert advice in result.finding(code).message


def test_the_text_mangled_file_is_unhealthy_and_says_what_happened(corpus):
    result = verdict(corpus / "gguf" / "mangled-as-text-llama-spm.gguf")
    assert result.status is HealthStatus.UNHEALTHY
    assert "text tool" in result.finding("mangled-as-text").message


def mangled(content: bytes) -> bytes:
    return content.decode("utf-8", errors="replace").encode()


def test_a_mangled_header_is_recognised(tmp_path):
    whole = write_llama(tmp_path / "whole.gguf", **{"a.epsilon": [0.001, -1.0]}).read_bytes()
    result = verdict(save(tmp_path, mangled(whole)))
    assert result.codes >= {"mangled-as-text"}


def test_mangled_tensors_behind_a_plain_header_are_recognised(tmp_path):
    weights = bytes(range(256)) * 16
    whole = file([pair(b"a", forge.U8, 1)], [tensor(b"t", (1024,), 0, 0)], weights)
    assert verdict(save(tmp_path, whole)).status is HealthStatus.HEALTHY
    result = verdict(save(tmp_path, mangled(whole)))
    assert result.status is HealthStatus.UNHEALTHY
    assert result.codes == {"mangled-as-text"}


def test_a_replacement_character_in_a_sound_file_is_no_mangling(tmp_path):
    name = "a\N{REPLACEMENT CHARACTER}b".encode()
    assert verdict(save(tmp_path, file([pair(b"general.name", forge.STRING, name)]))).codes == set()


def test_a_cut_header_with_binary_numbers_is_truncated_not_mangled(tmp_path):
    fields = [
        pair(b"a.epsilon", forge.F32, -1e-5),
        pair(b"a.name", forge.STRING, "\N{REPLACEMENT CHARACTER}".encode()),
        pair(b"a.last", forge.U64, 1),
    ]
    assert verdict(save(tmp_path, file(fields)[:-2])).codes == {"truncated"}
