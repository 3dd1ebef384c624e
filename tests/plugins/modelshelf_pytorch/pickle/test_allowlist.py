from __future__ import annotations

import pytest
import torch
from torch._weights_only_unpickler import _get_allowed_globals

from modelshelf_pytorch.pickle.allowlist import (
    ALLOWED,
    DTYPES,
    FLOATING,
    ITEM_BYTES,
    JAGGED,
    NUMPY,
    STORAGES,
    python3_name,
    runs_code,
)


def test_the_allowlist_is_that_of_torch():
    named = {f"{module}.{name}" for module, name in ALLOWED}
    assert named - {".".join(path) for path in JAGGED} == set(_get_allowed_globals())


def test_what_jagged_tensors_name_is_registered_by_importing_torch():
    registered = {(safe.__module__, safe.__name__) for safe in torch.serialization.get_safe_globals()}
    assert set(JAGGED) <= registered


def test_every_element_type_has_the_size_that_torch_gives_it():
    for name, ours in DTYPES.items():
        assert ITEM_BYTES[ours] == getattr(torch, name).itemsize, name


def test_every_storage_class_has_the_element_type_that_torch_gives_it():
    named = {
        f"{module}.{name}": kind for module, name, kind in ((*path, kind) for path, kind in STORAGES.items())
    }
    allowed = _get_allowed_globals()
    typed = {name: kind for name, kind in named.items() if not name.endswith("UntypedStorage")}
    assert {name: DTYPES[str(allowed[name].dtype).removeprefix("torch.")] for name in typed} == typed


def test_the_element_types_that_may_require_gradients_are_those_of_torch():
    for name, ours in DTYPES.items():
        dtype = getattr(torch, name)
        assert (dtype.is_floating_point or dtype.is_complex) == (ours in FLOATING), name


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (("__builtin__", "eval"), ("builtins", "eval")),
        (("copy_reg", "_reconstructor"), ("copyreg", "_reconstructor")),
        (("httplib", "HTTPSConnection"), ("http.client", "HTTPSConnection")),
        (("__builtin__", "reduce"), ("functools", "reduce")),
        (("torch", "Size"), ("torch", "Size")),
    ],
)
def test_names_of_python_2_become_those_of_python_3(written, meant):
    assert python3_name(*written) == meant


def test_numpy_is_not_within_the_allowlist():
    assert not NUMPY & ALLOWED


def test_a_module_runs_code_as_its_root_does():
    assert runs_code("os.system")
    assert runs_code("idlelib.pyshell.main")
    assert not runs_code("transformers.training_args.TrainingArguments")
