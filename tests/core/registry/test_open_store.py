"""A store of this program is opened quickly; everything else is asked for under the guard of the hooks."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelshelf_lmdb
from modelshelf import StoreUnavailableError
from modelshelf.registry.open_store import open_builtin, open_guarded, open_store
from tests.distributions import write_distribution


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for distributions, first on the import path; no plugin is blocked."""
    monkeypatch.delenv("MODELSHELF_DISABLE_PLUGINS", raising=False)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture(params=["", "lmdb://", "LMDB://"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The store's place, written in each way."""
    return f"{request.param}{tmp_path / 'store'}"


def test_the_quick_way_opens_what_the_hooks_offer(location: str) -> None:
    opened = [opening(location) for opening in (open_builtin, open_guarded, open_store)]
    assert len({(type(one), one.location) for one in opened}) == 1
    opened[0].update(lambda state: state.put(b"key", b"value"))
    assert [one.view(lambda state: state.get(b"key")) for one in opened] == [b"value"] * 3
    for one in opened:
        one.close()


def test_the_function_of_the_quick_way_is_the_one_that_the_hook_gives() -> None:
    (kind,) = modelshelf_lmdb.modelshelf_stores()
    assert kind.open is modelshelf_lmdb.open_store


def test_both_ways_open_nothing_new_to_read_it(location: str) -> None:
    for opening in (open_builtin, open_guarded):
        with pytest.raises(StoreUnavailableError, match="no store yet"):
            opening(location, readonly=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_a_data_file_that_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, kind: str, readonly: bool
) -> None:
    path = tmp_path / "data.mdb"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(StoreUnavailableError, match="is not a regular file"):
        open_store(str(tmp_path), readonly=readonly)


@pytest.mark.parametrize("name", ["lmdb", "modelshelf[lmdb]", "modelshelf"])
@pytest.mark.parametrize("by_variable", [False, True])
def test_a_blocked_store_is_not_opened(
    location: str, name: str, by_variable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = frozenset() if by_variable else frozenset({name})
    if by_variable:
        monkeypatch.setenv("MODELSHELF_DISABLE_PLUGINS", name)
    assert open_builtin(location, blocked) is None
    with pytest.raises(StoreUnavailableError, match="no plugin offers a store of kind lmdb"):
        open_store(location, blocked=blocked)


@pytest.mark.parametrize("place", ["memo://here", "gguf://here", "nothing://here"])
def test_a_store_of_another_kind_is_left_to_the_hooks(place: str) -> None:
    assert open_builtin(place) is None


def test_a_store_that_cannot_be_imported_is_reported_by_the_guard(
    location: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "modelshelf_lmdb", None)  # makes an import of it fail
    assert open_builtin(location) is None
    with caplog.at_level(logging.WARNING), pytest.raises(StoreUnavailableError):
        open_store(location)
    assert "modelshelf[lmdb]" in caplog.text


def test_anothers_store_is_found_where_the_own_one_is_blocked(location: str, site: Path) -> None:
    source = """
        import modelshelf_lmdb
        from modelshelf.store import StoreType

        def modelshelf_stores():
            yield StoreType(scheme="lmdb", open=modelshelf_lmdb.open_store)
    """
    write_distribution(site, "other-store", source)
    store = open_store(location, blocked=frozenset({"modelshelf"}))
    store.close()
    assert "other_store" in sys.modules


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Modules of a test's own distributions do not stay."""
    yield
    sys.modules.pop("other_store", None)
