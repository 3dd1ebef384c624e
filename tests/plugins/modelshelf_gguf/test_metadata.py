from __future__ import annotations

import gguf
import pytest

from modelshelf.model import Origin
from tests.plugins.modelshelf_gguf import forge
from tests.plugins.modelshelf_gguf.forge import file, pair, save, tensor, verdict, write_llama

ELEMENTS = 2 * 8 * 256 + 2 * 64


def read(tmp_path, *fields, tensors=(), data=b""):
    architecture = pair(b"general.architecture", forge.STRING, b"llama")
    return verdict(save(tmp_path, file([architecture, *fields], tensors, data))).metadata


def numbers(key, kind, items):
    return pair(key, forge.ARRAY, (kind, items))


def test_a_model_tells_all_that_its_header_holds(tmp_path):
    metadata = verdict(write_llama(tmp_path / "m.gguf")).metadata
    assert metadata.format == "gguf"
    assert metadata.architecture == "llama"
    assert metadata.quantization == "Q8_0"
    assert metadata.parameters == ELEMENTS
    assert metadata.parameter_count == "4.22K"
    assert metadata.context_length == 4096
    assert metadata.embedding_length == 64
    assert metadata.block_count == 2
    assert (metadata.head_count, metadata.head_count_kv) == (8, 2)
    assert metadata.vocab_size == 32
    assert metadata.tokenizer == "gpt2"
    assert metadata.chat_template is False
    assert metadata.license == "apache-2.0"
    assert metadata.title == "Tiny Llama"
    assert metadata.tags == ("text-generation", "tiny")
    assert metadata.languages == ("en", "de")
    assert metadata.tensor_count == 4
    assert metadata.tensor_types == {"Q8_0": 2, "F32": 2}
    assert metadata.bits_per_weight == pytest.approx(8 * (2 * 8 * 8 * 34 + 2 * 64 * 4) / ELEMENTS, abs=1e-4)
    assert metadata.details["gguf_version"] == 3
    assert metadata.details["byte_order"] == "little"
    assert metadata.details["alignment"] == 32
    assert metadata.details["file_type"] == 7
    assert metadata.details["feed_forward_length"] == 128


def test_every_value_names_the_key_it_was_read_from(tmp_path):
    metadata = verdict(write_llama(tmp_path / "m.gguf")).metadata
    assert set(metadata.provenance) == set(metadata.fields_set())
    assert {one.origin for one in metadata.provenance.values()} == {Origin.HEADER}
    assert metadata.provenance["context_length"].detail == "llama.context_length"
    assert metadata.provenance["license"].detail == "general.license"
    assert metadata.provenance["parameters"].detail == "tensor table"


def test_both_byte_orders_tell_the_same(tmp_path):
    little = verdict(write_llama(tmp_path / "l.gguf")).metadata
    big = verdict(write_llama(tmp_path / "b.gguf", endianess=gguf.GGUFEndian.BIG)).metadata
    assert {name: getattr(big, name) for name in big.fields_set()} == {
        name: getattr(little, name) for name in little.fields_set()
    }
    assert big.details["byte_order"] == "big"


def test_a_vocabulary_without_tensors_has_no_parameters_and_no_quantization(tmp_path):
    metadata = read(tmp_path, pair(b"general.file_type", forge.U32, 1))
    assert (metadata.quantization, metadata.parameters, metadata.bits_per_weight) == (None, None, None)
    assert metadata.tensor_count == 0
    assert metadata.details["file_type"] == 1


def test_real_vocabulary_files_tell_their_architecture_and_vocabulary(corpus):
    metadata = verdict(corpus / "gguf" / "ggml-vocab-llama-spm.gguf").metadata
    assert (metadata.architecture, metadata.tokenizer, metadata.vocab_size) == ("llama", "llama", 32000)
    assert (metadata.context_length, metadata.block_count, metadata.head_count) == (4096, 32, 32)


def test_one_number_for_all_blocks_may_stand_as_an_array(tmp_path):
    metadata = read(tmp_path, numbers(b"llama.attention.head_count_kv", forge.I32, [8, 8, 8]))
    assert metadata.head_count_kv == 8
    assert "head_count_kv" not in metadata.details


def test_numbers_that_differ_by_block_are_listed_and_not_averaged(tmp_path):
    metadata = read(
        tmp_path,
        numbers(b"llama.attention.head_count_kv", forge.U32, [8, 0, 4]),
        numbers(b"llama.feed_forward_length", forge.U32, [10, 20, 30]),
    )
    assert metadata.head_count_kv is None
    assert metadata.details["head_count_kv"] == [8, 0, 4]
    assert metadata.details["feed_forward_length"] == [10, 20, 30]


def test_a_declared_vocabulary_size_goes_before_the_number_of_tokens(tmp_path):
    tokens = pair(b"tokenizer.ggml.tokens", forge.ARRAY, (forge.STRING, [b"a", b"b"]))
    assert read(tmp_path, tokens).vocab_size == 2
    metadata = read(tmp_path, tokens, pair(b"llama.vocab_size", forge.U32, 64))
    assert (metadata.vocab_size, metadata.provenance["vocab_size"].detail) == (64, "llama.vocab_size")


def test_a_chat_template_is_noticed_however_long_and_never_kept(tmp_path):
    template = pair(b"tokenizer.chat_template", forge.STRING, b"{{ messages }}" * 20_000)
    metadata = read(tmp_path, template)
    assert metadata.chat_template is True
    assert "messages" not in repr(metadata)


def test_a_header_without_a_tokenizer_says_nothing_of_a_chat_template(tmp_path):
    assert read(tmp_path).chat_template is None


def test_base_models_are_repositories_where_an_address_tells_one(tmp_path):
    metadata = read(
        tmp_path,
        pair(b"general.base_model.count", forge.U32, 4),
        pair(b"general.base_model.0.name", forge.STRING, b"Llama 3.2 1B"),
        pair(b"general.base_model.0.repo_url", forge.STRING, b"https://models.example/meta/Llama-3.2"),
        pair(b"general.base_model.1.name", forge.STRING, b"Another"),
        pair(b"general.base_model.2.repo_url", forge.STRING, b"http://[broken"),
    )
    assert metadata.base_model == ("meta/Llama-3.2", "Another", "http://[broken")


def test_a_huge_number_of_base_models_is_not_looked_for(tmp_path):
    count = pair(b"general.base_model.count", forge.U64, 2**64 - 1)
    name = pair(b"general.base_model.0.name", forge.STRING, b"Base")
    assert read(tmp_path, count, name).base_model == ("Base",)


def test_details_keep_kind_and_version_as_text(tmp_path):
    details = read(
        tmp_path,
        pair(b"general.type", forge.STRING, b"adapter"),
        pair(b"general.version", forge.STRING, b"v2.1"),
        pair(b"llama.expert_count", forge.U32, 8),
    ).details
    assert (details["type"], details["model_version"], details["expert_count"]) == ("adapter", "v2.1", 8)


@pytest.mark.parametrize(
    "field",
    [
        pair(b"llama.context_length", forge.STRING, b"4096"),
        pair(b"llama.context_length", forge.F32, 4096.0),
        pair(b"llama.context_length", forge.I32, -1),
        pair(b"llama.context_length", forge.ARRAY, (forge.STRING, [b"1"])),
        pair(b"llama.context_length", forge.ARRAY, (forge.I32, [])),
    ],
)
def test_a_number_of_the_wrong_type_is_unknown_not_guessed(tmp_path, field):
    assert read(tmp_path, field).context_length is None


def test_absurd_sums_are_not_reported(tmp_path):
    huge = [tensor(bytes([97 + index]), (2**62,), 24, 0) for index in range(4)]
    metadata = read(tmp_path, tensors=huge)
    assert (metadata.parameters, metadata.parameter_count, metadata.tensor_count) == (None, None, 4)


def test_an_unknown_tensor_type_is_counted_by_its_number(tmp_path):
    metadata = read(tmp_path, tensors=[tensor(b"t", (64,), 77, 0)], data=bytes(64))
    assert (metadata.tensor_types, metadata.parameters, metadata.bits_per_weight) == (
        {"type-77": 1},
        64,
        None,
    )
