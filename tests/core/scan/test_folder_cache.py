"""A scan that lists only what changed does what one that lists all does, whatever happens in between."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from modelshelf import ModelRegistry
from modelshelf.model import Candidate, Detection, DiscoveryStats, FormatType
from modelshelf.records.json import json_record
from modelshelf.scan import changed, folder_cache
from modelshelf.scan.changed import FolderChanges
from modelshelf.scan.folder_cache import MODEL, OTHER, CachedFolder, FolderCache, is_settled, pack_status
from modelshelf.scan.walk import FolderTree, ListedFolder
from tests.core.toy import BUILTIN_FORMATS, ToyFormat, write_toy

RUNS = int(os.environ.get("MODELSHELF_FOLDER_CACHE_RUNS", "6"))
STEPS = 25
NOTHING = 10**9


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache for the smallest tree; folders are trusted at once, which `tick` makes sound."""
    monkeypatch.setattr(changed, "WORTH_WRITING", 1)
    monkeypatch.setattr(folder_cache, "_FINE_STEP", 0)


def tick(folder: Path) -> None:
    """Return once the file system's clock has stepped, so that what follows has times of its own."""
    probe = folder / "clock"
    probe.touch()
    before = probe.stat().st_mtime_ns
    while probe.stat().st_mtime_ns == before:
        probe.touch()


class Twins:
    """Two registries of one tree: one whose scans remember the tree, and one whose scans list it anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.quick = ToyFormat()
        self.registries = [
            ModelRegistry(self.tree, folder / name, plugins=[toy], blocked=BUILTIN_FORMATS)
            for name, toy in (("quick", self.quick), ("slow", ToyFormat()))
        ]

    def both(self, work: Callable[[ModelRegistry], object]) -> list[object]:
        return [work(one) for one in self.registries]

    def scan(self, **options: object) -> DiscoveryStats:
        tick(self.folder)
        quick, slow = self.registries
        remembering = quick.discover_models(**options)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(changed, "WORTH_WRITING", NOTHING)
            anew = slow.discover_models(**options)
        assert without_times(remembering) == without_times(anew)
        assert records(quick) == records(slow)
        tick(self.folder)
        return remembering

    def close(self) -> None:
        for one in self.registries:
            one.close()


def without_times(stats: DiscoveryStats) -> dict[str, object]:
    fields = attrs.asdict(stats)
    del fields["seconds"]
    return {**fields, "problems": sorted(map(str, stats.problems)), "unfinished": set(stats.unfinished)}


def records(registry: ModelRegistry) -> list[dict[str, object]]:
    found = [
        json_record(registry.get_by_version(model_id, version))
        for model_id in registry.list_models()
        for version in registry.get_versions(model_id)
    ]
    for one in found:
        for name in ("added_at", "updated_at", "checked_at", "missing_since"):
            one[name] = one.get(name) is not None
    return sorted(found, key=lambda one: (one["id"], str(one["version"])))


@pytest.fixture
def twins(tmp_path: Path, eager: None) -> Iterator[Twins]:  # noqa: ARG001 - asked for its effect
    made = Twins(tmp_path)
    yield made
    made.close()


class Vandal:
    """Changes a tree at random."""

    def __init__(self, twins: Twins, number: int) -> None:
        self.twins, self.tree = twins, twins.tree
        self.dice = random.Random(number)  # noqa: S311 - chance that can be repeated is what is wanted
        self.count = 0
        self.outside = twins.folder / "outside"
        self.outside.mkdir()

    def folder(self) -> Path:
        folders = [self.tree, *(one for one in self.tree.rglob("*") if one.is_dir() and not one.is_symlink())]
        return self.dice.choice(sorted(folders))

    def file(self) -> Path | None:
        files = sorted(one for one in self.tree.rglob("*") if one.is_symlink() or one.is_file())
        return self.dice.choice(files) if files else None

    def name(self) -> str:
        self.count += 1
        stem = self.dice.choice(["model", "a", "b", f"m{self.count}", "adapter_model"])
        ending = self.dice.choice(
            [".toy", ".toy", ".toy", ".dat", "", ".toy.part", ".txt", "-00001-of-00002.toy"]
        )
        return self.dice.choice([stem + ending] * 4 + ["config.json", "x.toy.index.json"])

    def content(self) -> bytes:
        self.count += 1
        names = {"weight_map": {"w": self.dice.choice(["a.toy", "b.toy"])}}
        return self.dice.choice(
            [
                b"TOY" + json.dumps({"parameters": self.count}).encode(),
                b"TOY" + json.dumps({"parameters": self.count}).encode(),
                b"TOY broken",
                b"no toy %d" % self.count,
                json.dumps(names).encode(),
            ]
        )

    def write(self) -> None:
        path = self.folder() / self.name()
        if not path.is_dir() and not path.is_fifo():
            path.write_bytes(self.content())

    def rewrite_in_place(self) -> None:
        path = self.file()
        if path is not None and path.is_file():
            with path.open("r+b") as file:
                file.write(self.content())

    def rewrite_behind_old_times(self) -> None:
        folder = self.folder()
        before = folder.stat()
        (folder / self.name().replace("config.json", "late.toy")).with_suffix(".toy").write_bytes(
            self.content()
        )
        os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))

    def delete(self) -> None:
        path = self.file()
        if path is not None:
            path.unlink()

    def move(self) -> None:
        path = self.file()
        target = self.folder() / self.name()
        if path is not None and not target.is_dir():
            path.rename(target)

    def copy(self) -> None:
        path = self.file()
        if path is not None and path.is_file():
            target = self.folder() / self.name()
            if (
                not target.is_dir()
                and not target.is_fifo()
                and not (target.exists() and target.samefile(path))
            ):
                target.unlink(missing_ok=True)
                shutil.copy2(path, target)

    def make_folder(self) -> None:
        (self.folder() / self.dice.choice(["p", "q", "r", ".git", "s"])).mkdir(exist_ok=True)

    def delete_folder(self) -> None:
        folder = self.folder()
        if folder != self.tree:
            shutil.rmtree(folder)

    def move_folder(self) -> None:
        folder, target = self.folder(), self.folder() / f"moved{self.dice.randrange(3)}"
        if folder != self.tree and not target.exists() and not target.is_relative_to(folder):
            folder.rename(target)

    def link(self) -> None:
        path = self.folder() / self.dice.choice(["l.toy", "l.txt", "l"])
        goal = self.dice.choice([self.file(), self.folder(), self.outside, self.outside / "late", "nowhere"])
        if goal is not None and not os.path.lexists(path):
            path.symlink_to(goal)

    def change_link_target(self) -> None:
        target = self.outside / "late"
        if target.is_dir():
            target.rmdir()
        elif target.exists():
            target.unlink()
        else:
            self.dice.choice([lambda: target.write_bytes(self.content()), target.mkdir])()

    def pipe(self) -> None:
        path = self.folder() / "pipe.toy"
        if not os.path.lexists(path):
            os.mkfifo(path)

    def forget_a_model(self) -> None:
        models = self.twins.registries[0].list_models()
        if models:
            chosen = self.dice.choice(sorted(models))
            self.twins.both(lambda registry: registry.remove(chosen))

    def scan_a_part(self) -> None:
        path = self.dice.choice([self.folder(), self.file() or self.tree])
        self.twins.scan(paths=[path])

    def scan_by_force(self) -> None:
        self.twins.scan(force=True)

    def change(self) -> None:
        rare = [self.forget_a_model, self.scan_a_part, self.scan_by_force, self.pipe]
        often = [
            self.write,
            self.write,
            self.write,
            self.rewrite_in_place,
            self.rewrite_behind_old_times,
            self.delete,
            self.move,
            self.copy,
            self.make_folder,
            self.delete_folder,
            self.move_folder,
            self.link,
            self.change_link_target,
        ]
        self.dice.choice(often * 3 + rare)()


@pytest.mark.parametrize("number", range(RUNS))
def test_a_remembered_tree_scans_as_one_that_is_listed_anew(twins: Twins, number: int) -> None:
    vandal = Vandal(twins, number)
    for one in range(8):
        write_toy(twins.tree / f"f{one % 3}" / f"m{one}.toy", parameters=one)
    for _ in range(STEPS):
        twins.scan()
        for _ in range(vandal.dice.randrange(4)):
            vandal.change()


def test_a_scan_of_an_unchanged_tree_looks_into_no_folder(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in range(20):
        write_toy(twins.tree / f"f{one % 5}" / f"m{one}.toy", parameters=one)
    twins.scan()
    twins.scan()
    registry = twins.registries[0]
    revision = registry.store.revision()
    looks = looks_of(monkeypatch)
    stats = registry.discover_models()
    assert (stats.models_unchanged, stats.total_scanned) == (20, 6)
    assert (looks, registry.store.revision()) == ([], revision)
    write_toy(twins.tree / "f3" / "new.toy", parameters=99)
    assert registry.discover_models().models_added == 1
    assert looks == [str(twins.tree), str(twins.tree / "f3")]


def test_many_changed_folders_leave_the_models_of_the_others_alone(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed, "FEW_FOLDERS", 2)
    for one in range(12):
        write_toy(twins.tree / f"f{one}" / "m.toy", parameters=one)
    twins.scan()
    for one in range(6):
        write_toy(twins.tree / f"f{one}" / "m.toy", parameters=100 + one)
    stats = twins.scan()
    assert (stats.models_found, stats.models_unchanged, stats.models_missing) == (12, 6, 0)


def test_a_root_that_goes_while_it_is_scanned_leaves_its_models_as_they_were(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toy(twins.tree / "f" / "m.toy", parameters=1)
    registry = twins.registries[0]
    registry.discover_models()

    def gone(_: FolderTree, root: str, *__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", root)

    monkeypatch.setattr(FolderTree, "__init__", gone)
    stats = registry.discover_models(force=True)
    assert [one.code for one in stats.problems] == ["absent"]
    assert (stats.models_missing, registry.get("f").missing) == (0, False)


@pytest.mark.parametrize("step", ["save", "_vanished"])
def test_a_record_that_goes_while_the_first_cache_is_written_is_found_by_the_next_scan(
    twins: Twins, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    for one in range(6):
        write_toy(twins.tree / f"f{one}" / "m.toy", parameters=one)
    tick(twins.folder)
    registry = twins.registries[0]
    taken = getattr(FolderChanges, step)

    def meanwhile(*given: object) -> object:
        """Remove a record before the cache is written, or after a view looked which are present."""
        monkeypatch.setattr(FolderChanges, step, taken)
        result = taken(*given) if step == "_vanished" else None
        other = threading.Thread(target=registry.remove, args=("f3",))  # a thread in a view cannot
        other.start()
        other.join()
        return taken(*given) if step == "save" else result

    monkeypatch.setattr(FolderChanges, step, meanwhile)
    assert registry.discover_models().models_added == 6
    assert "f3" not in registry.list_models()
    stats = registry.discover_models()
    assert (stats.models_added, stats.models_unchanged) == (1, 5)
    assert "f3" in registry.list_models()


def looks_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that are looked into from now on."""
    found: list[str] = []
    list_folder = FolderTree.list_folder

    def noted(self: FolderTree, path: str) -> ListedFolder:
        found.append(path)
        return list_folder(self, path)

    monkeypatch.setattr(FolderTree, "list_folder", noted)
    return found


def test_another_set_of_formats_looks_at_everything_again(twins: Twins, tmp_path: Path) -> None:
    (twins.tree / "late.dat").write_bytes(b"LATE")
    for one in range(5):
        write_toy(twins.tree / f"m{one}.toy", parameters=one)
    twins.scan()
    twins.scan()

    class Late(ToyFormat):
        def modelshelf_formats(self) -> Iterator[FormatType]:
            yield FormatType(name="late", suffixes=(), magic=((0, b"LATE"),))

        def modelshelf_detect_format(self, candidate: Candidate) -> Detection | None:
            if candidate.head.startswith(b"LATE"):
                return Detection(format="late", confidence=0.9)
            return None

    with ModelRegistry(
        twins.tree, tmp_path / "quick", plugins=[twins.quick, Late()], blocked=BUILTIN_FORMATS
    ) as registry:
        assert registry.discover_models().models_added == 1


def test_what_is_packed_comes_back() -> None:
    rows = {
        "/r": CachedFolder(pack_status(1, 2, 3)),
        "/r/a": CachedFolder(
            pack_status(2**64 - 1, -5, 7),
            "x.toy\0y\udcff.toy",
            bytes([MODEL, OTHER]),
            pack_status(1, 2, 3) * 2,
        ),
        "/r/a/b": CachedFolder(None, "z.toy", bytes([MODEL]), pack_status(-1, -1, -1)),
        "/r/c": CachedFolder(pack_status(4, 5, 6), "q", bytes([OTHER]), pack_status(7, 8, 9)),
    }
    made = FolderCache.unpack("/r", FolderCache.of(rows).pack())
    assert made is not None
    assert {path: made.folder(number) for number, path in enumerate(made.paths)} == rows
    assert made.models(range(4)) == ["/r/a/x.toy", "/r/a/b/z.toy"]
    assert (made.count_models(range(4)), made.count_models([1])) == (2, 1)
    assert made.with_parents([2]) == {0, 1, 2}


def test_a_folder_that_has_just_changed_is_not_trusted(tmp_path: Path) -> None:
    status = tmp_path.stat()
    newest = max(status.st_mtime_ns, status.st_ctime_ns)
    assert not is_settled(status, newest)
    assert not is_settled(status, newest - 10**12)


def test_a_root_of_the_whole_system_has_paths_with_one_slash() -> None:
    folders = dict.fromkeys(["/", "/a", "/a/b"], CachedFolder(pack_status(1, 2, 3)))
    assert FolderCache.of(folders).paths == ["/", "/a", "/a/b"]
