"""The package's names, each loaded from its own module when it is first used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import modelshelf
from modelshelf import model


@pytest.mark.parametrize("name", model.__all__)
def test_a_name_is_that_of_the_module_where_it_is_at_home(name: str) -> None:
    value = getattr(model, name)
    assert value.__module__ == model._HOME_OF[name]
    assert value is getattr(model, name)


def test_every_home_and_every_public_name_is_listed_once() -> None:
    assert sorted(model._HOME_OF) == sorted(model.__all__)
    assert set(model.__all__) <= set(dir(model))


@pytest.mark.parametrize("package", [modelshelf, model])
def test_a_name_that_is_not_there_is_an_attribute_error(package: object) -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = package.Nothing


@pytest.mark.parametrize("name", modelshelf.__all__)
def test_every_public_name_of_the_library_can_be_imported(name: str) -> None:
    assert getattr(modelshelf, name) is not None
    assert name in dir(modelshelf)


def test_a_star_import_gives_every_name() -> None:
    code = "from modelshelf.model import *; import modelshelf.model as m; print({*m.__all__} - {*globals()})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
