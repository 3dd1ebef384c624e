"""Text for a terminal: hostile characters made visible, columns aligned, nothing wider than the screen.

Whatever comes from a file, a name or an error is hostile until it went through `neutral`; `lay_out`
does that to every cell itself, so that no field can be forgotten. rich aligns tables too, but importing it
takes as long as a whole `modelshelf ls`, so the tables of short commands are laid out here.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

ELLIPSIS = "…"
UNKNOWN = "-"
_GAP = "  "
_NARROWEST = 12  # cells that a column which gives way keeps
_BESIDE_A_LEAST = 8  # cells that other columns keep where one keeps its least width

# Printable to Python, yet invisible: with them two different names look alike (Unicode's
# Default_Ignorable_Code_Point, beyond the format characters that `str.isprintable` refuses).
_INVISIBLE = "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
_SURROGATE_ESCAPED = range(0xDC80, 0xDD00)  # how `os.fsdecode` keeps a byte that is no UTF-8

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def neutral(text: str) -> str:
    r"""The text with every character that could steer a terminal, or hide, written out.

    Controls (C0, DEL, C1), bidirectional marks and overrides, line and paragraph separators, zero-width
    and other format characters, unassigned ones, spaces other than U+0020 and lone surrogates become
    ``\x1b``, ``\u202e`` or ``\U000e0001``; a byte that is no UTF-8 becomes ``\xff``. What is left is on
    one line and safe to print in any encoding that has its letters.
    """
    if text.isprintable() and (text.isascii() or not _invisible().search(text)):
        return text
    invisible = _invisible()
    return "".join(
        character if character.isprintable() and not invisible.match(character) else _written_out(character)
        for character in text
    )


@cache
def _invisible() -> re.Pattern[str]:
    """Compiled when a text beyond ASCII is met, which most commands never do."""
    return re.compile(_INVISIBLE)


def _written_out(character: str) -> str:
    code = ord(character)
    if code in _SURROGATE_ESCAPED:
        code -= 0xDC00
    if code <= 0xFF:  # noqa: PLR2004 - two hexadecimal digits
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four digits


def cells(text: str) -> int:
    """How many columns of a terminal the neutral text takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def shorten(text: str, limit: int) -> str:
    """The neutral text within `limit` cells; what is left out of its middle becomes ``…``.

    The middle, because names of models differ at their ends: ``Llama-3.2-1B-…-Q4_K_M``.
    """
    if cells(text) <= limit:
        return text
    if limit < 1:
        return ""
    tail = (limit - 1) // 3
    return _within(text, limit - 1 - tail) + ELLIPSIS + _within(text[::-1], tail)[::-1]


def cut(text: str, limit: int) -> str:
    """The neutral text within `limit` cells; what is left out at its end becomes ``…``."""
    if cells(text) <= limit:
        return text
    return _within(text, limit - 1) + ELLIPSIS if limit > 0 else ""


def wrap(text: str, limit: int) -> list[str]:
    """The neutral text in lines of `limit` cells or fewer, broken at spaces where that can be."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cells(joined) <= limit:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        rest = word
        while cells(rest) > limit and (piece := _within(rest, limit)):
            lines[-1:] = [piece, ""]
            rest = rest[len(piece) :]
        lines[-1] = rest
    return lines


def _within(text: str, limit: int) -> str:
    used = 0
    for position, character in enumerate(text):
        used += _cells_of(character)
        if used > limit:
            return text[:position]
    return text


def styled(text: str, style: str | None) -> str:
    """The neutral text in a colour or weight: ``bold``, ``dim``, ``red``, ``green``, ``yellow``, ``cyan``."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and text else text


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: Its heading.
        right: Whether it is aligned to the right, as numbers are.
        gives_way: Whether it is shortened where the table is wider than the screen.
        optional: Whether it is left out when every cell of it is empty.
        wraps: Whether it, the last of its table, goes on below itself where the screen is too narrow for it.
        expendable: Whether it is left out, the last such column first, where the screen is too narrow else.
        least: Cells that it keeps of what it gives way for as long as leaving others out makes room.
    """

    title: str
    right: bool = False
    gives_way: bool = False
    optional: bool = False
    wraps: bool = False
    expendable: bool = False
    least: int = 0


class Cell(NamedTuple):
    """A cell with a style of its own; a plain string has none."""

    text: str
    style: str | None = None


def lay_out(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str | Cell]],
    *,
    width: int | None = None,
    colour: bool = False,
) -> Iterator[str]:
    """The lines of a table with its heading: columns aligned, two spaces between them.

    Args:
        columns: The columns.
        rows: One cell per column and row. Text may be hostile: it is made neutral here.
        width: Cells of the screen, or None for a table as wide as it has to be.
        colour: Whether styles are applied.
    """
    # By columns from here on: what is so for all of a column is asked once, and not of every cell.
    below_titles = list(zip(*rows, strict=True)) or [()] * len(columns)
    cells_of = [(Cell(one.title, "bold"), *under) for one, under in zip(columns, below_titles, strict=True)]
    texts = [_neutral_all(_texts(of_column)) for of_column in cells_of]
    widths = {
        number: max(map(_measure(texts[number]), texts[number]))
        for number, column in enumerate(columns)
        if not column.optional or any(texts[number][1:])
    }
    if width is not None:
        widths = _fitted(columns, widths, width)
    below: Iterable[list[str]] = repeat([], len(texts[0]))
    if columns[-1].wraps:
        broken = [wrap(text, widths[len(columns) - 1]) for text in texts[-1]]
        texts[-1] = [lines[0] for lines in broken]
        below = [lines[1:] for lines in broken]
    written = [
        _aligned(columns[number], texts[number], cells_of[number] if colour else (), widths[number])
        for number in widths
    ]
    indent = " " * (sum(widths.values()) - list(widths.values())[-1] + len(_GAP) * (len(widths) - 1))
    for line, more in zip(map(_GAP.join, zip(*written, strict=True)), below, strict=True):
        yield line.rstrip()
        if more:
            yield from (indent + rest for rest in more)


def _texts(of_column: Sequence[str | Cell]) -> list[str]:
    """The texts of a column with its title."""
    return [cell if type(cell) is str else cell[0] for cell in of_column]


def _is_printable_ascii(texts: Iterable[str]) -> bool:
    """Whether all of it is printable ASCII: neutral as it is, and as many cells wide as it is long.

    Nearly every column is, and one look at a table of many rows finds out instead of one for each cell.
    """
    joined = "".join(texts)
    return joined.isascii() and joined.isprintable()


def _neutral_all(texts: list[str]) -> list[str]:
    return texts if _is_printable_ascii(texts) else list(map(neutral, texts))


def _measure(texts: Iterable[str]) -> Callable[[str], int]:
    return len if _is_printable_ascii(texts) else cells


def _fitted(columns: Sequence[Column], widths: dict[int, int], width: int) -> dict[int, int]:
    """The columns that are shown, with their widths, within `width` as far as that can be."""
    expendable = [number for number in widths if columns[number].expendable]
    is_last = not expendable or len(widths) == 1
    for keeps_least in (True, False) if is_last else (True,):
        lowest = _BESIDE_A_LEAST if is_last and keeps_least else _NARROWEST
        for cap in range(max(width, lowest), lowest - 1, -1):
            capped = {
                number: min(wanted, max(cap, columns[number].least if keeps_least else 0))
                if columns[number].gives_way or columns[number].wraps
                else wanted
                for number, wanted in widths.items()
            }
            if sum(capped.values()) + len(_GAP) * (len(capped) - 1) <= width:
                return capped
    if is_last:
        return capped
    return _fitted(columns, {number: widths[number] for number in widths if number != expendable[-1]}, width)


def _aligned(column: Column, texts: list[str], cells_: Sequence[str | Cell], width: int) -> list[str]:
    """The texts of one column, each `width` cells wide, in their styles where the cells are given."""
    if column.gives_way and max(map(_measure(texts), texts)) > width:
        texts = [shorten(text, width) for text in texts]
    measure = _measure(texts)
    if measure is len and not cells_:
        return [text.rjust(width) if column.right else text.ljust(width) for text in texts]
    paddings = [" " * (width - measure(text)) for text in texts]
    if cells_:
        texts = [
            styled(text, cell.style if isinstance(cell, Cell) else None)
            for text, cell in zip(texts, cells_, strict=True)
        ]
    if column.right:
        return [padding + text for text, padding in zip(texts, paddings, strict=True)]
    return [text + padding for text, padding in zip(texts, paddings, strict=True)]
