from __future__ import annotations

import io
import json
import os
import random
import resource
import warnings
from pathlib import Path

import pytest
import torch

from modelshelf.errors import ReadError
from modelshelf.model import Depth, HealthStatus
from modelshelf_pytorch.containers.dispatch import inspect, inspect_once
from modelshelf_pytorch.containers.exported import SCALAR_TYPES
from modelshelf_pytorch.containers.issues import issues_of
from modelshelf_pytorch.pickle.allowlist import DTYPES
from modelshelf_pytorch.readers import BytesReader
from tests.fuzz import checkpoints
from tests.plugins.modelshelf_pytorch.forge import EVIL_4, Entry, archive, checkpoint, look, look_at, saved
from tests.support import reader_of

VARIANTS = int(os.environ.get("MODELSHELF_FUZZ_CHECKPOINTS", "120"))
MUTANTS = int(os.environ.get("MODELSHELF_FUZZ_MUTANTS", "3000"))


def flat(value, path=""):
    """Every tensor with its path, as a person would write it."""
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            text = (f"{path}.{key}" if path else key) if isinstance(key, str) else f"{path}[{key!r}]"
            yield from flat(inner, text)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from flat(inner, f"{path}[{index}]")


def headers(loaded) -> dict:
    return {
        name: (
            tuple(one.shape),
            DTYPES[str(one.dtype)[6:]],
            one.stride() if one.layout is torch.strided else (),
        )
        for name, one in flat(loaded)
    }


def ours(path: Path) -> dict:
    with reader_of(path) as reader:
        tensors = inspect_once(reader, path.name).contents.tensors
    return {one.name: (one.tensor.shape, one.tensor.dtype, one.tensor.stride) for one in tensors}


def test_every_variant_of_torch_save_is_healthy_and_read_as_torch_reads_it(tmp_path):
    for path in checkpoints.generate(tmp_path, VARIANTS, seed=3):
        result = look(path)
        # Of random tensors some are integers alone, which may be packed in a way that nobody knows.
        findings = [one for one in result.findings if one.code != "packing-unknown"]
        assert (result.format, findings) == ("pytorch", []), path.name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert ours(path) == headers(torch.load(path, weights_only=True)), path.name


def mutants(count: int):
    """Checkpoints without checksums, with one to three bytes of their headers changed."""
    draw = random.Random(5)  # noqa: S311  # reproducible, not secret
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)  # its only parameter
    bases = []
    try:
        for number in range(20):
            content = checkpoints.state_dict(random.Random(number))  # noqa: S311  # likewise
            data = saved(content)
            start = data.index(b"\x80\x02")
            middle, directory = data.index(b"PK\x03\x04", start), data.index(b"PK\x01\x02")
            bases.append((data, ((start, middle),) * 6 + ((0, start), (directory, len(data)))))
            if not any(one.dtype in checkpoints.NEWER for _, one in flat(content)):
                data = saved(content, _use_new_zipfile_serialization=False)
                bases.append((data, ((0, min(len(data), 4000)),)))
    finally:
        torch.serialization.set_crc32_options(before)
    for _ in range(count):
        data, spans = draw.choice(bases)
        low, high = draw.choice(spans)
        mutant = bytearray(data)
        for _ in range(draw.choice((1, 1, 2, 3))):
            mutant[draw.randrange(low, high)] = draw.choice(
                (draw.randrange(256), draw.choice(b"KMJX(tRQbsu}])q."))
            )
        yield bytes(mutant)


@pytest.mark.filterwarnings("ignore")
def test_whatever_is_healthy_torch_loads():
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, hard))  # a missed size must fail, not fill the machine
    loaded = 0
    try:
        for mutant in mutants(MUTANTS):
            reader = BytesReader(mutant, "mutant.pt")
            try:
                found = inspect(reader)
                issues = list(issues_of(reader, found, Depth.HEADER))
            except ReadError:
                continue
            if not issues and found.kind in {"zip", "legacy"}:
                torch.load(io.BytesIO(mutant), weights_only=True, map_location="cpu")
                loaded += 1
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert loaded > MUTANTS / 20


@pytest.mark.parametrize("old", [False, True])
def test_parameters_are_the_models_and_not_the_optimizers(tmp_path, old):
    module, optimizer = checkpoints.trained(random.Random(1))  # noqa: S311  # likewise
    content = {"state_dict": module.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    result = look_at(tmp_path, saved(content, _use_new_zipfile_serialization=not old))
    # The count of batches is a scalar, which is no parameter.
    parameters = [one.numel() for one in module.state_dict().values() if one.shape]
    assert result.metadata.parameters == sum(parameters) < sum(map(torch.numel, module.state_dict().values()))
    assert result.metadata.tensor_count == len(module.state_dict())
    assert result.metadata.details["model_part"] == "state_dict"
    assert result.metadata.parameter_count == str(result.metadata.parameters)


def test_a_flat_state_dict_counts_whole_and_shared_storages_once(tmp_path):
    whole = torch.ones(8, dtype=torch.float16)
    result = look_at(
        tmp_path, saved({"a": whole, "b": whole[:4], "c": whole.view(2, 4), "n": torch.tensor(7)})
    )
    assert result.metadata.parameters == 8
    assert result.metadata.tensor_types == {"F16": 3, "I64": 1}
    assert result.metadata.quantization == "F16"
    assert result.metadata.bits_per_weight == round(8 * (16 + 8) / 8, 3)


@pytest.mark.parametrize("old", [False, True])
def test_a_tied_head_counts_once_and_parts_of_one_storage_count_each(tmp_path, old):
    whole = torch.arange(32, dtype=torch.float32)
    tied = torch.ones(6, 4)
    content = {"embed": tied, "head": tied, "turned": tied.T, "q": whole[:16].view(4, 4), "k": whole[16:24]}
    result = look_at(tmp_path, saved(content, _use_new_zipfile_serialization=not old))
    assert result.metadata.parameters == 24 + 24
    assert result.metadata.tensor_count == 5


def test_of_an_optimizer_alone_the_type_is_its_tensors_and_no_parameters_are_counted(tmp_path):
    content = {"optimizer_state_dict": {"fp32_flat_groups": [torch.ones(64)]}, "step": 3}
    metadata = look_at(tmp_path, saved(content)).metadata
    assert (metadata.quantization, metadata.parameters) == ("F32", None)


def test_packed_weights_are_counted_as_in_any_other_format(tmp_path):
    content = {
        "layer.qweight": torch.ones(16, 64, dtype=torch.int32),
        "layer.qzeros": torch.ones(2, 8, dtype=torch.int32),
        "layer.scales": torch.ones(2, 64, dtype=torch.float16),
        "layer.g_idx": torch.ones(128, dtype=torch.int32),
        "norm.weight": torch.ones(64),
    }
    metadata = look_at(tmp_path, saved(content)).metadata
    assert (metadata.quantization, metadata.parameters) == ("GPTQ-4bit", 128 * 64 + 64)


@pytest.mark.parametrize("protocol", [1, 3, 4, 5])
@pytest.mark.parametrize("old", [False, True])
def test_another_protocol_is_read_and_reported_where_torch_refuses_it(tmp_path, protocol, old):
    data = saved({"a": torch.ones(3)}, pickle_protocol=protocol, _use_new_zipfile_serialization=not old)
    result = look_at(tmp_path, data)
    assert (result.format, result.metadata.parameters) == ("pytorch", 3)
    assert result.codes == ([] if protocol == 3 else ["weights-only-refuses"])


class Module(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.register_buffer("scale", torch.ones(2))
        self.sizes = [1, 2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) + torch.tensor([1.0, 2.0, 3.0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [torch.jit.script, lambda one: torch.jit.trace(one, torch.ones(1, 4))])
def test_torchscript_is_healthy_carries_code_and_lists_its_parameters(tmp_path, make):
    path = tmp_path / "model.pt"
    module = make(Module())
    torch.jit.save(module, path)
    result = look(path)
    assert (result.status, result.codes) == (HealthStatus.HEALTHY, ["carries-code"])
    assert {name: shape for name, (shape, _, _) in ours(path).items()} == {
        name: tuple(one.shape) for name, one in module.state_dict().items()
    }


def test_a_program_of_torch_export_is_healthy(tmp_path):
    path = tmp_path / "model.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(Module(), (torch.ones(1, 4),)), path)
    result = look(path)
    assert (result.format, result.status) == ("pytorch", HealthStatus.HEALTHY)
    assert {name: shape for name, (shape, _, _) in ours(path).items()} == {
        name: tuple(one.shape) for name, one in Module().state_dict().items()
    }
    assert (result.metadata.parameters, result.metadata.tensor_types) == (17, {"F32": 3})


def test_the_element_types_of_torch_export_are_those_of_its_schema():
    from torch._export.serde.serialize import _SERIALIZE_TO_TORCH_DTYPE

    theirs = {
        number: str(dtype).removeprefix("torch.") for number, dtype in _SERIALIZE_TO_TORCH_DTYPE.items()
    }
    assert {number: DTYPES[name] for number, name in theirs.items()} == SCALAR_TYPES


WEIGHT = {
    "path_name": "weight_0",
    "use_pickle": False,
    "tensor_meta": {
        "dtype": 7,
        "sizes": [{"as_int": 2}],
        "strides": [{"as_int": 1}],
        "storage_offset": {"as_int": 0},
    },
}


def program(weights: object, data: bytes = bytes(8)) -> bytes:
    text = weights if isinstance(weights, bytes) else json.dumps({"config": weights}).encode()
    return archive(
        Entry(name=b"m/data/weights/weight_0", content=data),
        Entry(name=b"m/data/weights/model_weights_config.json", content=text),
        Entry(name=b"m/archive_format", content=b"pt2"),
    )


def changed(**meta: object) -> dict:
    return {"w": {**WEIGHT, "tensor_meta": {**WEIGHT["tensor_meta"], **meta}}}


def test_a_forged_program_without_forgery_is_healthy(tmp_path):
    result = look_at(tmp_path, program({"w": WEIGHT}), "m.pt2")
    assert (result.findings, result.metadata.parameters) == ((), 2)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (program({"w": WEIGHT}, bytes(7)), "storage-size-mismatch"),
        (program({"w": {**WEIGHT, "path_name": "weight_1"}}), "storage-size-mismatch"),
        (program(changed(storage_offset={"as_int": 1})), "storage-size-mismatch"),
        (program(changed(sizes=[{"as_int": -1}])), "bad-record"),
        (program(changed(sizes=[{"as_int": 1 << 62}], strides=[{"as_int": 4}])), "bad-record"),
        (program(changed(sizes=[{"as_float": 2.0}])), "bad-record"),
        (program(changed(sizes=[])), "bad-record"),
        (program(changed(dtype=99)), "bad-record"),
        (program(changed(dtype=[])), "bad-record"),
        (program({"w": []}), "bad-record"),
        (program({"w": None}), "bad-record"),
        (program([]), "bad-record"),
        (program(b"[" * 100_000), "bad-record"),
        (program(b"\xff"), "bad-record"),
        (program(b"1" * 5000), "bad-record"),
        (program({"w": {**WEIGHT, "use_pickle": True}}, EVIL_4), "unsafe-global"),
    ],
)
def test_a_lie_of_an_exported_program_is_unhealthy(tmp_path, data, code):
    result = look_at(tmp_path, data, "m.pt2")
    assert code in result.codes
    assert result.status is HealthStatus.UNHEALTHY


def test_a_dangerous_global_in_a_checkpoint_is_named_with_its_place_in_the_file(tmp_path):
    data = checkpoint(pickle=EVIL_4)
    result = look_at(tmp_path, data, "pytorch_model.bin")
    (finding,) = [one for one in result.findings if one.code == "unsafe-global"]
    assert "posix.system" in finding.message
    assert data[finding.offset] == 0x93


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x04tQ", b"K\x05tQ"),
        (b"K\x04\x85K", b"K\x09\x85K"),
        (b"QK\x00K", b"QK\x01K"),
        (b"\x89ccoll", b"Nccoll"),
    ],
)
def test_a_tensor_that_does_not_fit_its_storage_is_unhealthy(tmp_path, old, new):
    from tests.plugins.modelshelf_pytorch.forge import checkpoint_pickle

    pickle = checkpoint_pickle()
    assert old in pickle
    result = look_at(tmp_path, checkpoint(pickle=pickle.replace(old, new)))
    assert result.status is HealthStatus.UNHEALTHY
