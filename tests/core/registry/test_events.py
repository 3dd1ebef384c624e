"""A change goes to the plugins that observe changes, and loads no other."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from modelshelf import ModelConfig, ModelRegistry
from modelshelf.plugin.find import BUILTIN, find
from modelshelf.records.tables import HOOKS
from modelshelf.registry.events import BUILTIN_OBSERVERS, HOOK
from tests.distributions import write_distribution

QUIET = "def modelshelf_sources(): return ()"
OBSERVING = """
events = []

def modelshelf_model_changed(event):
    events.append((event.kind.value, event.model_id))
"""


@pytest.fixture(autouse=True)
def _unblocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODELSHELF_DISABLE_PLUGINS", raising=False)


@pytest.fixture
def folder(tmp_path: Path, site: Path) -> Path:
    """A folder of no models, for a registry; `site` takes distributions."""
    assert site.is_dir()
    (tmp_path / "models").mkdir()
    return tmp_path


def opened(folder: Path, **options: object) -> ModelRegistry:
    return ModelRegistry(folder / "models", folder / "data", **options)


def changed(folder: Path) -> set[str]:
    """Which of the distributions' modules a change loads, as a process would that knows none of them yet."""
    names = {one.stem for one in (folder / "site").glob("*.py")}
    for name in names:
        sys.modules.pop(name, None)
    with opened(folder) as registry:
        if "one" not in registry:
            registry.register(ModelConfig(id="one"))
        registry.update("one", display_name="One")
    return names & sys.modules.keys()


def scanned(folder: Path) -> None:
    with opened(folder) as registry:
        registry.discover_models(workers=1)


def test_the_list_of_the_built_in_plugins_that_observe_changes_is_true() -> None:
    built_in = [one for one in find() if one.distribution == BUILTIN]
    assert built_in
    assert {one.name for one in built_in if hasattr(one.load(), HOOK)} == BUILTIN_OBSERVERS


def test_a_change_loads_no_built_in_plugin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("modelshelf_gguf", "modelshelf_sources", "modelshelf_serializers"):
        monkeypatch.setitem(sys.modules, name, None)  # makes an import of it fail
    with opened(folder) as registry:
        registry.register(ModelConfig(id="one"))
        registry.update("one", display_name="One")
    assert registry._observers is None


def test_a_plugin_that_observes_nothing_is_loaded_by_a_scan_and_not_by_the_next_change(folder: Path) -> None:
    write_distribution(folder / "site", "quiet-plugin", QUIET)
    scanned(folder)
    assert "quiet_plugin" in sys.modules
    assert changed(folder) == set()


def test_a_plugin_that_observes_is_called_with_every_change(folder: Path) -> None:
    write_distribution(folder / "site", "quiet-plugin", QUIET)
    write_distribution(folder / "site", "watchful-plugin", OBSERVING)
    scanned(folder)
    for _ in range(2):
        assert changed(folder) == {"watchful_plugin"}
        assert ("updated", "one") in sys.modules["watchful_plugin"].events


def test_what_no_scan_has_asked_is_loaded_by_the_first_change_and_known_to_the_next(folder: Path) -> None:
    write_distribution(folder / "site", "quiet-plugin", QUIET)
    assert changed(folder) == {"quiet_plugin"}
    assert changed(folder) == set()


def test_another_version_is_loaded_again(folder: Path) -> None:
    write_distribution(folder / "site", "a-plugin", QUIET, version="1.0")
    scanned(folder)
    assert changed(folder) == set()
    (folder / "site" / "a_plugin-1.0.dist-info" / "METADATA").unlink()
    (folder / "site" / "a_plugin-1.0.dist-info").rename(folder / "old")
    write_distribution(folder / "site", "a-plugin", OBSERVING, version="2.0")
    assert changed(folder) == {"a_plugin"}
    assert sys.modules["a_plugin"].events


def test_what_may_change_within_a_version_is_loaded_by_every_change(folder: Path) -> None:
    write_distribution(folder / "site", "a-plugin", QUIET)
    (folder / "site" / "a_plugin-0.3.0.dist-info" / "direct_url.json").write_text(
        '{"url": "file:///src/a-plugin", "dir_info": {"editable": true}}'
    )
    scanned(folder)
    assert changed(folder) == {"a_plugin"}
    (folder / "site" / "a_plugin.py").write_text(OBSERVING)
    assert changed(folder) == {"a_plugin"}
    assert sys.modules["a_plugin"].events


def test_a_plugin_that_fails_is_loaded_and_named_by_every_change(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_distribution(folder / "site", "broken-plugin", "raise RuntimeError('no luck')")
    scanned(folder)
    for _ in range(2):
        caplog.clear()
        changed(folder)
        assert "no luck" in caplog.text


def test_a_blocked_plugin_is_not_loaded_and_nothing_is_kept_of_it(folder: Path) -> None:
    write_distribution(folder / "site", "watchful-plugin", OBSERVING)
    with opened(folder, blocked=["watchful-plugin"]) as registry:
        registry.discover_models(workers=1)
        registry.register(ModelConfig(id="one"))
    assert "watchful_plugin" not in sys.modules
    assert changed(folder) == {"watchful_plugin"}


def test_a_scan_writes_what_it_learns_of_plugins_once(folder: Path) -> None:
    write_distribution(folder / "site", "quiet-plugin", QUIET)
    scanned(folder)
    with opened(folder) as registry:
        revision = registry.store.revision()
        registry.discover_models(workers=1)
        assert registry.store.revision() == revision


def test_where_the_store_has_lost_it_the_plugins_are_loaded_once_more(folder: Path) -> None:
    write_distribution(folder / "site", "quiet-plugin", QUIET)
    scanned(folder)
    with opened(folder) as registry:
        registry.store.update(lambda state: state.put(HOOKS, b"no record"))
    assert changed(folder) == {"quiet_plugin"}


def test_a_registry_that_is_only_read_loads_no_plugin(folder: Path) -> None:
    write_distribution(folder / "site", "watchful-plugin", OBSERVING)
    with opened(folder) as registry:
        registry.register(ModelConfig(id="one"))
    sys.modules.pop("watchful_plugin")
    with opened(folder, readonly=True) as registry:
        assert registry.get("one") is not None
    assert "watchful_plugin" not in sys.modules


def test_an_observer_that_failed_before_all_plugins_were_loaded_is_among_their_failures(folder: Path) -> None:
    source = "def modelshelf_model_changed(event): raise RuntimeError('observer broke')"
    write_distribution(folder / "site", "watchful-plugin", source)
    with opened(folder) as registry:
        registry.register(ModelConfig(id="one"))
        assert any("observer broke" in one.reason for one in registry.plugins.failures)
