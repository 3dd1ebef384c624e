"""Archives that carry code: each says when it runs, and none that runs at load is healthy."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import package

from modelshelf.model import HealthStatus
from tests.plugins.modelshelf_pytorch.forge import Entry, archive, look_at


class Plain(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


class Writes(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "out.bin")
        return x


class Maps(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file("in.bin", size=1)


class Restores(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> bool:
        return self.training

    @torch.jit.export
    def __setstate__(self, state: bool) -> None:
        self.training = state


class Batched(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, x])


def scripted(module: torch.nn.Module) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), stream)
    return stream.getvalue()


def exported() -> bytes:
    stream = io.BytesIO()
    batch = torch.export.Dim("batch", min=2, max=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(Batched(), (torch.ones(4, 4),), dynamic_shapes={"x": {0: batch}})
        torch.export.save(program, stream)
    return stream.getvalue()


def recoded(data: bytes, old: bytes, new: bytes) -> bytes:
    """TorchScript with its code changed."""
    return rewritten(data, lambda name, text: text.replace(old, new) if name.endswith(".py") else text)


def rewritten(data: bytes, change, *more: tuple[str, bytes]) -> bytes:
    """An archive with its members' bytes changed, and more members."""
    source, stream = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
        for name, content in more:
            target.writestr(name, content)
    return stream.getvalue()


def test_torchscript_without_code_at_load_is_healthy_and_says_when_its_code_runs(tmp_path):
    result = look_at(tmp_path, scripted(Plain()))
    assert (result.status, result.codes) == (HealthStatus.HEALTHY, ["carries-code"])
    assert "when the model is called" in result.text


def test_torchscript_with_a_setstate_is_degraded_and_says_that_it_runs_at_load(tmp_path):
    result = look_at(tmp_path, scripted(Restores()))
    assert (result.status, result.codes) == (HealthStatus.DEGRADED, ["code-runs-at-load"])


@pytest.mark.filterwarnings("ignore")
def test_torchscript_saved_for_phones_with_a_setstate_is_degraded_too(tmp_path):
    data = torch.jit.script(Restores())._save_to_buffer_for_lite_interpreter()
    without_source = rewritten(data, lambda name, content: b"" if "/code/" in name else content)
    for one in (data, without_source):
        assert "code-runs-at-load" in look_at(tmp_path, one, "m.ptl").codes


@pytest.mark.parametrize("module", [Writes, Maps])
def test_torchscript_that_reads_or_writes_files_is_degraded(tmp_path, module):
    result = look_at(tmp_path, scripted(module()))
    assert result.status is HealthStatus.DEGRADED
    assert "code-uses-files" in result.codes


@pytest.mark.parametrize(
    "call",
    [
        b"torch. save(x, 'f')",
        b"(torch).save(x, 'f')",
        b"ops.aten.save(x, 'f')",
        b"torch.\\\n    from_file('f')",
        b"ops.image.write_file('f', x)",
        b"(t).save(x, 'f')",
    ],
)
def test_a_file_operator_is_found_however_it_is_written(tmp_path, call):
    data = recoded(scripted(Plain()), b"return", call + b"\n    return")
    assert "code-uses-files" in look_at(tmp_path, data).codes


def test_an_archive_s_own_method_called_save_is_no_operator_and_an_alias_of_torch_is_reported(tmp_path):
    own = b"    return (self).save(x, )\n  def save(self, x: Tensor) -> Tensor:\n    return"
    scripted_alone = recoded(scripted(Plain()), b"    return", own)
    assert look_at(tmp_path, scripted_alone).codes == ["carries-code"]
    alias = recoded(scripted_alone, b"    return (", b"    t = torch\n    return (")
    assert "code-uses-files" in look_at(tmp_path, alias).codes


def test_a_program_with_shapes_as_torch_writes_them_is_healthy(tmp_path):
    data = exported()
    assert b"expr_str" in data
    result = look_at(tmp_path, data, "m.pt2")
    assert (result.status, result.findings) == (HealthStatus.HEALTHY, ())


@pytest.mark.parametrize("key", ['"expr_str"', '"expr\\u005fstr"'])
def test_a_program_whose_shape_is_python_is_unhealthy(tmp_path, key):
    def poison(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        text = content.decode().replace("Integer(2)", "__import__('os').getpid()", 1)
        return text.replace('"expr_str"', key).encode()

    result = look_at(tmp_path, rewritten(exported(), poison), "m.pt2")
    assert result.status is HealthStatus.UNHEALTHY
    assert "unsafe-expression" in result.codes


def test_a_program_with_a_custom_object_is_degraded(tmp_path):
    source = zipfile.ZipFile(io.BytesIO(exported()))
    root = source.namelist()[0].partition("/")[0]
    more = (f"{root}/data/constants/custom_obj_0", scripted(Plain()))
    result = look_at(tmp_path, rewritten(exported(), lambda _, content: content, more), "m.pt2")
    assert result.status is HealthStatus.DEGRADED
    assert "code-runs-at-load" in result.codes


@pytest.mark.parametrize("name", [b"m.so", b"M.SO", b"wrapper.cpp", b"anything"])
def test_an_aotinductor_package_with_native_code_is_unhealthy(tmp_path, name):
    data = archive(
        Entry(name=b"m/archive_format", content=b"pt2"),
        Entry(name=b"m/data/aotinductor/model/" + name, content=b"\x7fELF\x02\x01\x01"),
    )
    result = look_at(tmp_path, data, "m.pt2")
    assert result.status is HealthStatus.UNHEALTHY
    assert "native-code" in result.codes


def packaged(**sources: str) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), package.PackageExporter(stream) as exporter:
        warnings.simplefilter("ignore")
        exporter.extern("**")
        exporter.save_pickle("model", "m.pkl", {"a": torch.ones(2)})
        for module, text in sources.items():
            exporter.save_source_string(
                module.replace("__", "."), text, is_package=module == "model", dependencies=False
            )
    return stream.getvalue()


def test_a_torch_package_without_sources_is_healthy(tmp_path):
    assert look_at(tmp_path, packaged(), "p.pt").findings == ()


def test_a_torch_package_whose_sources_no_pickle_needs_is_healthy_and_says_when_they_run(tmp_path):
    result = look_at(tmp_path, packaged(other="X = 1"), "p.pt")
    assert (result.status, result.codes) == (HealthStatus.HEALTHY, ["carries-code"])
    assert "when imported" in result.text


@pytest.mark.parametrize("module", ["collections", "model", "torch___utils"])
def test_a_torch_package_that_runs_a_source_at_load_is_unhealthy(tmp_path, module):
    """A source that shadows a module which the pickle names, or the ``__init__`` of the pickle's package."""
    result = look_at(tmp_path, packaged(**{module: "X = 1"}), "p.pt")
    assert result.status is HealthStatus.UNHEALTHY
    assert "code-runs-at-load" in result.codes


def test_a_constants_pkl_in_other_letters_makes_no_torchscript_of_a_pickle(tmp_path: Path):
    """torch.load compares that name exactly, and unpickles ``data.pkl`` as Python does."""
    pickle = b"\x80\x02c__torch__.Evil\nEvil\n)\x81."
    data = archive(
        Entry(name=b"a/data.pkl", content=pickle),
        Entry(
            name=b"a/CONSTANTS.PKL",
            content=b"\x80\x02).",
        ),
        Entry(name=b"a/version", content=b"3\n"),
    )
    assert look_at(tmp_path, data).status is HealthStatus.UNHEALTHY


def test_a_member_whose_name_only_unicode_folds_to_data_pkl_is_judged_too(tmp_path: Path):
    evil = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."
    data = archive(
        Entry(name=b"a/data.pkl", content=b"\x80\x02}."),
        Entry(name="a/data.p\u212al".encode(), content=evil, flags=0x800),
        Entry(name=b"a/version", content=b"3\n"),
    )
    assert "posix.system" in look_at(tmp_path, data).text


def test_json_of_a_program_that_is_broken_is_unhealthy(tmp_path):
    data = archive(
        Entry(name=b"m/archive_format", content=b"pt2"),
        Entry(name=b"m/models/model.json", content=json.dumps({"a": 1}).encode()[:-1]),
    )
    assert look_at(tmp_path, data, "m.pt2").status is HealthStatus.UNHEALTHY
