import pytest

from acesniper.api.units import duration_s, duration_text, epoch_s, rfc3339


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("250ms", 0.25), ("1m1s1ms", 61.001)],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "90", "s", "-1s", "1d", "1 s", "1s "])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
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
def test_a_time_is_read_whatever_its_zone(timestamp: str, seconds: float) -> None:
    assert epoch_s(timestamp) == seconds


def test_a_time_is_written_in_utc_with_milliseconds() -> None:
    assert rfc3339(1.5) == "1970-01-01T00:00:01.500Z"


def test_a_time_after_all_calendars_is_the_last_day() -> None:
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
def test_a_duration_is_shown_with_three_digits_and_a_unit(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
