"""Why a file is, or is not, in the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf import ModelRegistry
from modelshelf.scan import why
from tests.core.toy import BUILTIN_FORMATS, ToyFormat, write_toy


@pytest.mark.parametrize("keeps", [True, False])
def test_a_file_system_without_a_useful_ctime_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps: bool
) -> None:
    monkeypatch.setattr(why, "keeps_times", lambda _: keeps)
    path = write_toy(tmp_path / "models" / "m.toy")
    with ModelRegistry(
        tmp_path / "models", tmp_path / "store", plugins=[ToyFormat()], blocked=BUILTIN_FORMATS
    ) as registry:
        rules = [one.rule for one in registry.why(path)]
    assert ("change time" in rules) is not keeps
