"""Read chat templates as text and name what reaches for Python's internals or for other files.

Nothing is rendered. The blocks are found as Jinja's own lexer finds them, so that nothing that Jinja would
run is taken for output.
"""

from __future__ import annotations

import re

MAX_CHARACTERS = 1 << 20

_OPEN = re.compile(r"\{\{|\{%|\{#")
_RAW = re.compile(r"[-+]?\s*raw\s*[-+]?%\}")
_END_RAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_STRING = re.compile(r"'[^'\\]*(?:\\.[^'\\]*)*'|\"[^\"\\]*(?:\\.[^\"\\]*)*\"", re.DOTALL)
_TOKEN = re.compile(r"['\"(\[{)\]}]|%\}")
_LOADS = re.compile(r"\s*[-+]?\s*(import|include|extends|from)\b")
_DYNAMIC = re.compile(r"\|\s*attr\s*\(")
_QUOTED = 60  # characters


def suspicions(template: str) -> list[str]:
    """What a template reaches for, one phrase for each kind; empty for an honest one."""
    found: dict[str, None] = {}
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
            code, strings, position = _block(template, position, opening[0])
            found.update(dict.fromkeys(_suspicions_of(code, strings, statement=opening[0] == "{%")))
    return list(found)


def _block(template: str, start: int, opening: str) -> tuple[str, str, int]:
    """The code of a block without its strings, its strings joined, and where it ends."""
    code: list[str] = []
    strings: list[str] = []
    position, depth = start, 0
    while token := _TOKEN.search(template, position):
        code.append(template[position : token.start()])
        position = token.end()
        character = token[0]
        if character in "'\"":
            string = _STRING.match(template, token.start())
            if string is None:  # Jinja refuses it; what follows is looked at as code all the same
                return "".join(code) + template[position:], "".join(strings), len(template)
            strings.append(_unescaped(string[0][1:-1]))
            code.append(" ")
            position = string.end()
            continue
        if depth == 0 and opening == "{%" and character == "%}":
            return "".join(code), "".join(strings), position
        if depth == 0 and opening == "{{" and template.startswith("}}", token.start()):
            return "".join(code), "".join(strings), position + 1
        depth = max(0, depth + (character in "([{") - (character in ")]}"))
        code.append(character)
    return "".join(code) + template[position:], "".join(strings), len(template)


def _unescaped(literal: str) -> str:
    try:
        return literal.encode("ascii", "backslashreplace").decode("unicode-escape")
    except UnicodeDecodeError:  # Jinja refuses it
        return literal


def _suspicions_of(code: str, strings: str, *, statement: bool) -> list[str]:
    found = []
    if statement and (loads := _LOADS.match(code)):
        found.append(f"holds the statement {loads[1]!r}")
    for text in (code, strings):
        place = text.find("__")
        if place >= 0:
            found.append(f"reaches for {text[place : place + _QUOTED].split()[0]!r}")
            break
    if _DYNAMIC.search(code):
        found.append("uses the filter attr()")
    return found
