from __future__ import annotations

import pytest

from modelshelf.model import Artifact, ArtifactFile, FormatType, Problem, Role
from modelshelf.scan.file_names import FormatTable, suffix_of, unfinished_reason
from modelshelf.scan.group import Grouped, group
from modelshelf.source import Folder

FORMATS = FormatTable.of(
    [
        FormatType(name="gguf", suffixes=(".gguf",)),
        FormatType(
            name="safetensors", suffixes=(".safetensors",), index_suffixes=(".safetensors.index.json",)
        ),
        FormatType(name="pytorch", suffixes=(".bin", ".pt", ".pth"), index_suffixes=(".bin.index.json",)),
    ]
)


def grouped(
    *names: str,
    path: str = "/models/Llama-3.2-1B",
    index: dict[str, list[str]] | None = None,
    **folder: object,
) -> Grouped:
    files = tuple(ArtifactFile(name=name, size=10, mtime_ns=1) for name in sorted(names))
    return group(
        Folder(path=path, files=files, **folder),  # type: ignore[arg-type]
        FORMATS,
        lambda _, one: (index or {}).get(one.name, Problem(code="broken-index", message="broken")),
    )


def ids(result: Grouped) -> list[str | None]:
    return [one.model_id for one in result.artifacts]


def test_a_folder_with_one_model_gives_it_its_name_and_its_companions() -> None:
    result = grouped("model.safetensors", "config.json", "README.md", "tokenizer.json")
    assert ids(result) == ["Llama-3.2-1B"]
    (artifact,) = result.artifacts
    assert [one.name for one in artifact.weights] == ["model.safetensors"]
    assert {one.name for one in artifact.companions} == {"config.json", "README.md", "tokenizer.json"}


def test_several_quantizations_of_one_model_are_told_apart_by_them() -> None:
    result = grouped("L-3-Q4_K_M.gguf", "L-3-Q8_0.gguf", "L-3-IQ2_XXS.gguf", path="/m/L-3-GGUF")
    assert sorted(map(str, ids(result))) == ["L-3-GGUF:IQ2_XXS", "L-3-GGUF:Q4_K_M", "L-3-GGUF:Q8_0"]


def test_several_models_are_told_apart_by_their_stems() -> None:
    assert ids(grouped("a.gguf", "b.safetensors", path="/m/mine")) == ["mine:a", "mine:b"]


@pytest.mark.parametrize(
    "folder", ["models", "checkpoints", "checkpoint-500", "loras", "Stable-diffusion", "snapshots", "weights"]
)
def test_a_folder_whose_name_says_nothing_is_no_id(folder: str) -> None:
    assert ids(grouped("llama.gguf", path=f"/data/{folder}")) == ["llama"]
    assert ids(grouped("a.gguf", "b.safetensors", path=f"/data/{folder}")) == ["a", "b"]
    assert ids(grouped("a.gguf", "a.safetensors", path=f"/data/{folder}")) == ["a.gguf", "a.safetensors"]


@pytest.mark.parametrize("folder", ["模型", "モデル", "Modelle", "modèles", "modelos"])
def test_nor_is_the_word_for_models_in_another_language(folder: str) -> None:
    assert ids(grouped("通义千问-7B.gguf", path=f"/data/{folder}")) == ["通义千问-7B"]


def test_a_programs_folder_in_the_cache_of_a_user_names_the_program_alone() -> None:
    whisper = "/home/me/.cache/whisper"
    assert ids(grouped("base.en.pt", path=whisper)) == ["whisper:base.en"]
    assert ids(grouped("base.en.pt", "small.pt", path=whisper)) == ["whisper:base.en", "whisper:small"]


def test_where_file_and_folder_say_nothing_the_folder_above_does() -> None:
    assert ids(grouped("model.safetensors", path="/d/tuned/checkpoint-500")) == ["tuned/checkpoint-500"]
    part = grouped("diffusion_pytorch_model.safetensors", path="/d/sd15/unet")
    assert ids(part) == ["sd15/unet"]
    assert ids(grouped("model.safetensors", "model.bin", path="/d/tuned/weights")) == [
        "tuned/weights:bin",
        "tuned/weights:safetensors",
    ]


def test_one_model_in_two_formats_is_told_apart_by_them() -> None:
    assert ids(grouped("model.safetensors", "pytorch_model.bin")) == [
        "Llama-3.2-1B:safetensors",
        "Llama-3.2-1B:bin",
    ]


def test_two_names_that_differ_in_their_ending_only_have_different_ids() -> None:
    assert len(set(ids(grouped("a.gguf", "a.safetensors")))) == 2


def test_a_file_of_unknown_ending_does_not_rename_its_neighbour() -> None:
    assert "Llama-3.2-1B" in ids(grouped("model.safetensors", "blob"))


def test_numbered_shards_are_one_artifact_and_the_missing_one_is_named() -> None:
    (artifact,) = grouped("m-00001-of-00003.gguf", "m-00003-of-00003.gguf").artifacts
    assert artifact.primary == "m-00001-of-00003.gguf"
    assert [one.name for one in artifact.weights] == ["m-00001-of-00003.gguf", "m-00003-of-00003.gguf"]
    assert artifact.missing == ("m-00002-of-00003.gguf",)


def test_the_index_decides_which_files_are_shards_not_their_names() -> None:
    index = {
        "model.safetensors.index.json": [
            "shard_00.safetensors",
            "shard_01.safetensors",
            "shard_02.safetensors",
        ]
    }
    result = grouped(
        "shard_00.safetensors",
        "shard_01.safetensors",
        "model.safetensors.index.json",
        "other.safetensors",
        index=index,
    )
    sharded = next(one for one in result.artifacts if one.index)
    assert [one.name for one in sharded.weights] == ["shard_00.safetensors", "shard_01.safetensors"]
    assert sharded.missing == ("shard_02.safetensors",)
    assert sharded.primary == "model.safetensors.index.json"
    assert len(result.artifacts) == 2


def test_a_broken_index_is_a_problem_and_its_shards_are_still_found() -> None:
    result = grouped("model-00001-of-00001.safetensors", "model.safetensors.index.json")
    assert [one.code for one in result.problems] == ["broken-index"]
    assert len(result.artifacts) == 1


def test_an_index_without_any_of_its_shards_is_a_problem() -> None:
    result = grouped(
        "model.safetensors.index.json", index={"model.safetensors.index.json": ["a.safetensors"]}
    )
    assert [one.code for one in result.problems] == ["index-without-shards"]


def test_unfinished_downloads_are_listed_not_admitted() -> None:
    result = grouped(
        "m.gguf", "n.gguf.part", "sha256-aa-partial", "sha256-aa-partial-3", "o.safetensors.incomplete"
    )
    assert ids(result) == ["Llama-3.2-1B"]
    assert sorted(one.path.rsplit("/", 1)[1] for one in result.unfinished) == [
        "n.gguf.part",
        "o.safetensors.incomplete",
        "sha256-aa-partial",
        "sha256-aa-partial-3",
    ]


def test_a_projector_beside_a_model_belongs_to_it_and_alone_it_is_a_model() -> None:
    (artifact,) = grouped("model-Q4_K_M.gguf", "mmproj-model-f16.gguf").artifacts
    assert [one.name for one in artifact.companions] == ["mmproj-model-f16.gguf"]
    assert len(grouped("mmproj-model-f16.gguf").artifacts) == 1


def test_optimizer_state_beside_a_checkpoint_belongs_to_it() -> None:
    (artifact,) = grouped(
        "pytorch_model.bin", "optimizer.pt", "training_args.bin", "rng_state_0.pth"
    ).artifacts
    assert {one.role for one in artifact.companions} == {Role.COMPANION}
    assert len(artifact.companions) == 3


def test_the_sources_id_stands_before_the_folders_name() -> None:
    assert ids(grouped("a.gguf", path="/x/0123abcd", model_id="org/name")) == ["org/name"]


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.GGUF", ".gguf"), ("a", ""), (".hidden", ""), ("a.tar.gz", ".gz"), ("x.", ".")]
)
def test_the_ending_of_a_name(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix


@pytest.mark.parametrize(
    "name",
    [
        "a.part",
        "a.PARTIAL",
        "a.crdownload",
        "a.!qb",
        "a.downloadInProgress",
        "a-partial",
        "a-partial-12",
        "a.aria2",
    ],
)
def test_names_of_unfinished_downloads(name: str) -> None:
    assert unfinished_reason(name)


@pytest.mark.parametrize("name", ["partial.gguf", "a-partial.gguf", "a.parts", "download"])
def test_names_that_only_look_unfinished(name: str) -> None:
    assert unfinished_reason(name) is None


def companions(result: Grouped, primary: str) -> set[str]:
    return {name for one in result.artifacts if one.primary == primary for name in names_beside(one)}


def names_beside(one: Artifact) -> set[str]:
    return {file.name for file in one.companions}


def primaries(result: Grouped) -> list[str]:
    return [one.primary for one in result.artifacts]


def test_in_a_folder_of_several_models_training_state_is_a_record_of_its_own() -> None:
    result = grouped("a.safetensors", "b.safetensors", "training_args.bin", "optimizer.pt")
    assert primaries(result) == ["a.safetensors", "b.safetensors", "optimizer.pt", "training_args.bin"]
    assert not any(one.companions for one in result.artifacts)


@pytest.mark.parametrize("state", ["a.optimizer.pt", "a-training_args.bin", "A_rng_state_0.pth"])
def test_training_state_counts_for_the_model_whose_stem_it_bears(state: str) -> None:
    result = grouped("a.safetensors", "b.safetensors", state)
    assert (companions(result, "a.safetensors"), companions(result, "b.safetensors")) == ({state}, set())
    assert state not in primaries(result)
    sharded = grouped("a-00001-of-00001.safetensors", "b.safetensors", state)
    assert companions(sharded, "a-00001-of-00001.safetensors") == {state}


def test_training_state_that_an_index_names_is_a_shard() -> None:
    index = {"model.safetensors.index.json": ["a.safetensors", "optimizer.bin"]}
    (artifact,) = grouped(
        "a.safetensors", "optimizer.bin", "model.safetensors.index.json", index=index
    ).artifacts
    assert [one.name for one in artifact.weights] == ["a.safetensors", "optimizer.bin"]
    assert not artifact.missing


@pytest.mark.parametrize(
    "names",
    [
        ("model.safetensors", "pytorch_model.bin"),
        ("model.safetensors", "model.fp16.safetensors"),
        ("L-Q4_K_M.gguf", "L-Q8_0.gguf"),
        ("m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors"),
    ],
)
def test_one_model_in_several_files_has_what_lies_beside_it_in_each(names: tuple[str, ...]) -> None:
    result = grouped(*names, "optimizer.pt", "tokenizer.pkl", "random_states_0.pkl")
    models = [one for one in result.artifacts if one.primary in names]
    for one in models:
        assert names_beside(one) == {"optimizer.pt", "tokenizer.pkl", "random_states_0.pkl"}
    assert set(primaries(result)) - set(names) == {"tokenizer.pkl"}


def test_a_pickle_beside_several_models_counts_for_the_one_of_its_stem() -> None:
    result = grouped("a.safetensors", "b.safetensors", "a.pkl", "c.pkl")
    assert (companions(result, "a.safetensors"), companions(result, "b.safetensors")) == ({"a.pkl"}, set())
    assert {"a.pkl", "c.pkl"} <= set(primaries(result))


def test_training_state_beside_files_that_no_format_claims_is_a_model() -> None:
    assert primaries(grouped("blob", "optimizer.pt")) == ["blob", "optimizer.pt"]


@pytest.mark.parametrize("name", ["lib.so", "lib.so.1", "lib.so.1.2.3", "LIB.SO.1"])
def test_a_walk_asks_for_machine_code_whatever_its_number(name: str) -> None:
    assert FORMATS.wants(name)


def test_machine_code_lies_beside_each_model_and_not_beside_itself() -> None:
    result = grouped("a.gguf", "b.gguf", "kernel.so", "lib.so.1")
    assert companions(result, "a.gguf") == companions(result, "b.gguf") == {"kernel.so", "lib.so.1"}
    assert companions(result, "kernel.so") == set()
    many = grouped("a.gguf", *(f"l{number}.so" for number in range(5000)))
    assert sum(len(one.companions) for one in many.artifacts) < 100


def test_templates_of_a_folder_for_them_are_companions() -> None:
    result = grouped("a.gguf", "b.gguf", "additional_chat_templates/rag.jinja", "chat_template.jinja")
    assert companions(result, "b.gguf") == {"additional_chat_templates/rag.jinja", "chat_template.jinja"}


def test_a_pickle_that_was_named_is_meant_by_itself() -> None:
    assert primaries(grouped("a.gguf", "x.pkl", named="x.pkl")) == ["x.pkl"]
    assert primaries(grouped("a.gguf", "optimizer.pt", named="optimizer.pt")) == ["a.gguf"]
