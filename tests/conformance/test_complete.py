"""Nothing that is built in is left out of the kit."""

from __future__ import annotations

import pytest

from modelshelf.plugin.call import PluginSet
from modelshelf.plugin.find import BUILTIN, find
from modelshelf.plugin.load import load
from tests.conformance.test_formats import PLUGINS
from tests.plugins.modelshelf_sources.test_conformance import ROOTS


@pytest.fixture(scope="module")
def built_in() -> PluginSet:
    return PluginSet(load([one for one in find() if one.distribution == BUILTIN]))


def names(plugins: PluginSet, hook: str, attribute: str = "name") -> set[str]:
    return {getattr(one, attribute) for one in plugins.collect(f"modelshelf_{hook}")}


def test_every_built_in_plugin_of_formats_has_a_case(built_in: PluginSet) -> None:
    offering = {one.name for one in built_in.reports if "modelshelf_formats" in one.hooks}
    assert offering == PLUGINS.keys()


def test_every_built_in_source_has_a_case(built_in: PluginSet) -> None:
    assert names(built_in, "sources") == ROOTS.keys()


def test_every_built_in_store_has_a_case(built_in: PluginSet) -> None:
    assert names(built_in, "stores", "scheme") == {"lmdb"}
