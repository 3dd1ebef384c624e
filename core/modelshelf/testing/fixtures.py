"""The pytest plugin: fixtures that are there wherever Modelshelf is installed beside pytest.

It is imported at the start of every pytest run, so it imports nothing but pytest itself until a fixture is
asked for; every name begins with ``modelshelf_``, and no option, marker or hook is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.registry.registry import ModelRegistry
    from modelshelf.testing.commandline import CommandLine
    from modelshelf.testing.samples import ModelFiles

# So that a failed assertion of the kit shows its values, as one of the author's own does.
pytest.register_assert_rewrite(
    *(f"modelshelf.testing.{name}" for name in ("formats", "serializers", "sources", "stores"))
)


@pytest.fixture
def modelshelf_files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """Writes sound, truncated and lying files of each built-in format below a new folder."""
    from modelshelf.testing.samples import ModelFiles

    return ModelFiles(tmp_path_factory.mktemp("modelshelf-models"))


@pytest.fixture
def modelshelf_registry(
    modelshelf_files: ModelFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ModelRegistry]:
    """An empty registry over the folder of `modelshelf_files`, with the installed plugins."""
    from modelshelf.registry.registry import ModelRegistry

    with ModelRegistry(modelshelf_files.folder, tmp_path_factory.mktemp("modelshelf-store")) as registry:
        yield registry


@pytest.fixture
def modelshelf_cli(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """Runs the real command line in this process: exit code, standard output, standard error."""
    from modelshelf.testing.commandline import CommandLine

    return CommandLine(tmp_path_factory.mktemp("modelshelf-cli"))
