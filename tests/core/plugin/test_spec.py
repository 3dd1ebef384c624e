from __future__ import annotations

import ast
import inspect
import textwrap

import pytest

from modelshelf.plugin import API_VERSION, spec
from modelshelf.plugin.register import hook_arguments

HOOKS = sorted(hook_arguments())


def example_of(hook: str) -> str:
    text = inspect.getdoc(getattr(spec, hook)) or ""
    return textwrap.dedent(text.partition("Example::\n")[2])


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_has_an_example_that_implements_it(hook: str) -> None:
    (function,) = ast.parse(example_of(hook)).body
    assert isinstance(function, ast.FunctionDef)
    assert function.name == hook
    assert {one.arg for one in function.args.args} <= set(hook_arguments()[hook])


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_typed_in_full(hook: str) -> None:
    signature = inspect.signature(getattr(spec, hook))
    assert signature.return_annotation is not signature.empty
    assert all(one.annotation is not one.empty for one in signature.parameters.values())


def test_pluggy_reads_the_arguments_that_the_functions_declare() -> None:
    declared = {hook: tuple(inspect.signature(getattr(spec, hook)).parameters) for hook in HOOKS}
    assert declared == hook_arguments()


SPECIFICATION_1 = {
    "modelshelf_formats": (),
    "modelshelf_detect_format": ("candidate",),
    "modelshelf_extract_metadata": ("artifact", "format", "reader"),
    "modelshelf_probe_health": ("artifact", "format", "reader", "depth"),
    "modelshelf_serializers": (),
    "modelshelf_sources": (),
    "modelshelf_stores": (),
    "modelshelf_commands": (),
    "modelshelf_model_changed": ("event",),
}
SPECIFICATION_2 = {
    **SPECIFICATION_1,
    "modelshelf_estimate_memory": ("model", "request"),
    "modelshelf_tensor_places": ("artifact", "format", "reader"),
}


def test_the_specification_does_not_change_without_its_version() -> None:
    assert {1: SPECIFICATION_1, 2: SPECIFICATION_2}[API_VERSION] == hook_arguments()
