from __future__ import annotations

import ast
import inspect
import textwrap

import pluggy
import pytest

from modelshelf.plugin import spec
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


def test_pluggy_reads_the_hooks_and_their_arguments_alike() -> None:
    class Manager(pluggy.PluginManager):
        def parse_hookspec_opts(self, _module: object, name: str) -> dict[str, object] | None:
            wanted = {
                "firstresult": False,
                "historic": False,
                "warn_on_impl": None,
                "warn_on_impl_args": None,
            }
            return wanted if name.startswith(spec.PREFIX) else None

    manager = Manager(spec.PROJECT)
    manager.add_hookspecs(spec)
    assert {name: tuple(getattr(manager.hook, name).spec.argnames) for name in HOOKS} == hook_arguments()
