"""Read chat templates as text and name what reaches for Python's internals or for other files.

Nothing is rendered. The blocks are found as Jinja's own lexer finds them, so that nothing that Jinja would
run is taken for output. Texts that a block joins are judged as the whole that they make, through variables
that the template sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from modelshelf.model.health import Finding, Severity, not_judged

MAX_CHARACTERS = 1 << 18
"""Characters of a file's templates that are judged; the longest in use have some 50,000."""

_OPEN = re.compile(r"\{\{|\{%|\{#")
_RAW = re.compile(r"[-+]?\s*raw\s*[-+]?%\}")
_END_RAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_STRING = re.compile(r"'[^'\\]*(?:\\.[^'\\]*)*'|\"[^\"\\]*(?:\\.[^\"\\]*)*\"", re.DOTALL)
_TOKEN = re.compile(r"['\"(\[{)\]}]|%\}|\w+|[^\w\s]")
_LOADS = re.compile(r"[-+]?\s*(import|include|extends|from)\b")
_SETS = re.compile(r"[-+]?\s*set\s+([\w.]+)\s*=")
_DYNAMIC = re.compile(r"\|\s*attr\s*\(|\A[-+]?\s*filter\s+attr\b")
_FROM_NUMBERS = re.compile(r"%c|\{[^{}]{0,9}:c\}")  # formats that make a character of its number
_KEEPS_JOINING = frozenset("~+%()[]{},|.*")
# Nothing is found in a template that has none of these, and most have none: finding that out takes little.
_SIGNS = ("__", "_'", '_"', "'_", '"_', "attr", "%c", ":c}")
_RARE_SIGNS = (
    re.compile(r"\\[xuUN0-7\r\n]"),
    re.compile(r"\{%[-+]?\s*(?:import|include|extends|from)\b"),
)
_CHANGED_TEXT = re.compile(r"['\"]\s*[.|]\s*(?:replace|translate)\b")
_SUBSCRIPT = ("[",)  # a number behind it takes characters out of a text
_CHANGES = frozenset({"replace", "translate"})
_TEXT = "''"
_GAP = "\0"  # something that is not known lies between two texts
_MOST_KEPT = 64  # characters that one variable is worth, and of a text that is repeated
_REPEATED = 4  # times, whatever the number
_QUOTED = 60  # characters
_MAX_SHOWN = 200
_CACHED_CHARACTERS = 1 << 16


def template_findings(templates: Iterable[str], file: str) -> Iterator[Finding]:
    """Judge the chat templates of one file: a warning for what they reach for, or that they are too long.

    Args:
        templates: Their texts.
        file: The file that they are in, relative to the artifact's folder.
    """
    left, found = MAX_CHARACTERS, dict[str, None]()
    for template in templates:
        left -= len(template)
        if left < 0:
            message = f"{file}: chat templates of more than the {MAX_CHARACTERS} characters that are judged"
            yield not_judged(message, file)
            break
        found.update(dict.fromkeys(suspicions(template)))
    if found:
        message = (
            f"{file}: a chat template {'; '.join(found)[:_MAX_SHOWN]}: no template needs it; do not render it"
        )
        yield Finding(code="template-reaches-out", severity=Severity.WARNING, message=message, file=file)


def suspicions(template: str) -> tuple[str, ...]:
    """What a template reaches for, one phrase for each kind; empty for an honest one."""
    return (_of_short if len(template) <= _CACHED_CHARACTERS else _suspicions)(template)


def _suspicions(template: str) -> tuple[str, ...]:
    return _by_blocks(template) if _is_worth_a_look(template) else ()


def _is_worth_a_look(template: str) -> bool:
    if any(sign in template for sign in _SIGNS) or any(sign.search(template) for sign in _RARE_SIGNS):
        return True
    changes = any(change in template for change in _CHANGES)
    return changes and _CHANGED_TEXT.search(template) is not None


def _by_blocks(template: str) -> tuple[str, ...]:
    template = template.replace("\r\n", "\n").replace("\r", "\n")  # as Jinja's lexer does
    found: dict[str, None] = {}
    variables: dict[str, str] = {}
    position = 0
    while opening := _OPEN.search(template, position):
        position = opening.end()
        if opening[0] == "{#":
            end = template.find("#}", position)
            position = len(template) if end < 0 else end + 2
        elif opening[0] == "{%" and (raw := _RAW.match(template, position)):
            ended = _END_RAW.search(template, raw.end())
            position = len(template) if ended is None else ended.end()
        else:
            block = _Block(variables)
            position = block.read(template, position, opening[0])
            found.update(dict.fromkeys(block.suspicions(statement=opening[0] == "{%")))
    return tuple(found)


_of_short = lru_cache(maxsize=64)(_suspicions)  # the models of a family share their template


class _Block:
    """The code of one block without its texts, and its texts as it joins them.

    Args:
        variables: The texts that earlier blocks set, by the names of their variables; grows.
    """

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables
        self._code: list[str] = []
        self._texts: list[str] = []
        self._before = ""  # the last token
        self._last = ""  # the last text, for what repeats it
        self._changeable = False
        self._changes = False

    def read(self, template: str, start: int, opening: str) -> int:
        """Read the block that begins at `start`; return where it ends."""
        position, depth = start, 0
        while token := _TOKEN.search(template, position):
            self._code.append(template[position : token.start()])
            position = token.end()
            piece = token[0]
            if piece in "'\"":
                string = _STRING.match(template, token.start())
                if string is None:  # Jinja refuses it; what follows is looked at as code all the same
                    self._code.append(template[position:])
                    return len(template)
                self._add_text(_unescaped(string[0][1:-1]))
                position = string.end()
                continue
            if depth == 0 and opening == "{%" and piece == "%}":
                return position
            if depth == 0 and opening == "{{" and template.startswith("}}", token.start()):
                return position + 1
            depth = max(0, depth + (piece in "([{") - (piece in ")]}"))
            self._add_code(piece)
        self._code.append(template[position:])
        return len(template)

    def _add_text(self, text: str) -> None:
        self._code.append(" ")
        self._texts.append(text)
        if self._before == "*":
            self._repeat(text)
        self._last, self._before = text, _TEXT

    def _add_code(self, piece: str) -> None:
        self._code.append(piece)
        if piece.isdecimal():
            if self._before == "*":
                self._repeat(self._last)
            elif self._before not in _SUBSCRIPT:
                self._texts.append(_GAP)
        elif piece.isidentifier():
            if self._before not in (".", "|"):
                self._last = self._variables.get(piece, _GAP)
                self._texts.append(self._last)
            elif piece in _CHANGES and self._changeable:  # a method or a filter of a text
                self._changes = True
        elif piece not in _KEEPS_JOINING:
            self._texts.append(_GAP)
        self._changeable = self._before == _TEXT and piece in ".|"
        self._before = piece

    def _repeat(self, text: str) -> None:
        if text != _GAP and len(text) <= _MOST_KEPT:
            self._texts.append(text * _REPEATED)

    def suspicions(self, *, statement: bool) -> Iterator[str]:
        """What the block reaches for; what it sets is kept for the blocks behind it."""
        code, texts = "".join(self._code), "".join(self._texts)
        if statement and (loads := _LOADS.match(code)):
            yield f"holds the statement {loads[1]!r}"
        if statement and (sets := _SETS.match(code)):
            self._set(sets[1].rpartition(".")[2], texts)
        for text in (code, texts):
            place = text.find("__")
            if place >= 0:
                yield f"reaches for {text[place : place + _QUOTED].replace(_GAP, ' ').split()[0]!r}"
                break
        if self._changes or _FROM_NUMBERS.search(texts):
            yield "makes a text out of another one"
        if _DYNAMIC.search(code) or ("map" in code and "attr" in self._texts):
            yield "uses the filter attr()"

    def _set(self, name: str, texts: str) -> None:
        """Keep what a variable is worth: of what several branches set, what is nearest to such a name."""
        value = texts.strip(_GAP)
        if len(value) > _MOST_KEPT:
            half = _MOST_KEPT // 2
            value = f"{value[:half]}{_GAP}{value[-half:]}"
        if value and _underscores(value) >= _underscores(self._variables.get(name, "")):
            self._variables[name] = value


def _underscores(text: str) -> int:
    """How many underscores a text begins and ends with."""
    return 2 * len(text) - len(text.lstrip("_")) - len(text.rstrip("_"))


def _unescaped(literal: str) -> str:
    try:
        return literal.encode("ascii", "backslashreplace").decode("unicode-escape")
    except UnicodeDecodeError:  # Jinja refuses it
        return literal
