"""Shape expressions: those that torch writes pass, and nothing that reaches further."""

from __future__ import annotations

import pytest
import sympy
from torch.utils._sympy import functions

from modelshelf_pytorch.containers.expressions import FUNCTIONS, is_torch_expression

S = sympy.Symbol("s0", positive=True, integer=True)
U = sympy.Symbol("u1", integer=True)


@pytest.mark.parametrize(
    "expression",
    [
        S,
        2 * S + U - 7,
        S**2 / 3,
        sympy.Pow(2, S),
        sympy.Max(1, S, U),
        sympy.And(S > 2, sympy.Ne(U, 4)),
        sympy.Piecewise((S, S > 1), (U, True)),
        sympy.Float(1.5) * S,
        -sympy.oo,
        functions.FloorDiv(S, 2),
        functions.ModularIndexing(S, 2, U),
        functions.CeilToInt(S * sympy.Float(0.5)),
        functions.OpaqueUnaryFn_sqrt(S),
        S**-2 + U**3 * S**12,
        sympy.Pow(S, sympy.Float(2.0)),
        sympy.Pow(2, 3 * S + U),
        functions.PowByNatural(S, U),
        sympy.Max(*(sympy.Float(number + 0.5) * S**number for number in range(1, 8))),
    ],
)
def test_what_torch_writes_passes_in_the_form_of_now_and_of_earlier(expression):
    assert is_torch_expression(sympy.srepr(expression))


@pytest.mark.parametrize(
    "text", ["s0", "2*s0 + 1", "s0//2", "s0**2", "Eq(s0, 4)", "-s0 + 3*(u1 - 1)", "s0 < 5"]
)
def test_infix_text_of_earlier_releases_passes(text):
    assert is_torch_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "__import__('os').system('x')",
        "exit()",
        "(exit)()",
        "eval('1')",
        "s0.__class__",
        "[s0]",
        "lambda: 1",
        "Symbol('__import__(\"os\")')",
        "Symbol('s0')('x')",
        "Symbol(s0) if s0 else 1",
        "Integer(2)(3)",
        "Function('f')",
        "S('x')",
        "sympify('exit()')",
        "Lambda(x, x)",
        "s0; s1",
        "s0 := 1",
        "f's0'",
        "'s0'",
        "Add(Integer(1), 'exit')",
        "s0\\\n",
        "9**9**9",
        "Pow(Integer(9), Integer(999999999))",
        "Pow(Integer(9), Pow(Integer(9), Integer(9)))",
        "2**999999",
        "(9)**(99999)**(9)",
        "9**(9999999)",
        "9 ** (64*64*64*64)",
        "9**(9**9)",
        "Mul(Integer(9)**Integer(999999), 1)",
        "LShift(1, 99999999)",
        "PowByNatural(9, Add(999999999))",
        "Pow(10, Mul(9999, 9999))",
        "Pow(Integer(9), Float('1e9'))",
        "Pow(base=9, exp=999999999)",
        "Pow(9, Add(Symbol('s0'), 99999999, Mul(-1, Symbol('s0'))))",
        "((((9**64)**64)**64)**64)**64",
        "Pow(Pow(Pow(Pow(Pow(9, 64), 64), 64), 64), 64)",
        "9**",
        "9**-",
        "Pow(9",
        "exec",
        "s0 + open",
        "((s0)",
        "s0)(",
        "\uff45xit()",
    ],
)
def test_anything_further_is_refused(text):
    assert not is_torch_expression(text)


def test_every_function_that_torch_hands_to_sympify_is_known():
    assert set(functions.__all__) <= FUNCTIONS
