"""A sound source, and one for each way to be wrong, with the test of the kit that has to catch it."""

# ruff: noqa: ARG002 - hooks and protocols name their arguments

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import time
from pathlib import Path

import attrs
import pytest

from modelshelf.errors import ConfigurationError
from modelshelf.model import Artifact, ArtifactFile, Problem
from modelshelf.reader import LocalFile, open_local
from modelshelf.source import Folder, Place, SourceType
from modelshelf.testing import ModelFiles, SourceCase, SourceSuite


class Shelf:
    """One folder, which the settings name."""

    name = "shelf"

    def __init__(self, settings):
        self.root = settings.get("root", "/nonexistent/shelf")
        if not isinstance(self.root, str) or "\0" in self.root:
            raise ConfigurationError("root must be a path")

    def places(self):
        root = os.path.abspath(self.root)
        return [Place(source="shelf", root=root, reason="settings", present=os.path.exists(root))]

    def claims(self, root):
        return False

    def list(self, place, walk):
        return walk(place.root)

    def open(self, artifact, one, budget):
        return open_local(artifact, one, budget)


@pytest.fixture
def source_case(request, tmp_path):
    root = tmp_path / "place"
    files = ModelFiles(root)
    made = {"one": files.sound("gguf", name="one"), "two": files.sound("safetensors", name="two")}
    (root / "index.json").write_text(json.dumps({"models": ["one", "two"]}))
    for name, path in made.items():
        manifest = {"file": path.name, "size": path.stat().st_size, "tags": ["tiny"]}
        (root / f"manifest-{name}.json").write_text(json.dumps(manifest))
    make = request.cls.Source

    class Plugin:
        def modelshelf_sources(self):
            yield SourceType(name="shelf", make=make)

    return SourceCase(plugin=Plugin(), name="shelf", root=root, settings={"root": str(root)}, models=2)


class TestSound(SourceSuite):
    Source = Shelf
    caught_by = None


class TestNeedsSettings(SourceSuite):
    class Source(Shelf):
        def __init__(self, settings):
            super().__init__({"root": settings["root"]})

    caught_by = "test_the_source_is_offered_and_made_without_settings"


class TestNamesNoReason(SourceSuite):
    class Source(Shelf):
        def places(self):
            return [attrs.evolve(one, reason="") for one in super().places()]

    caught_by = "test_each_place_is_whole_and_has_a_reason"


class TestClaimsEverything(SourceSuite):
    class Source(Shelf):
        def claims(self, root):
            return True

    caught_by = "test_it_claims_folders_of_its_own_kind_only"


class TestTellsWrongSizes(SourceSuite):
    class Source(Shelf):
        def list(self, place, walk):
            for one in walk(place.root):
                if isinstance(one, Folder):
                    yield attrs.evolve(one, files=tuple(attrs.evolve(file, size=5) for file in one.files))
                else:
                    yield one

    caught_by = (
        "test_it_lists_what_is_there",
        "test_a_scan_records_its_models_and_a_second_scan_reads_nothing",
    )


class TestReadsPastTheBudget(SourceSuite):
    class Source(Shelf):
        def open(self, artifact, one, budget):
            class Uncounted(LocalFile):
                def _counted(self, offset, length):
                    return self._fetch(offset, length)

            return Uncounted(artifact.path_of(one.name), one.name, budget, one)

    caught_by = "test_it_opens_what_it_listed_within_the_budget"


class TestKeepsACacheInThePlace(SourceSuite):
    class Source(Shelf):
        def list(self, place, walk):
            if os.path.isdir(place.root):
                Path(place.root, "cache").write_bytes(os.urandom(4))
            return walk(place.root)

    caught_by = "test_listing_changes_nothing_and_runs_nothing"


class TestGoesElsewhere(SourceSuite):
    class Source(Shelf):
        def list(self, place, walk):
            os.chdir(os.sep)
            return walk(place.root)

    caught_by = "test_listing_changes_nothing_and_runs_nothing"


class TestListsInNoOrder(SourceSuite):
    class Source(Shelf):
        turns = 0

        def list(self, place, walk):
            type(self).turns += 1
            return iter(list(walk(place.root))[:: 1 if self.turns % 2 else -1])

    caught_by = "test_the_same_place_is_listed_the_same"


class TestCrashesWhereNothingIs(SourceSuite):
    class Source(Shelf):
        def list(self, place, walk):
            os.listdir(place.root)
            return walk(place.root)

    caught_by = "test_a_place_that_went_away_is_no_crash"


class TestCrashesOnOneBadEntry(SourceSuite):
    class Source(Shelf):
        def list(self, place, walk):
            for folder, _, names in os.walk(place.root):
                for name in names:
                    os.stat(os.path.join(folder, name))
            return walk(place.root)

    caught_by = "test_one_bad_entry_does_not_end_the_listing"


class TestBelievesItsIndex(SourceSuite):
    class Source(Shelf):
        def list(self, place, walk):
            index = Path(place.root, "index.json")
            if index.exists():
                json.loads(index.read_bytes())
            return walk(place.root)

    caught_by = "test_garbage_in_its_files_raises_nothing_else"


class TestBelievesItsSettings(SourceSuite):
    class Source(Shelf):
        def __init__(self, settings):
            self.root = settings.get("root", "/nonexistent/shelf").rstrip("/")

    caught_by = "test_wrong_settings_are_refused_or_ignored"


DAMAGED = "test_a_damaged_file_costs_one_entry_and_a_problem_says_so"
NAMES = "test_names_in_a_file_lead_nowhere_else"
GONE = "test_a_model_whose_file_is_gone_is_listed_no_more"


class Manifests(Shelf):
    """Each model has a manifest that names its file."""

    def list(self, place, walk):
        root = Path(place.root)
        for manifest in sorted(root.glob("manifest-*.json")):
            try:
                artifact = self.read(root, manifest)
            except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
                yield from self.failed(manifest, error)
            else:
                if artifact is not None:
                    yield artifact

    def failed(self, manifest, error):
        yield Problem(path=str(manifest), code="bad-manifest", message=str(error))

    def read(self, root, manifest):
        value = json.loads(manifest.read_bytes())
        folder = root / manifest.stem.removeprefix("manifest-")
        return self.artifact(folder, self.checked(value["file"]), value)

    def checked(self, name):
        if "/" in name or "\0" in name or not name:
            raise ValueError("no plain name")
        return name

    def artifact(self, root, name, value):
        status = os.stat(root / name)
        sha256 = self.sha256(root / name, value)
        file = ArtifactFile(
            name=name, size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino, sha256=sha256
        )
        return Artifact(folder=str(root), primary=name, files=(file,), source="shelf")

    def sha256(self, path, value):
        return None


class TestManifestsAreSound(SourceSuite):
    Source = Manifests
    caught_by = None


class TestLosesABadManifestWithoutAWord(SourceSuite):
    class Source(Manifests):
        def failed(self, manifest, error):
            return iter(())

    caught_by = DAMAGED


class TestEndsAtABadManifest(SourceSuite):
    class Source(Manifests):
        def list(self, place, walk):
            for one in super().list(place, walk):
                yield one
                if isinstance(one, Problem):
                    return

    caught_by = DAMAGED


class TestBelievesTheTypesOfAManifest(SourceSuite):
    class Source(Manifests):
        def checked(self, name):
            if not isinstance(name, str):
                raise AssertionError("no string")  # noqa: TRY004 - what no guard of a manifest expects
            return super().checked(name)

    caught_by = DAMAGED


class TestNeedsTheNameOfAManifest(SourceSuite):
    class Source(Manifests):
        def read(self, root, manifest):
            json.loads(manifest.read_bytes() or b"{}").get("file") or 1 / 0
            return super().read(root, manifest)

    caught_by = DAMAGED


class TestFollowsAManifestUpwards(SourceSuite):
    class Source(Manifests):
        def checked(self, name):
            return name

        def artifact(self, root, name, value):
            file = ArtifactFile(name=name, size=1, mtime_ns=0)
            return Artifact(folder=str(root), primary=name, files=(file,), source="shelf")

    caught_by = NAMES


class TestListsWhatIsGone(SourceSuite):
    class Source(Manifests):
        def artifact(self, root, name, value):
            file = ArtifactFile(name=name, size=1, mtime_ns=0)
            return Artifact(folder=str(root), primary=name, files=(file,), source="shelf")

    caught_by = GONE


class TestEndsWhereAFileIsGone(SourceSuite):
    class Source(Manifests):
        def list(self, place, walk):
            listed = list(super().list(place, walk))
            return iter([] if any(isinstance(one, Problem) for one in listed) else listed)

    caught_by = GONE


class TestTrustsADigest(SourceSuite):
    class Source(Manifests):
        def sha256(self, path, value):
            return "0" * 64

    caught_by = "test_a_sha256_is_that_of_the_bytes"


class TestDigestsTheName(SourceSuite):
    class Source(Manifests):
        def sha256(self, path, value):
            return hashlib.sha256(path.name.encode()).hexdigest()

    caught_by = "test_a_sha256_is_that_of_the_bytes"


class TestHashesWhileListing(SourceSuite):
    class Source(Manifests):
        def sha256(self, path, value):
            return hashlib.sha256(path.read_bytes()).hexdigest()

    caught_by = "test_no_weights_are_read_while_listing"


class TestLooksIntoTheWeights(SourceSuite):
    class Source(Manifests):
        def sha256(self, path, value):
            with path.open("rb") as stream:
                stream.read(4)

    caught_by = "test_no_weights_are_read_while_listing"


class TestUnpicklesAManifest(SourceSuite):
    class Source(Manifests):
        def sha256(self, path, value):
            with contextlib.suppress(Exception):
                pickle.loads(pickle.dumps({"a": 1}))  # noqa: S301

    caught_by = "test_it_lists_what_is_there"


class TestEvaluatesAManifest(SourceSuite):
    class Source(Manifests):
        def sha256(self, path, value):
            eval("{}")  # noqa: S307

    caught_by = "test_it_lists_what_is_there"


class TestNeverEnds(SourceSuite):
    class Source(Manifests):
        def sha256(self, path, value):
            while True:
                with contextlib.suppress(Exception):
                    time.sleep(60)

    caught_by = "test_it_lists_what_is_there"
