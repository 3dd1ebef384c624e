"""Numbers as people write them: parameters, bytes.

Three digits and the units of model pages (``1.24B``), which no library for sizes writes: humanize's
``metric`` has ``1.24 G``.
"""

from __future__ import annotations

import re

_PARAMETER_UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))
_PARAMETER_TEXT = r"([0-9]+(?:\.[0-9]+)?)\s*([KMBT]?)"
_BYTE_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
_TENS, _HUNDREDS = 10, 100
_ROUNDS_UP = 0.9995  # of a unit is written as one of it, not as 1000 of the next smaller


def _three_digits(value: float) -> str:
    if value >= _HUNDREDS:
        return f"{value:.0f}"
    text = f"{value:.1f}" if value >= _TENS else f"{value:.2f}"
    return text.rstrip("0").rstrip(".")


def format_parameters(count: int) -> str:
    """Write a count of parameters with three digits: 1235814400 is ``1.24B``."""
    for size, unit in _PARAMETER_UNITS:
        if count >= _ROUNDS_UP * size:
            return _three_digits(count / size) + unit
    return str(count)


def parse_parameters(text: str) -> int | None:
    """Read ``7B``, ``1.24B`` or ``350M`` as a count of parameters; None where it is neither."""
    match = re.fullmatch(_PARAMETER_TEXT, text.strip(), re.IGNORECASE)
    if match is None:
        return None
    units = {unit: size for size, unit in _PARAMETER_UNITS}
    return round(float(match[1]) * units.get(match[2].upper(), 1))


def format_bytes(size: int) -> str:
    """Write a size in decimal units, as disks and model pages do: 2147483648 is ``2.15 GB``."""
    for unit_size, unit in _BYTE_UNITS:
        if size >= _ROUNDS_UP * unit_size:
            return f"{_three_digits(size / unit_size)} {unit}"
    return f"{size} B"
