"""The conformance suite of a format: contract, isolation, hostile input, budget, round trip, determinism."""

from __future__ import annotations

import copy
import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from attrs import field, frozen

from modelshelf.model import Artifact, ArtifactFile, Depth, FormatType, HealthStatus, Origin
from modelshelf.model.health import is_unfinished
from modelshelf.reader import HEAD_BLOCK
from modelshelf.testing.artifacts import NOWHERE, artifact_of, in_memory
from modelshelf.testing.audit import side_effects
from modelshelf.testing.examination import HEAD, Examination, examine, plugin_set, ranges_read
from modelshelf.testing.mutations import cuts, lies
from modelshelf.testing.process_settings import SET_BY_IMPORTS, settings_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from modelshelf.errors import ReadError
    from modelshelf.model import Finding
    from modelshelf.plugin.call import PluginSet

_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LIE_BUDGET = 16 * 1024 * 1024  # bytes that reading a small file that lies may cost
_FOREIGN = {
    "zeros": bytes(4096),
    "ones": b"\xff" * 4096,
    "prose": b"It was a bright cold day in April, and the clocks were striking thirteen.\n" * 8,
    "JSON": b'{"name": "value", "list": [1, 2, 3]}\n',
    "an LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
}


def _as_paths(value: Path | Iterable[Path]) -> tuple[Path, ...]:
    return (value,) if isinstance(value, Path) else tuple(value)


@frozen(kw_only=True)
class FormatCase:
    """A sound model of the format.

    Attributes:
        plugin: The plugin: its module, or an object whose methods are hooks.
        format: The format's name.
        weights: The file, or all shards in order. Make the weights of 64 KiB or more, so that a plugin that
            reads them is told from one that reads headers.
        index: The index of the shards, or None.
        companions: Files beside the weights that belong to the model.
        most_read: Bytes that detection, extraction and a header probe may read together.
        may_lack: Bytes at each file's end that may be absent without a fault: padding.
        depths: Depths at which the model is sound; leave out `Depth.FULL` where the real loader is not
            installed for the tests.
    """

    plugin: object
    format: str
    weights: tuple[Path, ...] = field(converter=_as_paths)
    index: Path | None = None
    companions: tuple[Path, ...] = field(default=(), converter=_as_paths)
    most_read: int = 2 * HEAD_BLOCK
    may_lack: int = 0
    depths: tuple[Depth, ...] = tuple(Depth)

    @property
    def artifact(self) -> Artifact:
        """The model as a scan would group it, with a fact that its source might tell."""
        return artifact_of(
            *self.weights, index=self.index, companions=self.companions, facts={"shelf": ["top"]}
        )

    @property
    def contents(self) -> dict[str, bytes]:
        """Every file's bytes by its name."""
        files = [*self.weights, *([self.index] if self.index else []), *self.companions]
        return {path.name: path.read_bytes() for path in files}


class FormatSuite:
    """Inherit this in an empty class and give a fixture ``format_case`` that returns a `FormatCase`."""

    @pytest.fixture
    def plugins(self, format_case: FormatCase) -> PluginSet:
        """The plugin alone, loaded as every plugin is."""
        return plugin_set(format_case.plugin)

    def test_the_plugin_loads_with_every_hook_of_a_format(self, plugins: PluginSet) -> None:
        """Hooks fit their specification: names, arguments, plain functions."""
        (report,) = plugins.reports
        assert not plugins.load_failures, [str(one) for one in plugins.load_failures]
        wanted = {"formats", "detect_format", "extract_metadata", "probe_health"}
        missing = wanted - {hook.removeprefix("modelshelf_") for hook in report.hooks}
        assert not missing, f"a format has the hooks {sorted(missing)} too"

    def test_the_format_is_declared(self, format_case: FormatCase, plugins: PluginSet) -> None:
        """Suffixes and magic bytes are such that a walk can use them, and fit the files of the case."""
        declared: list[FormatType] = plugins.collect("modelshelf_formats")
        assert not plugins.failures, [str(one) for one in plugins.failures]
        named = [one for one in declared if one.name == format_case.format]
        assert named, f"modelshelf_formats() gives no format {format_case.format!r}"
        for one in declared:
            for suffix in (*one.suffixes, *one.index_suffixes):
                assert suffix.startswith("."), f"the suffix {suffix!r} begins with no dot"
                assert suffix == suffix.lower(), f"the suffix {suffix!r} is matched in lower case"
            for offset, magic in one.magic:
                fits = offset >= 0 and magic and offset + len(magic) <= HEAD
                assert fits, f"magic bytes {magic!r} at {offset} do not lie within the first {HEAD} bytes"
        suffixes = {suffix for one in named for suffix in one.suffixes}
        magic_bytes = [one for format in named for one in format.magic]
        for path in format_case.weights:
            content = path.read_bytes()
            shown = any(content[at : at + len(magic)] == magic for at, magic in magic_bytes)
            declares = path.suffix.lower() in suffixes or shown
            assert declares, f"{path.name} has neither a suffix nor the magic bytes that the format declares"

    def test_a_sound_model_is_healthy_at_every_depth(
        self, format_case: FormatCase, plugins: PluginSet
    ) -> None:
        """It is detected as the format, something is told of it, and nothing is found at fault."""
        for depth in format_case.depths:
            result = _on_disk(format_case, plugins, depth)
            assert result.claims(format_case.format), f"not detected: {result.detections}"
            assert not result.faults, f"at depth {depth}: {result.findings} {result.read_errors}"
            assert any(one.fields_set() or one.details for one in result.metadata), "no metadata is given"

    def test_metadata_tells_where_each_value_comes_from(
        self, format_case: FormatCase, plugins: PluginSet
    ) -> None:
        """Every value has its origin, as `ModelMetadata.partial` gives it, and none is a person's."""
        for one in _on_disk(format_case, plugins).metadata:
            untold = set(one.fields_set()) - one.provenance.keys()
            assert not untold, f"values without an origin: {sorted(untold)}"
            assert all(place.origin is not Origin.USER for place in one.provenance.values())

    def test_findings_are_well_formed(self, format_case: FormatCase, plugins: PluginSet) -> None:
        """Codes are kebab-case; a finding names a file of the artifact and an offset within it."""
        for where, sizes, result in _mutilated(format_case, plugins, _cuts_of(format_case)):
            for one in result.findings:
                assert _CODE.fullmatch(one.code), f"{one.code!r} is no kebab-case code ({where})"
                assert one.message.strip(), f"{one.code} says nothing ({where})"
                named = one.file is None or one.file in sizes
                assert named, f"{one.code}: {one.file!r} is no file of the model ({where})"
                size = max(sizes.values()) if one.file is None else sizes[one.file]
                inside = one.offset is None or 0 <= one.offset <= size
                assert inside, f"{one.code}: offset {one.offset} lies outside of the file ({where})"

    def test_foreign_content_is_not_claimed(self, format_case: FormatCase, plugins: PluginSet) -> None:
        """Under a name that tells nothing, bytes of no format get no vote."""
        for name, content in _FOREIGN.items():
            file = ArtifactFile(name="file.unknown", size=len(content), mtime_ns=0)
            unknown = Artifact(folder=NOWHERE, primary=file.name, files=(file,))
            artifact, opener = in_memory(unknown, {file.name: content})
            result = examine(plugins, artifact, "unknown", opener=opener)
            assert not result.failures, f"{name}: {result.failures}"
            assert not result.claims(format_case.format), f"{name} is claimed: {result.detections}"

    def test_models_of_other_formats_are_left_alone(
        self, format_case: FormatCase, plugins: PluginSet
    ) -> None:
        """Asked about a model that another format won, it tells nothing and reads nothing."""
        artifact, opener = in_memory(format_case.artifact, format_case.contents)
        alone = examine(plugins, artifact, format_case.format, opener=opener)
        other = examine(plugins, artifact, "another-format", opener=opener)
        spoken = [*other.metadata, *other.findings]
        assert not spoken, f"it speaks of a model of another format: {spoken}"
        assert other.spent <= max(HEAD_BLOCK, alone.spent // 2), "it reads a model of another format"

    def test_headers_alone_are_read(self, format_case: FormatCase, plugins: PluginSet) -> None:
        """Detection, extraction and a header probe together stay within the case's `most_read`."""
        total = sum(path.stat().st_size for path in format_case.weights)
        limit = format_case.most_read
        assert total >= 2 * limit, f"the weights of the case have {total} bytes; {2 * limit} show more"
        result = _on_disk(format_case, plugins)
        assert result.spent <= limit, f"{result.spent} of {total} bytes were read where {limit} should do"

    def test_a_spent_budget_is_no_clean_bill(self, format_case: FormatCase, plugins: PluginSet) -> None:
        """Where the budget ends the reading, that is told; it is neither got round nor kept quiet."""
        for budget in (0, 1):
            result = _on_disk(format_case, plugins, budget=budget, detect=False)
            ended = result.faults or is_unfinished(result.findings)
            assert ended, f"with a budget of {budget} bytes it calls the model sound"

    def test_bytes_come_from_the_reader_alone(self, format_case: FormatCase, plugins: PluginSet) -> None:
        """Files that are on no disk, as those of a remote store, are read the same."""
        artifact, opener = in_memory(format_case.artifact, format_case.contents)
        result = examine(plugins, artifact, format_case.format, opener=opener)
        assert not result.failures, result.failures
        assert not result.faults, f"{result.findings} {result.read_errors}"
        assert result == _on_disk(format_case, plugins), "the place decides what it tells"

    def test_every_truncation_is_found(self, format_case: FormatCase, plugins: PluginSet) -> None:
        """However a file is cut short, a `ReadError` or an error finding says so; nothing else is raised."""
        for where, _, result in _mutilated(format_case, plugins, _cuts_of(format_case)):
            assert not result.failures, f"{where}: {result.failures}"
            sound = result.claims(format_case.format) and not result.faults
            assert not sound, f"{where}, and it is called sound"

    def test_no_lie_gets_anything_but_a_read_error(self, format_case: FormatCase, plugins: PluginSet) -> None:
        """Bytes that are overwritten, left out or put in raise nothing else, and stay within the budget."""
        contents = format_case.contents
        read = ranges_read(plugins, format_case.artifact, format_case.format, contents)
        names = [*(path.name for path in format_case.weights), *(name for name in read if name in contents)]
        for name in dict.fromkeys(names):
            mutation = partial(lies, ranges=read.get(name, ()))
            for where, _, result in _mutilated(format_case, plugins, mutation, (name,)):
                assert not result.failures, f"{where}: {result.failures}"

    def test_a_lie_has_no_finding_outside_of_the_file(
        self, format_case: FormatCase, plugins: PluginSet
    ) -> None:
        """What a header says of an offset is no place in the file until it was checked against its size."""
        read = ranges_read(plugins, format_case.artifact, format_case.format, format_case.contents)
        for path in format_case.weights:
            mutation = partial(lies, ranges=read.get(path.name, ()))
            for where, sizes, result in _mutilated(format_case, plugins, mutation, (path.name,)):
                found: list[Finding | ReadError] = [*result.findings, *result.read_errors]
                for one in found:
                    size = max(sizes.values()) if one.file is None else sizes.get(one.file, -1)
                    inside = one.offset is None or 0 <= one.offset <= size
                    assert inside, f"{one.code}: offset {one.offset} lies outside of the file ({where})"

    def test_a_quick_look_reads_no_more_than_headers(
        self, format_case: FormatCase, plugins: PluginSet
    ) -> None:
        """Depth ``quick`` has the budget of a header probe at most: sizes, shards, what detection reads."""
        if Depth.QUICK not in format_case.depths:
            pytest.skip("the case leaves out depth quick")
        quick = _on_disk(format_case, plugins, Depth.QUICK).spent
        header = _on_disk(format_case, plugins).spent
        assert quick <= format_case.most_read, f"{quick} bytes were read at depth quick"
        assert quick <= header, f"{quick} bytes at depth quick, {header} at depth header"

    def test_the_same_bytes_give_the_same_answer(self, format_case: FormatCase, plugins: PluginSet) -> None:
        """Each time, in a plugin that was loaded anew, and whichever of the hooks comes first."""
        first = _on_disk(format_case, plugins)
        assert _on_disk(format_case, plugins) == first
        assert _on_disk(format_case, plugin_set(format_case.plugin)) == first
        turned = _on_disk(format_case, plugins, probe_first=True)
        assert turned.metadata == first.metadata
        assert turned.findings == first.findings

    def test_nothing_that_it_is_given_is_changed(self, format_case: FormatCase, plugins: PluginSet) -> None:
        """Neither the artifact nor its files nor the folder that they lie in."""
        artifact = format_case.artifact
        before, folder = copy.deepcopy(artifact), format_case.weights[0].parent
        contents, listed = format_case.contents, _stamps(folder)
        for depth in format_case.depths:
            examine(plugins, artifact, format_case.format, depth=depth)
        assert artifact == before, "the artifact was changed"
        assert format_case.contents == contents, "a file was changed"
        assert _stamps(folder) == listed, "the folder was changed"

    def test_nothing_is_run_written_fetched_or_unpickled(
        self, format_case: FormatCase, plugins: PluginSet
    ) -> None:
        """Headers are read and nothing else is done, as the interpreter's audit events tell it."""
        _on_disk(format_case, plugins)  # imports what it needs
        with side_effects() as done:
            _on_disk(format_case, plugins)
        assert not done, done

    def test_nothing_is_printed_and_no_setting_of_the_process_changed(
        self, format_case: FormatCase, plugins: PluginSet, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A command's output is machine-readable, and other plugins run in the same process."""
        capfd.readouterr()
        with settings_kept(SET_BY_IMPORTS) as at_first:
            _on_disk(format_case, plugins)
        with settings_kept() as later:
            _on_disk(format_case, plugins)
        assert capfd.readouterr() == ("", "")
        assert not at_first + later, f"it changes {', '.join(sorted({*at_first, *later}))}"

    def test_a_scan_records_it_and_a_second_scan_reads_nothing(
        self, format_case: FormatCase, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """What was told goes into the store and comes back the same; unchanged files are not opened."""
        from modelshelf.registry.registry import ModelRegistry

        store = tmp_path_factory.mktemp("store")
        place = os.fspath(format_case.index or format_case.weights[0])
        with ModelRegistry(place, store, plugins=[format_case.plugin]) as registry:
            stats = registry.discover_models()
            assert stats.errors == 0, [str(one.message) for one in stats.problems]
            (model,) = registry
            assert model.metadata.format == format_case.format
            assert model.health_status in (HealthStatus.HEALTHY, HealthStatus.DEGRADED), model.findings
            again = registry.discover_models()
            assert (again.models_unchanged, again.bytes_read) == (1, 0)
        with ModelRegistry(place, store, readonly=True) as reopened:
            assert reopened.get(model.id) == model


def _on_disk(
    case: FormatCase, plugins: PluginSet, depth: Depth = Depth.HEADER, **options: Any
) -> Examination:
    result = examine(plugins, case.artifact, case.format, depth=depth, **options)
    assert not result.failures, result.failures
    return result


Mutation: TypeAlias = "Callable[[bytes], Iterator[tuple[str, bytes]]]"


def _cuts_of(case: FormatCase) -> Mutation:
    return partial(cuts, may_lack=case.may_lack)


def _mutilated(
    case: FormatCase, plugins: PluginSet, mutations: Mutation, names: tuple[str, ...] = ()
) -> Iterator[tuple[str, dict[str, int], Examination]]:
    """Examinations of the model with one file after another made wrong: how, its files' sizes, what it is."""
    contents = case.contents
    for name in names or tuple(path.name for path in case.weights):
        for where, wrong in mutations(contents[name]):
            made = {**contents, name: wrong}
            artifact, opener = in_memory(case.artifact, made)
            result = examine(plugins, artifact, case.format, opener=opener, budget=_LIE_BUDGET)
            yield f"{name}: {where}", {one: len(content) for one, content in made.items()}, result


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {one.name: (one.stat().st_size, one.stat().st_mtime_ns) for one in folder.iterdir()}
