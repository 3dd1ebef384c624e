"""The conformance suite of a source: contract, read-only, hostile trees, budget, round trip, determinism."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from attrs import field, frozen

from modelshelf.errors import ConfigurationError, ReadError, SourceError
from modelshelf.model import Artifact, Orphan, Problem, UnfinishedDownload
from modelshelf.plugin.call import PluginSet
from modelshelf.reader import Budget
from modelshelf.scan.file_names import FormatTable
from modelshelf.scan.group import group, read_index
from modelshelf.scan.walk import walk
from modelshelf.source import Folder, Listing, Place, PlainFolders
from modelshelf.testing.audit import opened_files, side_effects
from modelshelf.testing.examination import packages_of, plugin_set
from modelshelf.testing.no_execution import nothing_executed
from modelshelf.testing.process_settings import SET_BY_IMPORTS, settings_kept
from modelshelf.testing.time_limit import EndlessCallError, time_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modelshelf.source import Source, SourceType

_LISTED = (Folder, Artifact, UnfinishedDownload, Orphan, Problem)
_SETTINGS_FILE = 64 * 1024  # bytes: what is larger is taken for weights
_GARBAGE = (
    b"",
    b"\xff\xfe\x00" * 20,
    b"{",
    b"[" * 50_000,
    b'{"layers": 7, "models": {"a": null}, "size": -1, "digest": "../../x", "name": ["\\u0000"]}',
    b"../../../../etc/passwd\n\n\x00\n",
)
_REWRITES = 12  # strings, and numbers, in one file
_REWRITTEN = (
    (
        "the string",
        rb'"([^"\\\n]*)"',
        (b"", b"../../../../etc/passwd", b"/etc/passwd", b"a\\u0000b", b"sha256:.."),
    ),
    ("the value", rb'(?<![\w"])("[^"\\\n]*"|\d+)(?!\w)(?!"?:)', (b"null", b"-1", b"[]", b"{}", b"1e400")),
)
_WRONG_SETTINGS: tuple[Any, ...] = (5, None, {"a": 1}, [5], "\0", ["\0"])
_ODD_ROOTS = ("", "/", "a\0b", "/nonexistent/folder", "https://example.org/models", "\udcff")

Stamps: TypeAlias = dict[str, tuple[int, int, int]]


@frozen(kw_only=True)
class SourceCase:
    """A place with models, in a folder that the suite may spoil.

    Attributes:
        plugin: The plugin: its module, or an object whose methods are hooks.
        name: The source's name.
        root: The folder that holds everything the source reads, its settings files and weights included; made
            anew for each test.
        settings: What the source is made with to look there.
        models: Number of models in it, one file each or more, that a scan finds.
        indexes: Names of files that list several models, one after another. A bad one may cost more than
            one of them, and one that ends earlier is a shorter list, of which no problem has to speak.
    """

    plugin: object
    name: str
    root: Path
    settings: dict[str, Any] = field(factory=dict)
    models: int = 1
    indexes: tuple[str, ...] = ()

    @property
    def kind(self) -> SourceType:
        """What the plugin offers under the name."""
        offered = plugin_set(self.plugin).collect("modelshelf_sources")
        found = [one for one in offered if one.name == self.name]
        assert found, f"modelshelf_sources() offers no {self.name!r}"
        kind: SourceType = found[0]
        return kind

    def make(self) -> Source:
        """The source, made with the settings."""
        return self.kind.make(dict(self.settings))


class SourceSuite:
    """Inherit this in an empty class and give a fixture ``source_case`` that returns a `SourceCase`."""

    @pytest.fixture
    def formats(self) -> FormatTable:
        """What the installed formats want to see."""
        return _installed_formats()

    def test_the_source_is_offered_and_made_without_settings(self, source_case: SourceCase) -> None:
        """The plugin loads; the source goes by its name; without settings it looks at its default places."""
        plugins = plugin_set(source_case.plugin)
        assert plugins.collect("modelshelf_sources")
        assert not plugins.failures, [str(one) for one in plugins.failures]
        for source in (source_case.make(), source_case.kind.make({})):
            assert source.name == source_case.name
            list(source.places())

    def test_each_place_is_whole_and_has_a_reason(self, source_case: SourceCase) -> None:
        """Absolute paths or URLs, present or not as they are, each time the same, and nothing is changed."""
        source, before = source_case.make(), _stamps(source_case.root)
        with side_effects() as done:
            places = list(source.places())
        assert not done, done
        assert list(source_case.make().places()) == places
        assert any(one.present for one in places), "no place is present"
        for one in places:
            assert one.source == source_case.name
            local = "://" not in one.root
            assert not local or os.path.isabs(one.root), f"{one.root!r} is no absolute path"
            assert not local or one.present == os.path.exists(one.root), f"{one.root}: present is wrong"
            assert one.reason, f"{one.root}: say why it is looked into"
        assert _stamps(source_case.root) == before

    def test_it_claims_folders_of_its_own_kind_only(self, source_case: SourceCase, tmp_path: Path) -> None:
        """Whatever a person names is answered with yes or no."""
        empty = tmp_path / "an-empty-folder"
        empty.mkdir()
        source = source_case.make()
        assert source.claims(os.fspath(empty)) is False
        for root in (*_ODD_ROOTS, *(one.root for one in source.places())):
            assert isinstance(source.claims(root), bool), root

    def test_it_lists_what_is_there(self, source_case: SourceCase, formats: FormatTable) -> None:
        """Files with their true sizes and times, and as many models as the place holds."""
        listed = _listed(source_case, formats)
        for one in listed:
            assert isinstance(one, _LISTED), f"{type(one).__name__} is nothing that a source lists"
            assert not isinstance(one, Folder | Artifact) or one.model_id is None or one.model_id.strip()
        artifacts = _artifacts(source_case, listed, formats)
        for one in artifacts:
            assert one.source == source_case.name
            for file in one.files:
                path = one.path_of(file.name)
                if "://" not in path:
                    status = os.stat(path)
                    assert (file.size, file.mtime_ns) == (status.st_size, status.st_mtime_ns), path
        named = sorted({one.path for one in artifacts})
        assert len(named) == source_case.models, f"{len(named)} models are listed: {named}"
        assert not [one for one in listed if isinstance(one, Problem)], "a sound place has no problems"

    def test_it_opens_what_it_listed_within_the_budget(
        self, source_case: SourceCase, formats: FormatTable
    ) -> None:
        """Every byte that is read is counted, and a file that is gone is a `ReadError`."""
        source = source_case.make()
        for one in _artifacts(source_case, _listed(source_case, formats), formats):
            for file in one.files:
                budget = Budget(file.size)
                reader = source.open(one, file, budget)
                assert reader.size == file.size
                content = b"".join(
                    reader.read_up_to(at, 1 << 20) for at in range(0, max(file.size, 1), 1 << 20)
                )
                reader.close()
                path = one.path_of(file.name)
                assert "://" in path or content == Path(path).read_bytes(), f"{path}: other bytes were read"
                assert budget.spent == file.size, f"{path}: {budget.spent} of {file.size} bytes were counted"
                if "://" not in path:
                    Path(path).unlink(missing_ok=True)
                    with pytest.raises(ReadError):
                        source.open(one, file, Budget())

    def test_listing_changes_nothing_and_runs_nothing(
        self, source_case: SourceCase, formats: FormatTable, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A source reads; it never repairs or cleans the place of another tool."""
        with settings_kept(SET_BY_IMPORTS) as at_first:
            _listed(source_case, formats)  # imports what it needs
        before = _stamps(source_case.root)
        capfd.readouterr()
        with side_effects() as done, settings_kept() as later:
            _listed(source_case, formats)
        assert not done, done
        assert not at_first + later, f"it changes {', '.join(sorted({*at_first, *later}))}"
        assert capfd.readouterr() == ("", "")
        assert _stamps(source_case.root) == before

    def test_the_same_place_is_listed_the_same(self, source_case: SourceCase, formats: FormatTable) -> None:
        """In the same order, by a source that was made anew."""
        assert _listed(source_case, formats) == _listed(source_case, formats)

    def test_a_place_that_went_away_is_no_crash(self, source_case: SourceCase, formats: FormatTable) -> None:
        """It is a problem, a `SourceError`, or a place that is absent."""
        places = list(source_case.make().places())
        shutil.rmtree(source_case.root)
        assert not any(one.present for one in source_case.make().places() if "://" not in one.root)
        listed = _listed(source_case, formats, places)
        assert not _artifacts(source_case, listed, formats), "models are listed where nothing is"

    def test_one_bad_entry_does_not_end_the_listing(
        self, source_case: SourceCase, formats: FormatTable
    ) -> None:
        """Links to nowhere and in circles, pipes, closed folders and odd names beside every file."""
        sound = {one.path for one in _artifacts(source_case, _listed(source_case, formats), formats)}
        closed = [_spoil(folder) for folder in _folders(source_case.root)]
        try:
            listed = _listed(source_case, formats)
            found = {one.path for one in _artifacts(source_case, listed, formats)}
        finally:
            for folder in closed:
                folder.chmod(0o700)
        assert found >= sound, f"no longer listed: {sorted(sound - found)}"

    @pytest.mark.parametrize("number", range(len(_GARBAGE)))
    def test_garbage_in_its_files_raises_nothing_else(
        self, source_case: SourceCase, formats: FormatTable, number: int
    ) -> None:
        """Each small file in turn holds something else; a `SourceError` or a problem is all that it costs."""
        small = [one for one in _files(source_case.root) if one.stat().st_size <= _SETTINGS_FILE]
        for path in small:
            content = path.read_bytes()
            path.write_bytes(_GARBAGE[number])
            _listed(source_case, formats)
            path.write_bytes(content)

    def test_a_damaged_file_costs_one_entry_and_a_problem_says_so(
        self, source_case: SourceCase, formats: FormatTable
    ) -> None:
        """Each small text file in turn is cut short, or strings and numbers in it are others."""
        sound = _paths_of(source_case, _listed(source_case, formats), formats)
        for path, how, _ in _damaged_texts(source_case.root):
            listed = _listed(source_case, formats)
            found = _paths_of(source_case, listed, formats)
            missing, name = sorted(sound - found), path.relative_to(source_case.root)
            is_shorter_list = path.name in source_case.indexes and how in _SHORTENED
            if len(found) < len(sound) and not is_shorter_list:
                reported = any(isinstance(one, Problem | SourceError) for one in listed)
                assert reported, f"{name} ({how}): {missing} are no longer listed, without a problem"
            if path.name not in source_case.indexes:
                assert len(found) >= len(sound) - 1, f"{name} ({how}): it costs {missing}"

    def test_names_in_a_file_lead_nowhere_else(self, source_case: SourceCase, formats: FormatTable) -> None:
        """Whatever a file of the place says, a listed file has a plain relative name, without ``..``."""
        for path, how, _ in _damaged_texts(source_case.root):
            for one in _artifacts(source_case, _listed(source_case, formats), formats):
                for file in one.files:
                    parts = file.name.replace("\\", "/").split("/")
                    relative = ".." not in parts and parts[0] and "\0" not in file.name
                    assert relative, f"{path.name} ({how}): {file.name!r} is listed"
                assert ".." not in one.folder.split("/"), f"{path.name} ({how}): {one.folder!r} is listed"

    def test_a_model_whose_file_is_gone_is_listed_no_more(
        self, source_case: SourceCase, formats: FormatTable
    ) -> None:
        """A manifest or link that is left is no model, and the other models are listed as before."""
        sound = _artifacts(source_case, _listed(source_case, formats), formats)
        for removed in sorted({os.path.realpath(path) for one in sound for path in _weights_of(one)}):
            if not removed.startswith(os.path.realpath(source_case.root)):
                continue
            others = {one.path for one in sound if removed not in map(os.path.realpath, _weights_of(one))}
            moved = removed + ".away"
            Path(removed).rename(moved)
            found = _artifacts(source_case, _listed(source_case, formats), formats)
            for one in found:
                for path in _weights_of(one):
                    assert os.path.exists(path), f"{path} is listed, and it is gone"
            missing = others - {one.path for one in found}
            assert not missing, f"without {removed}, {sorted(missing)} are not listed either"
            Path(moved).rename(removed)

    def test_a_sha256_is_that_of_the_bytes(self, source_case: SourceCase, formats: FormatTable) -> None:
        """Where the source gives one; a digest of something else joins models that are not the same."""
        for one in _artifacts(source_case, _listed(source_case, formats), formats):
            for file in one.files:
                path = one.path_of(file.name)
                if file.sha256 is not None and "://" not in path:
                    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
                    assert file.sha256 == digest, f"{path}: its sha256 is not {file.sha256}"

    def test_no_weights_are_read_while_listing(self, source_case: SourceCase, formats: FormatTable) -> None:
        """Names, sizes and times come from the file system; weights are opened by a scan, if they changed."""
        listed = _listed(source_case, formats)
        artifacts = _artifacts(source_case, listed, formats)
        weights = {os.path.realpath(path) for one in artifacts for path in _weights_of(one)}
        with opened_files() as paths:
            _listed(source_case, formats)
        opened = weights & {os.path.realpath(path) for path in paths}
        assert not opened, f"opened while listing: {sorted(opened)}"

    def test_wrong_settings_are_refused_or_ignored(
        self, source_case: SourceCase, formats: FormatTable
    ) -> None:
        """A setting of another type is a `ConfigurationError`, or does no harm."""
        for key in source_case.settings:
            for value in _WRONG_SETTINGS:
                try:
                    source = source_case.kind.make({**source_case.settings, key: value})
                except ConfigurationError:
                    continue
                for place in source.places():
                    list(_one_place(source, place, formats))

    def test_a_scan_records_its_models_and_a_second_scan_reads_nothing(
        self, source_case: SourceCase, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Configured by a ``[[sources]]`` table, as a person does."""
        from modelshelf.registry.registry import ModelRegistry

        store = tmp_path_factory.mktemp("store")
        table = {"name": source_case.name, "defaults": not source_case.settings, **source_case.settings}
        with ModelRegistry(store, store, plugins=[source_case.plugin], sources=[table]) as registry:
            places = [one for one in registry.places() if one.source == source_case.name and one.present]
            first = registry.discover_models(places)
            assert first.errors == 0, [one.message for one in first.problems]
            assert first.models_found == source_case.models
            assert {one.metadata.source for one in registry} == {source_case.name}
            again = registry.discover_models(places)
            assert (again.models_unchanged, again.bytes_read) == (source_case.models, 0)


@cache
def _installed_formats() -> FormatTable:
    return FormatTable.of(PluginSet.discover().collect("modelshelf_formats"))


def _listed(
    case: SourceCase, formats: FormatTable, places: Iterable[Place] | None = None
) -> list[Listing | SourceError]:
    """All that the source lists; a `SourceError`, which ends one place's listing, is among it."""
    source = case.make()
    listed: list[Listing | SourceError] = []
    packages = packages_of(plugin_set(case.plugin)) | {type(source).__module__.split(".")[0]}
    with nothing_executed(packages) as tried, time_limit() as expired:
        try:
            for place in source.places() if places is None else places:
                if places is not None or place.present:
                    listed += _one_place(source, place, formats)
        except EndlessCallError as error:
            pytest.fail(f"listing is endless: {error}", pytrace=False)
    assert not expired, f"listing is endless: {expired[0]}"
    assert not tried, f"listing runs what lies in a file: {tried}"
    return listed


def _one_place(source: Source, place: Place, formats: FormatTable) -> Iterator[Listing | SourceError]:
    try:
        listed = source.list(place, partial(walk, wants=formats.wants))
        if isinstance(listed, PlainFolders):
            for one in walk(place.root, formats.wants):
                yield listed.describe(one) if isinstance(one, Folder) else one
        else:
            yield from listed
    except SourceError as error:
        yield error


def _artifacts(
    case: SourceCase, listed: Iterable[Listing | SourceError], formats: FormatTable
) -> list[Artifact]:
    found: list[Artifact] = []
    for one in listed:
        if isinstance(one, Artifact):
            found.append(one)
        elif isinstance(one, Folder):
            grouped = group(one, formats, read_index, case.name).artifacts
            found += [made for made in grouped if formats.claims(made.weights[0].name)]
    return found


def _paths_of(case: SourceCase, listed: Iterable[Listing | SourceError], formats: FormatTable) -> set[str]:
    return {one.path for one in _artifacts(case, listed, formats)}


def _weights_of(artifact: Artifact) -> list[str]:
    return [artifact.path_of(one.name) for one in artifact.weights]


_SHORTENED = ("cut to a half", "empty")


def _damaged_texts(root: Path) -> Iterator[tuple[Path, str, bytes]]:
    """Damages one small text file after another, in several ways; each is whole again afterwards."""
    for path in _files(root):
        if path.stat().st_size > _SETTINGS_FILE:
            continue
        content = path.read_bytes()
        try:
            content.decode()
        except UnicodeDecodeError:
            continue
        for how, wrong in _text_damages(content):
            path.write_bytes(wrong)
            yield path, how, wrong
        path.write_bytes(content)


def _text_damages(content: bytes) -> Iterator[tuple[str, bytes]]:
    half, empty = _SHORTENED
    yield half, content[: len(content) // 2]
    yield empty, b""
    for kind, pattern, others in _REWRITTEN:
        found = list(re.finditer(pattern, content))
        for value in found[:: max(len(found) // _REWRITES, 1)]:
            for other in others:
                wrong = content[: value.start(1)] + other + content[value.end(1) :]
                yield f"{kind} {value.group(1)[:40]!r} is {other!r}", wrong


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def _folders(root: Path) -> list[Path]:
    return [root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())]


def _stamps(root: Path) -> Stamps:
    return {
        os.fspath(path): (status.st_size, status.st_mtime_ns, status.st_mode)
        for path in sorted(root.rglob("*"))
        for status in [path.lstat()]
    }


def _spoil(folder: Path) -> Path:
    """Put bad entries into a folder; gives the one that has to be opened again."""
    (folder / "nowhere.gguf").symlink_to("does-not-exist.gguf")
    (folder / "circle").symlink_to(folder)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.safetensors")
    closed = folder / "closed"
    closed.mkdir()
    closed.chmod(0)
    odd = os.path.join(os.fsencode(folder), b"odd \xff\n.txt")
    with open(odd, "wb") as stream:
        stream.write(b"odd")
    return closed
