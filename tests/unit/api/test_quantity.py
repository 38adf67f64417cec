"""Quantities as the API server writes them."""

import pytest

from acesniper.api.units import parse_count, parse_quantity


@pytest.mark.parametrize(
    ("quantity", "number"),
    [
        ("512Mi", 512 * 2**20),
        ("1.5Gi", 1.5 * 2**30),
        ("100Ki", 102400),
        ("2G", 2 * 10**9),
        ("128974848", 128974848),
        ("129e6", 129 * 10**6),
        ("1500m", 1),
        (0, 0),
        (None, None),
        ("much", None),
        ("5Xi", None),
        ("1e999", None),
    ],
)
def test_an_amount_of_memory_is_a_number_of_bytes(quantity: object, number: int | None) -> None:
    assert parse_quantity(quantity) == number


@pytest.mark.parametrize(
    ("quantity", "number"),
    [("1k", 1000), ("1e3", 1000), ("1Ki", 1024), ("9E", 9 * 10**18), ("7", 7), (3, 3), (None, 0)],
)
def test_a_count_of_slots_is_a_whole_number(quantity: str | int | None, number: int) -> None:
    assert parse_count(quantity) == number
