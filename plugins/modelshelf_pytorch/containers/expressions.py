"""Decide whether a shape expression of torch.export is one that torch writes, by its grammar alone.

Source: ``torch/_export/serde/serialize.py`` (2.13): ``_print_sympy`` writes ``sympy.srepr``, earlier releases
wrote infix text; ``_parse_sym_expr`` gives either to ``sympy.sympify``, which evaluates it as Python.
"""

from __future__ import annotations

import re
from itertools import pairwise

_LONGEST = 64 * 1024  # characters
_LARGEST_EXPONENT = 64
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]{1,40}(?:\.[0-9]{1,40})?(?:e[+-]?[0-9]{1,3})?)"
    r"|(?P<text>'[A-Za-z0-9_.+-]{1,128}')|(?P<name>[A-Za-z_][A-Za-z0-9_]{0,127})"
    r"|(?P<mark>\*\*|//|<=|>=|==|!=|[-+*/%<>(),=&|~]))\s*",
    re.ASCII,
)
_TORCH_FUNCTIONS = (
    "FloorDiv ModularIndexing Where PythonMod Mod CleanDiv CeilToInt FloorToInt CeilDiv IntTrueDiv "
    "FloatTrueDiv LShift RShift IsNonOverlappingAndDenseIndicator TruncToFloat TruncToInt RoundToInt "
    "RoundDecimal ToFloat FloatPow PowByNatural Identity"
)
_SYMPY_FUNCTIONS = (
    "Integer Float Rational Symbol Add Mul Pow Max Min Abs floor ceiling Equality Unequality LessThan "
    "GreaterThan StrictLessThan StrictGreaterThan Eq Ne Le Lt Ge Gt And Or Not ITE Piecewise ExprCondPair "
    "BitwiseFn_bitwise_and BitwiseFn_bitwise_or BitwiseFn_bitwise_xor"
)
FUNCTIONS = frozenset(_SYMPY_FUNCTIONS.split()) | frozenset(_TORCH_FUNCTIONS.split())
"""What an expression may call."""

_TAKES_TEXT = frozenset({"Symbol", "Float"})  # sympy evaluates a string that it finds anywhere else
_OPAQUE = re.compile(r"OpaqueUnaryFn_[a-z0-9]+")
_CONSTANTS = frozenset({"True", "False", "None", "true", "false", "oo", "int_oo", "nan", "zoo"})
_KEYWORDS = frozenset(
    [
        "and",
        "as",
        "assert",
        "async",
        "await",
        "break",
        "class",
        "continue",
        "def",
        "del",
        "elif",
        "else",
        "except",
        "finally",
        "for",
        "from",
        "global",
        "if",
        "import",
        "in",
        "is",
        "lambda",
        "nonlocal",
        "not",
        "or",
        "pass",
        "raise",
        "return",
        "try",
        "while",
        "with",
        "yield",
    ]
)
_ASSUMPTION = re.compile(r"[a-z_]{1,32}")
_POWER = re.compile(r"(?:Pow|PowByNatural|LShift)\((?:Integer\([0-9-]+\)), ?Integer\(-?([0-9]+)\)\)")
_TOWER = re.compile(
    r"(?:Pow|PowByNatural|FloatPow|LShift)\((?:Integer\([0-9-]+\)), ?"
    r"(?:Pow|PowByNatural|LShift|Mul|Add)\((?!.*Symbol)"
)

_Token = tuple[str, str]


def is_torch_expression(text: str) -> bool:
    """Return whether text is an expression of known functions, symbols, numbers and arithmetic."""
    if len(text) > _LONGEST:
        return False
    tokens: list[_Token] = [("mark", "(")]  # so that each token has one before it
    index = 0
    while index < len(text):
        match = _TOKEN.match(text, index)
        if match is None:
            return False
        kind = match.lastgroup or ""
        tokens.append((kind, match[kind]))
        index = match.end()
    tokens.append(("mark", ")"))
    if len(tokens) == 2:  # noqa: PLR2004  # nothing but the two that were added
        return False
    return _is_balanced(tokens) and _keeps_grammar(tokens) and _stays_small(text, tokens)


def _is_balanced(tokens: list[_Token]) -> bool:
    depth = 0
    for _, text in tokens:
        depth += (text == "(") - (text == ")")
        if depth < 0:
            return False
    return depth == 0


def _keeps_grammar(tokens: list[_Token]) -> bool:
    """Return whether each token may follow the one before it."""
    earlier: _Token = ("mark", "(")
    before: _Token = ("mark", "(")
    for token, after in pairwise(tokens):
        kind, text = token
        operand_before = before[0] != "mark" or before[1] == ")"
        if kind == "mark":
            if text == "(" and operand_before and not _is_function(before):
                return False  # a call of something that is no function's name
            if text == "=" and not (before[0] == "name" and _is_constant(after)):
                return False
        elif (
            operand_before
            or (kind == "text" and (before[1] != "(" or earlier[1] not in _TAKES_TEXT))
            or (kind == "name" and not _is_name_in_place(text, after[1]))
        ):
            return False
        earlier, before = before, token
    return True


def _is_function(token: _Token) -> bool:
    return token[0] == "name" and (token[1] in FUNCTIONS or _OPAQUE.fullmatch(token[1]) is not None)


def _is_constant(token: _Token) -> bool:
    return token[0] == "number" or token[1] in _CONSTANTS


def _is_name_in_place(name: str, after: str) -> bool:
    """Return whether a name is a function before its call, an assumption before its value, or a symbol."""
    if after == "(":
        return _is_function(("name", name))
    if after == "=":
        return _ASSUMPTION.fullmatch(name) is not None
    return "__" not in name and name not in _KEYWORDS


def _stays_small(text: str, tokens: list[_Token]) -> bool:
    """Return whether no power of constants makes a number that takes forever to compute."""
    for (_, mark), (kind, exponent) in pairwise(tokens):
        if (
            mark == "**"
            and kind == "number"
            and (not exponent.isdigit() or int(exponent) > _LARGEST_EXPONENT)
        ):
            return False
    towers = sum(mark == "**" for _, mark in tokens) > 1 and re.search(r"\*\*\s*[(0-9]+\s*\*\*", text)
    if towers or _TOWER.search(text):
        return False
    return all(int(match[1]) <= _LARGEST_EXPONENT for match in _POWER.finditer(text))
