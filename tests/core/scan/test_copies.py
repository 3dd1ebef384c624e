"""Every copy of a model has findings of its own, and the worst copy that is there decides."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from modelshelf import (
    ArtifactReader,
    Depth,
    Finding,
    HealthStatus,
    ModelConfig,
    ModelRegistry,
    Role,
    Severity,
)
from modelshelf.model import Artifact, ArtifactFile, Concern, ModelMetadata, Origin, TensorPlaces
from modelshelf.model.config import Location
from modelshelf.records.write import Records
from modelshelf.scan import copies
from modelshelf.scan.commit import commit_artifact, mark_missing
from modelshelf.scan.copies import judged, with_own_findings
from modelshelf.scan.examine import Examination
from tests.core.toy import BUILTIN_FORMATS, ToyFormat, write_toy

FLAW = Finding(code="flaw", severity=Severity.ERROR, message="is flawed")
ODD = Finding(code="odd", severity=Severity.WARNING, message="is odd")


class JudgesBeside(ToyFormat):
    """A toy whose verdict rests on the `config.json` beside it."""

    def modelshelf_probe_health(self, artifact: Artifact, reader: ArtifactReader) -> Iterator[Finding]:
        for one in artifact.files:
            if one.role is Role.COMPANION and b"evil" in reader.file(one.name).read(0, one.size):
                yield FLAW


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two folders with the same weights and a harmless neighbour."""
    for name in ("a", "b"):
        write_toy(tmp_path / "models" / name / "m.toy", title="same")
        beside(tmp_path / "models" / name, "good")
    return tmp_path / "models"


def beside(folder: Path, word: str) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": word}))


@pytest.fixture
def registry(folder: Path) -> Iterator[ModelRegistry]:
    with ModelRegistry(
        folder, folder.parent / "store", plugins=[JudgesBeside()], blocked=BUILTIN_FORMATS
    ) as made:
        yield made


def only(registry: ModelRegistry) -> ModelConfig:
    (model,) = registry
    return model


@pytest.mark.parametrize("evil", ["a", "b"])
@pytest.mark.parametrize("later", [False, True])
def test_equal_weights_with_other_companions_are_judged_each(
    registry: ModelRegistry, folder: Path, evil: str, later: bool
) -> None:
    if later:
        registry.discover_models()
    beside(folder / evil, "evil one")
    registry.discover_models()
    model = only(registry)
    assert model.health_status is HealthStatus.UNHEALTHY
    of_folders = {Path(one.folder).name: one.findings for one in model.locations}
    assert of_folders == {**dict.fromkeys("ab", ()), evil: (FLAW,)}


def test_the_findings_of_a_copy_go_with_it(registry: ModelRegistry, folder: Path) -> None:
    beside(folder / "b", "evil one")
    registry.discover_models()
    shutil.rmtree(folder / "b")
    registry.discover_models()
    model = only(registry)
    assert (model.health_status, model.findings) == (HealthStatus.HEALTHY, ())


@pytest.mark.parametrize("gone", ["a", "b"])
def test_what_is_wrong_with_the_copy_that_is_left_counts_on(
    registry: ModelRegistry, folder: Path, gone: str
) -> None:
    beside(folder / ("b" if gone == "a" else "a"), "evil one")
    registry.discover_models()
    shutil.rmtree(folder / gone)
    registry.discover_models()
    assert only(registry).findings == (FLAW,)
    registry.discover_models()
    assert only(registry).health_status is HealthStatus.UNHEALTHY


@pytest.mark.parametrize("depth", ["header", "full"])
@pytest.mark.parametrize("evil", ["a", "b"])
def test_a_check_probes_every_copy(registry: ModelRegistry, folder: Path, evil: str, depth: str) -> None:
    registry.discover_models()
    beside(folder / evil, "evil one")
    (report,) = registry.check(depth=depth).values()
    assert report.status is only(registry).health_status is HealthStatus.UNHEALTHY
    beside(folder / evil, "good")
    registry.check(depth=depth)
    assert only(registry).health_status is HealthStatus.HEALTHY


def test_a_check_of_a_model_with_a_deleted_copy_judges_the_other(
    registry: ModelRegistry, folder: Path
) -> None:
    beside(folder / "a", "evil one")
    registry.discover_models()
    shutil.rmtree(folder / "a")
    (report,) = registry.check().values()
    model = only(registry)
    assert report.status is model.health_status is HealthStatus.HEALTHY
    assert (model.missing, model.path) == (False, str(folder / "b" / "m.toy"))


def place(name: str, *findings: Finding, missing: bool = False) -> Location:
    return Location(path=f"/{name}/m", folder=f"/{name}", findings=findings, missing=missing)


def test_a_finding_of_a_further_copy_names_its_folder() -> None:
    config = judged(ModelConfig(id="m", locations=(place("a", ODD), place("b", ODD, FLAW))))
    assert [one.message for one in config.findings] == ["/b: is flawed", "is odd"]
    assert config.health_status is HealthStatus.UNHEALTHY


def test_a_model_without_any_copy_keeps_its_last_verdict() -> None:
    config = ModelConfig(
        id="m", locations=(place("a", missing=True),), findings=[FLAW], health_status=HealthStatus.UNHEALTHY
    )
    assert judged(config) == config


def test_what_release_0_1_knew_of_a_record_counts_for_every_present_copy() -> None:
    old = ModelConfig(id="m", locations=(place("a"), place("b"), place("c", missing=True)), findings=[FLAW])
    assert [one.findings for one in with_own_findings(old).locations] == [(FLAW,), (FLAW,), ()]


def test_a_changed_verdict_of_a_model_that_lost_a_copy_is_an_event(tmp_path: Path) -> None:
    def examined(records: Records, name: str, *findings: Finding) -> None:
        (tmp_path / name).write_bytes(b"same")
        one = ArtifactFile(name=name, size=4, mtime_ns=1)
        artifact = Artifact(folder=str(tmp_path), primary=name, files=(one,), model_id="m")
        commit_artifact(
            records,
            artifact,
            Examination(
                format="toy",
                content_digest=b"d" * 16,
                metadata=ModelMetadata(format="toy"),
                findings=findings,
                depth=Depth.HEADER,
            ),
            1,
        )

    with ModelRegistry(tmp_path / "models", tmp_path / "store") as registry:
        registry.store.update(
            lambda state: (examined(Records(state), "a"), examined(Records(state), "b", FLAW))
        )
        assert only(registry).health_status is HealthStatus.UNHEALTHY
        events = registry.store.update(lambda state: mark_missing(Records(state), [str(tmp_path / "b")], 2))
        assert [one.kind.value for one in events] == ["updated", "health changed"]


def padded(path: Path, offset: int | None = None, size: int = 300_000) -> None:
    """A toy with content outside the samples, one byte of it other than in the next."""
    data = bytearray(b"TOY{}".ljust(size))
    if offset is not None:
        data[offset] = 9
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.mark.parametrize("apart", [False, True])
def test_what_only_samples_take_for_one_is_two_models(
    registry: ModelRegistry, folder: Path, apart: bool
) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    padded(folder / "a" / "m.toy")
    if apart:
        registry.discover_models()
    padded(folder / "b" / "m.toy", 20_000)
    registry.discover_models()
    padded(folder / "c" / "m.toy", 20_000)
    registry.discover_models(force=True)
    places = sorted([Path(one.folder).name for one in model.locations] for model in registry)
    assert places == [["a"], ["b", "c"]]


def test_a_copy_that_is_written_anew_outside_the_samples_leaves_the_record(
    registry: ModelRegistry, folder: Path
) -> None:
    for name in "ab":
        padded(folder / name / "m.toy")
    registry.discover_models()
    assert len(only(registry).locations) == 2
    padded(folder / "b" / "m.toy", 20_000)
    registry.discover_models()
    newest = only(registry)
    assert [Path(one.folder).name for one in newest.locations] == ["b"]
    assert [str(one) for one in registry.get_versions(newest.id)] == ["1.0.1", "1.0.0"]


class Tensors(JudgesBeside):
    """A toy that says where its tensors lie."""

    def __init__(self, *spans: tuple[int, int]) -> None:
        super().__init__()
        self.spans = spans

    def modelshelf_tensor_places(self, artifact: Artifact, format: str) -> Iterator[TensorPlaces]:
        if format == "toy":
            for one in artifact.weights:
                yield TensorPlaces(file=one.name, spans=self.spans)


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., list[ModelConfig]]]:
    """Scan two toys of 300,000 bytes, that count as large, with one byte of difference; gives the models."""
    monkeypatch.setattr(copies, "_SMALL", 200_000)
    opened: list[ModelRegistry] = []

    def run(offset: int | None, plugin: object) -> list[ModelConfig]:
        padded(tmp_path / "large" / "a" / "m.toy")
        padded(tmp_path / "large" / "b" / "m.toy", offset)
        store = tmp_path / "other"
        opened.append(ModelRegistry(tmp_path / "large", store, plugins=[plugin], blocked=BUILTIN_FORMATS))
        opened[-1].discover_models()
        return list(opened[-1])

    yield run
    for one in opened:
        one.close()


TWO = ((20_000, 100_000), (130_000, 100_000))


@pytest.mark.parametrize(
    ("offset", "models"),
    [
        (None, 1),
        (20_500, 2),  # the beginning of a tensor
        (70_100, 2),  # its middle
        (119_990, 2),  # its end
        (125_000, 2),  # between two
        (231_000, 2),  # behind the last
        (50_000, 1),  # within a tensor, outside of what is read
    ],
)
def test_all_outside_of_tensors_and_samples_of_each_are_compared(
    compare: Callable[..., list[ModelConfig]], offset: int | None, models: int
) -> None:
    found = compare(offset, Tensors(*TWO))
    assert len(found) == models
    assert {one.content_names for model in found if models == 1 for one in model.locations} <= {None}


@pytest.mark.parametrize(
    "spans",
    [
        (),
        ((20_000, 100_000), (60_000, 100_000)),  # overlap
        ((20_000, 300_000),),  # past the end
        ((-5, 100_000),),
        tuple((20_000 + 100 * number, 100) for number in range(1001)),
    ],
    ids=["none", "overlapping", "too long", "negative", "many"],
)
def test_where_samples_guarantee_nothing_every_byte_is_compared(
    compare: Callable[..., list[ModelConfig]], spans: tuple[tuple[int, int], ...]
) -> None:
    assert len(compare(50_001, Tensors(*spans))) == 2


def test_the_sha256_that_a_comparison_computed_are_kept(compare: Callable[..., list[ModelConfig]]) -> None:
    (model,) = compare(None, ToyFormat())
    names = {one.content_names for one in model.locations}
    assert len(names) == 1
    assert None not in names


def test_a_verdict_of_safety_may_rest_on_any_byte(compare: Callable[..., list[ModelConfig]]) -> None:
    class Careful(Tensors):
        def modelshelf_probe_health(  # type: ignore[override]
            self, reader: ArtifactReader
        ) -> Iterator[Finding]:
            if reader.file().read(50_000, 1) != b" ":
                yield Finding(code="x", severity=Severity.ERROR, message="x", concern=Concern.SAFETY)

    assert len(compare(50_000, Careful(*TWO))) == 2


@pytest.mark.parametrize("moved", [False, True])
def test_a_copy_out_of_reach_is_joined_only_where_it_was_moved_or_by_its_sha256(
    registry: ModelRegistry, folder: Path, moved: bool
) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    padded(folder / "a" / "m.toy")
    registry.discover_models()
    before = (folder / "a" / "m.toy").stat()
    if moved:
        shutil.move(folder / "a", folder / "b")
    else:
        padded(folder / "b" / "m.toy", 20_000)
        os.utime(folder / "b" / "m.toy", ns=(before.st_atime_ns, before.st_mtime_ns))
        shutil.rmtree(folder / "a")
    registry.discover_models()
    assert len(registry.list_models()) == (1 if moved else 2)


def test_a_deleted_original_of_which_the_sha256_is_known_is_recognised_in_its_copy(
    registry: ModelRegistry, folder: Path
) -> None:
    shutil.rmtree(folder / "b")
    padded(folder / "a" / "m.toy")
    registry.discover_models(depth="full")
    shutil.copy(folder / "a" / "m.toy", folder / "b.toy")
    shutil.rmtree(folder / "a")
    registry.discover_models()
    assert only(registry).path.endswith("/b.toy")


def test_bytes_that_hide_behind_a_restored_time_are_examined_again(
    registry: ModelRegistry, folder: Path
) -> None:
    registry.discover_models()
    config = folder / "a" / "config.json"
    before = config.stat()
    config.write_bytes(config.read_bytes().replace(b"good", b"evil"))
    os.utime(config, ns=(before.st_atime_ns, before.st_mtime_ns))
    registry.discover_models()
    assert only(registry).health_status is HealthStatus.UNHEALTHY


def test_another_mode_of_a_file_leaves_its_version_and_its_sha256_is_not_confirmed(
    registry: ModelRegistry, folder: Path
) -> None:
    registry.discover_models(depth="full")
    before = only(registry)
    (folder / "a" / "m.toy").chmod(0o600)
    registry.discover_models()
    after = only(registry)
    names = {Path(one.folder).name: one.content_names for one in after.locations}
    assert (after.version, names["a"], names["b"] is None) == (before.version, None, False)
    assert registry.discover_models().models_unchanged == 2


class LooksDeeper(ToyFormat):
    """A toy that notices at depth full alone what is wrong with a copy, by the end of its folder's name."""

    def modelshelf_probe_health(  # type: ignore[override]
        self, artifact: Artifact, depth: Depth
    ) -> Iterator[Finding]:
        if depth is Depth.FULL and artifact.folder.endswith(tuple(self.wrong)):
            yield FLAW
            yield attrs.evolve(FLAW, code="bad", file="m.toy")

    wrong: tuple[str, ...] = ()


@pytest.fixture
def deep(folder: Path) -> Iterator[Callable[..., ModelRegistry]]:
    """A registry over the two copies, of which a full scan found these to be wrong."""
    opened: list[ModelRegistry] = []

    def scanned(*wrong: str) -> ModelRegistry:
        plugin = LooksDeeper()
        plugin.wrong = wrong
        opened.append(
            ModelRegistry(folder, folder.parent / "deep", plugins=[plugin], blocked=BUILTIN_FORMATS)
        )
        opened[-1].discover_models(depth="full")
        return opened[-1]

    yield scanned
    for one in opened:
        one.close()


def by_copy(model: ModelConfig) -> dict[str, list[str]]:
    """Codes of what is wrong with each copy, by its folder."""
    present = [one for one in model.locations if not one.missing]
    return {Path(one.folder).name: [found.code for found in one.findings] for one in present}


def new_mode(path: Path) -> None:
    path.chmod(0o600)


def new_link(path: Path) -> None:
    os.link(path, path.parent.parent.parent / "link")


@pytest.mark.parametrize("change", [new_mode, new_link])
@pytest.mark.parametrize("wrong", ["a", "b"])
def test_where_only_the_ctime_differs_the_file_is_examined_again_and_deeper_findings_stay(
    deep: Callable[..., ModelRegistry], folder: Path, change: Callable[[Path], None], wrong: str
) -> None:
    registry = deep(wrong)
    before = only(registry)
    change(folder / wrong / "m.toy")
    stats = registry.discover_models()
    after = only(registry)
    assert (stats.models_unchanged, after.version) == (1, before.version)
    assert by_copy(after) == {**{name: [] for name in "ab"}, wrong: ["flaw", "bad"]}
    assert after.health_status is HealthStatus.UNHEALTHY
    registry.check(depth="header")
    assert only(registry).health_status is HealthStatus.UNHEALTHY
    names = {Path(one.folder).name: one.content_names for one in after.locations}
    assert names.pop(wrong) is None
    assert None not in names.values()


@pytest.mark.parametrize("wrong", ["a", "b", "ab"])
@pytest.mark.parametrize("depth", ["quick", "header"])
def test_a_shallower_look_improves_no_copy(
    deep: Callable[..., ModelRegistry], wrong: str, depth: str
) -> None:
    registry = deep(*wrong)
    for look in (registry.check, registry.discover_models):
        look(depth=depth, **({"force": True} if look == registry.discover_models else {}))
        model = only(registry)
        assert {name for name, found in by_copy(model).items() if "flaw" in found} == set(wrong)
        assert model.health_status is HealthStatus.UNHEALTHY


def test_a_moved_file_keeps_what_a_deeper_look_found(
    deep: Callable[..., ModelRegistry], folder: Path
) -> None:
    registry = deep("a")
    shutil.rmtree(folder / "b")
    shutil.move(folder / "a", folder / "elsewhere")
    registry.discover_models()
    assert by_copy(only(registry)) == {"elsewhere": ["flaw", "bad"]}


@pytest.mark.parametrize("name", ["m.toy", "n.toy"])
@pytest.mark.parametrize("depth", ["quick", "header"])
def test_a_renamed_file_keeps_what_a_deeper_look_found(
    deep: Callable[..., ModelRegistry], folder: Path, name: str, depth: str
) -> None:
    registry = deep("a")
    shutil.rmtree(folder / "b")
    (folder / "c").mkdir()
    (folder / "a" / "m.toy").rename(folder / "c" / name)
    registry.discover_models(depth=depth)
    model = only(registry)
    assert ("bad", name) in [(one.code, one.file) for one in model.findings]
    assert model.health_status is HealthStatus.UNHEALTHY


@pytest.mark.parametrize("copy", [os.link, shutil.copy, shutil.copy2])
def test_a_copy_of_the_same_bytes_has_what_a_deeper_look_found_in_the_original(
    deep: Callable[..., ModelRegistry], folder: Path, copy: Callable[[Path, Path], object]
) -> None:
    registry = deep("a", "b")
    (folder / "c").mkdir()
    copy(folder / "a" / "m.toy", folder / "c" / "n.toy")
    registry.discover_models()
    assert by_copy(only(registry))["c"] == ["bad"]
    shutil.rmtree(folder / "a")
    shutil.rmtree(folder / "b")
    registry.discover_models()
    assert only(registry).health_status is HealthStatus.UNHEALTHY


def test_a_look_that_opens_nothing_leaves_no_verdict_on_what_was_written_since(
    deep: Callable[..., ModelRegistry], folder: Path
) -> None:
    registry = deep()
    shutil.rmtree(folder / "b")
    registry.discover_models()
    assert only(registry).health_status is HealthStatus.HEALTHY
    path = folder / "a" / "m.toy"
    before = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    registry.check(depth="quick")
    assert only(registry).health_status is HealthStatus.UNKNOWN
    write_toy(path, title="another one")
    registry.discover_models(depth="quick")
    newest = max(registry, key=lambda one: one.version)
    assert newest.health_status is HealthStatus.UNKNOWN


def test_a_new_neighbour_leaves_what_a_deeper_look_found_in_a_file(
    deep: Callable[..., ModelRegistry], folder: Path
) -> None:
    registry = deep("a")
    beside(folder / "a", "another one")
    registry.discover_models()
    assert by_copy(only(registry)) == {"a": ["bad"], "b": []}
    beside(folder / "a", "a third one")
    registry.check(depth="header")
    assert by_copy(only(registry)) == {"a": ["bad"], "b": []}


class ReadsBeside(ToyFormat):
    """A toy that takes two values out of the `config.json` beside it."""

    def modelshelf_extract_metadata(  # type: ignore[override]
        self, artifact: Artifact, reader: ArtifactReader
    ) -> Iterator[ModelMetadata]:
        yield super().modelshelf_extract_metadata(artifact, reader)
        for one in artifact.companions:
            facts = json.loads(reader.file(one.name).read(0, one.size))
            yield ModelMetadata.partial(Origin.CONFIG, one.name, **facts)


@pytest.mark.parametrize("first", ["a", "b"])
def test_a_value_comes_from_the_place_that_has_it_and_goes_with_it(folder: Path, first: str) -> None:
    second = "b" if first == "a" else "a"
    (folder / "a" / "config.json").write_text('{"license": "mit", "tags": ["x"]}')
    (folder / "b" / "config.json").write_text('{"license": "gpl", "context_length": 7}')
    with ModelRegistry(
        folder, folder.parent / "beside", plugins=[ReadsBeside()], blocked=BUILTIN_FORMATS
    ) as registry:
        registry.discover_models(folder / first)
        registry.discover_models(folder / second)
        for _ in range(2):
            metadata = only(registry).metadata
            assert metadata.license == {"a": "mit", "b": "gpl"}[first]
            assert (metadata.tags, metadata.context_length, metadata.title) == (("x",), 7, "same")
            of_second = {"a": "tags", "b": "context_length"}[second]
            assert str(metadata.provenance[of_second]) == f"config: config.json, in {folder / second}"
            registry.discover_models(force=True)
        registry.update(only(registry).id, license="mine")
        shutil.rmtree(folder / first)
        registry.discover_models()
        metadata = only(registry).metadata
        assert (metadata.license, str(metadata.provenance["license"])) == ("mine", "user")
        values = (metadata.tags, metadata.context_length)
        assert values == {"a": (("x",), None), "b": (None, 7)}[second]
        assert str(metadata.provenance[of_second]) == "config: config.json"
