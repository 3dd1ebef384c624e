"""The conformance kit for authors of plugins: give one fixture and an empty subclass, inherit the suite.

====================  ====================  =====================================================
the plugin offers     the fixture gives     the test class inherits
====================  ====================  =====================================================
a format              ``format_case``       `FormatSuite`: a `FormatCase`
a source              ``source_case``       `SourceSuite`: a `SourceCase`
a store               ``store_case``        `StoreSuite`: a `StoreCase`
a serializer          ``serializer_case``   `SerializerSuite`: a `SerializerCase`
====================  ====================  =====================================================

Example::

    import modelshelf_word2vec
    import pytest
    from modelshelf.testing import FormatCase, FormatSuite

    @pytest.fixture
    def format_case(tmp_path):
        file = tmp_path / "words.vec"
        file.write_bytes(...)
        return FormatCase(plugin=modelshelf_word2vec, format="word2vec", weights=file)

    class TestWord2vec(FormatSuite):
        pass

Every hook is called as a scan calls it, through the same guard. Nothing of Modelshelf itself imports this
package. Its fixtures (`modelshelf.testing.fixtures`) are there wherever Modelshelf and pytest are installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelshelf.testing.commandline import CommandLine, Outcome
    from modelshelf.testing.formats import FormatCase, FormatSuite
    from modelshelf.testing.samples import ModelFiles
    from modelshelf.testing.serializers import SerializerCase, SerializerSuite
    from modelshelf.testing.sources import SourceCase, SourceSuite
    from modelshelf.testing.stores import StoreCase, StoreSuite

__all__ = [
    "CommandLine",
    "FormatCase",
    "FormatSuite",
    "ModelFiles",
    "Outcome",
    "SerializerCase",
    "SerializerSuite",
    "SourceCase",
    "SourceSuite",
    "StoreCase",
    "StoreSuite",
]

_HOMES = {
    "CommandLine": "commandline",
    "FormatCase": "formats",
    "FormatSuite": "formats",
    "ModelFiles": "samples",
    "Outcome": "commandline",
    "SerializerCase": "serializers",
    "SerializerSuite": "serializers",
    "SourceCase": "sources",
    "SourceSuite": "sources",
    "StoreCase": "stores",
    "StoreSuite": "stores",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
