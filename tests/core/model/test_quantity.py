from __future__ import annotations

import pytest

from modelshelf.model.quantity import format_bytes, format_parameters, parse_parameters


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1K"),
        (1_235_814_400, "1.24B"),
        (494_032_768, "494M"),
        (70_553_706_496, "70.6B"),
        (999_999_999, "1B"),
        (10**12, "1T"),
    ],
)
def test_parameters_are_written_with_three_digits(count: int, text: str) -> None:
    assert format_parameters(count) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("7B", 7 * 10**9),
        ("1.24B", 1_240_000_000),
        ("350m", 350_000_000),
        ("12", 12),
        ("8x7B", None),
        ("large", None),
    ],
)
def test_written_parameters_are_read_back(text: str, count: int | None) -> None:
    assert parse_parameters(text) == count


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (2_147_483_648, "2.15 GB"), (999_999, "1 MB"), (10**13, "10 TB")],
)
def test_sizes_are_in_decimal_units(size: int, text: str) -> None:
    assert format_bytes(size) == text
