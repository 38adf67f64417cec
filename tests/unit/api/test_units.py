import pytest

from acesniper.api.units import (
    duration_s,
    duration_text,
    epoch_s,
    parse_count,
    parse_quantity,
    rfc3339,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("250ms", 0.25), ("1m1s1ms", 61.001)],
)
def test_a_duration_is_parsed_like_in_go(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "90", "s", "-1s", "1d", "1 s", "1s "])
def test_an_invalid_duration_is_rejected_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; use 90s, 15m or 1h30m"):
        duration_s(text)


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01T00:00:10.250Z", 10.25),
        ("1970-01-01T01:00:10+01:00", 10.0),
    ],
)
def test_a_timestamp_is_parsed_in_any_time_zone(timestamp: str, seconds: float) -> None:
    assert epoch_s(timestamp) == seconds


def test_a_timestamp_is_written_in_utc_with_milliseconds() -> None:
    assert rfc3339(1.5) == "1970-01-01T00:00:01.500Z"


def test_a_timestamp_is_capped_at_the_year_9999() -> None:
    assert rfc3339(1e300) == "9999-12-31T00:00:00.000Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 us"),
        (0.0000123, "12.3 us"),
        (0.0123, "12.3 ms"),
        (0.9999, "1 s"),
        (0.0009999, "1 ms"),
        (12.34, "12.3 s"),
        (119.0, "119 s"),
        (150.0, "2.5 min"),
        (7200.0, "2.0 h"),
    ],
)
def test_a_duration_has_three_digits_and_a_unit(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


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
def test_a_memory_quantity_is_parsed_to_bytes(quantity: object, number: int | None) -> None:
    assert parse_quantity(quantity) == number


@pytest.mark.parametrize(
    ("quantity", "number"),
    [("1k", 1000), ("1e3", 1000), ("1Ki", 1024), ("9E", 9 * 10**18), ("7", 7), (3, 3), (None, 0)],
)
def test_a_slot_quantity_is_parsed_to_an_integer(quantity: str | int | None, number: int) -> None:
    assert parse_count(quantity) == number
