"""The word on a file that nobody judged, and what to do with one that has to be made whole first."""

from __future__ import annotations

from modelshelf.model.piece import Piece, piece_of

_MOST_NAMED = 4  # pieces in a message


def advice(format: str, name: str) -> str:
    """Return the word on a file of a format that is named and not read."""
    piece = piece_of(name)
    if format == "split" and piece is not None:
        return _joining(name, piece)
    if format == "compressed":
        return f"{name}: compressed as a whole, so what is in it was not judged; unpack it first"
    return f"{name}: no plugin reads {format} files, so this one was not judged"


def _joining(name: str, piece: Piece) -> str:
    """Return how to join a piece with the others, in the order of their numbers or letters."""
    whole = piece.whole.rpartition("/")[2]
    base = name.rpartition("/")[2]
    place = "a piece"
    order = f"{whole}* in the order of their names"
    if piece.total is not None and piece.number is not None:
        place = f"piece {piece.number} of {piece.total}"
        numbers = range(1, piece.total + 1)
        named = [_renumbered(base, piece, number) for number in numbers[:_MOST_NAMED]]
        if piece.total > _MOST_NAMED:
            named = [named[0], named[1], "…", _renumbered(base, piece, piece.total)]
        order = " ".join(named)
    return (
        f"{name}: {place} of {whole}, which was cut by bytes, so it was not judged; join the pieces in their "
        f"order: cat {order} > {whole}"
    )


def _renumbered(base: str, piece: Piece, number: int) -> str:
    """Return the name of another piece, its number as wide as in this one's name."""
    ending = base[len(piece.whole.rpartition("/")[2]) :]
    digits = next(part for part in _digit_runs(ending) if int(part) == piece.number)
    return base[: len(base) - len(ending)] + ending.replace(digits, f"{number:0{len(digits)}d}", 1)


def _digit_runs(text: str) -> list[str]:
    return "".join(one if one.isdigit() else " " for one in text).split()
