"""Decide whether a shape expression of torch.export is one that torch writes, by its grammar alone.

Source: ``torch/_export/serde/serialize.py`` (2.13): ``_print_sympy`` writes ``sympy.srepr``, earlier releases
wrote infix text; ``_parse_sym_expr`` gives either to ``sympy.sympify``, which evaluates it as Python.
"""

from __future__ import annotations

import builtins
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
_POWERS = frozenset({"FloatPow", "LShift", "Pow", "PowByNatural"})
_LARGEST_PRODUCT = 4096  # of the numbers of one exponent
_SMALL_EXPONENT = 7
_LARGEST_TOGETHER = 1 << 20  # of larger exponents, which may be powers of each other

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
    return _is_balanced(tokens) and _keeps_grammar(tokens) and _stays_small(tokens)


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
    return "__" not in name and name not in _KEYWORDS and (name in _CONSTANTS or not hasattr(builtins, name))


def _stays_small(tokens: list[_Token]) -> bool:
    """Return whether no power of constants makes a number that takes forever to compute."""
    together, ends = 1, _ends(tokens)
    for index, (kind, text) in enumerate(tokens):
        if text == "**":
            end = _end_of_operand(tokens, index + 1, ends)
            if end >= len(tokens) or tokens[end][1] == "**":
                return False
            exponent = tokens[index + 1 : end]
        elif kind == "name" and text in _POWERS and tokens[index + 1][1] == "(":
            exponent = tokens[_end_of_argument(tokens, index + 2, ends) : ends[index + 1]]
        elif text == "=" and tokens[index + 1][0] == "number":
            exponent = [tokens[index + 1]]
        else:
            continue
        product = _product(exponent)
        if product is None:
            return False
        together *= product if product > _SMALL_EXPONENT and text != "=" else 1
    return together <= _LARGEST_TOGETHER


def _ends(tokens: list[_Token]) -> dict[int, int]:
    """Return the place of each closing parenthesis by that of its opening one."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for index, (_, text) in enumerate(tokens):
        if text == "(":
            opened.append(index)
        elif text == ")":
            ends[opened.pop()] = index
    return ends


def _end_of_operand(tokens: list[_Token], start: int, ends: dict[int, int]) -> int:
    """Return where an operand ends: signs, then a name, number, call or parentheses."""
    index = start
    while tokens[index][1] in {"+", "-", "~"}:
        index += 1
    index += tokens[index][0] == "name" and tokens[index + 1][1] == "("
    return ends.get(index, index) + 1


def _end_of_argument(tokens: list[_Token], start: int, ends: dict[int, int]) -> int:
    """Return where the argument of a call ends that begins there."""
    index = start
    while tokens[index][1] not in {",", ")"}:
        index = ends.get(index, index) + 1
    return index


def _product(exponent: list[_Token]) -> int | None:
    """Return the product of an exponent's numbers; None where one is large, or another power is in it."""
    product = 1.0
    for (_, before), (kind, text) in pairwise([("mark", ""), *exponent]):
        if text == "**" or text in _POWERS:
            return None
        if kind in {"mark", "name"} or before == "=":
            continue
        try:
            number = float(text.strip("'"))
        except ValueError:  # the name of a symbol
            continue
        if not number <= _LARGEST_EXPONENT:
            return None
        product *= max(number, 1.0)
    return int(product) if product <= _LARGEST_PRODUCT else None
