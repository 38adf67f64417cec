"""Ranges in options: `1..10`, and lists of numbers."""

from acesniper.domain.errors import InvalidInput


def whole_numbers(option: str, text: str) -> list[int]:
    """`1..3` or `1,2,3` as numbers from 0 on. Raises InvalidInput."""
    low, dots, high = text.partition("..")
    try:
        found = list(range(int(low), int(high) + 1)) if dots else [int(x) for x in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0:
        raise InvalidInput(f"{option} wants 1..10 or 1,2,3, not {text!r}")
    return found


def span(option: str, text: str) -> tuple[float, float]:
    """`2..8`, or `5` for 5..5, as two positive numbers in order. Raises InvalidInput."""
    low, dots, high = text.partition("..")
    try:
        found = float(low), float(high if dots else low)
    except ValueError:
        found = 0.0, 0.0
    if not 0.0 < found[0] <= found[1] < float("inf"):
        raise InvalidInput(f"{option} wants LOW..HIGH, two positive numbers, not {text!r}")
    return found
