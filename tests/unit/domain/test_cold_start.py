from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acesniper.domain.cold_start import (
    MB,
    ColdStart,
    ColdStartEstimator,
    LearnedMeans,
    LearnedRates,
    ObservedStart,
    StartDefaults,
)
from strategies import floats

GUESS = StartDefaults(
    container_s=1.0,
    pull_bytes_per_s=10 * MB,
    fetch_bytes_per_s=20 * MB,
    load_bytes_per_s=100 * MB,
)
AT = ColdStart("node", "device", "ns/model", model_bytes=100 * MB, image_bytes=300 * MB)
values = floats(0.01, 1000.0)


def test_before_anything_was_seen_the_parts_follow_from_sizes_and_first_guesses() -> None:
    times = ColdStartEstimator(GUESS)

    assert times.cold_s(AT) == pytest.approx(1.0 + 100 / 100)
    assert times.cold_s(replace(AT, pulls=True)) == pytest.approx(1.0 + 300 / 10 + 100 / 100)
    assert times.transfer_s(replace(AT, fetches=True)) == pytest.approx(100 / 20)


def test_what_is_there_is_neither_pulled_nor_fetched() -> None:
    times = ColdStartEstimator()

    assert times.cold_s(AT) < times.cold_s(replace(AT, pulls=True))
    assert times.transfer_s(AT) < times.transfer_s(replace(AT, fetches=True))


def test_a_slow_node_is_learned_and_the_others_learn_a_little_from_it() -> None:
    times = ColdStartEstimator(GUESS)
    pulling = replace(AT, pulls=True, fetches=True)
    for _ in range(10):
        times.learn(pulling, ObservedStart(container_s=301.0, fetch_s=50.0, load_s=4.0))

    elsewhere = replace(pulling, node="other", device="other")
    fresh = ColdStartEstimator(GUESS)
    assert times.cold_s(pulling) == pytest.approx(1.0 + 300.0 + 4.0, rel=0.25)
    assert times.transfer_s(pulling) == pytest.approx(50.0, rel=0.25)
    assert fresh.cold_s(elsewhere) < times.cold_s(elsewhere) < times.cold_s(pulling)


def test_a_model_that_loads_slower_than_its_size_says_is_known_by_itself() -> None:
    times = ColdStartEstimator(GUESS)
    for _ in range(20):
        times.learn(AT, ObservedStart(load_s=10.0))
        times.learn(replace(AT, model="ns/other"), ObservedStart(load_s=1.0))

    assert times.cold_s(AT) > times.cold_s(replace(AT, model="ns/other")) + 5.0


def test_what_takes_no_time_comes_to_be_expected_to_take_none() -> None:
    times = ColdStartEstimator(GUESS)
    for _ in range(20):
        times.learn(replace(AT, fetches=True), ObservedStart(0.0, 0.0, 0.0))

    assert times.cold_s(AT) < 1.1, "of the container, whole seconds tell no more"
    assert times.transfer_s(replace(AT, fetches=True)) < 0.1


def test_a_slow_container_is_learned_and_whole_seconds_are_no_news() -> None:
    times, fresh = ColdStartEstimator(GUESS), ColdStartEstimator(GUESS)

    for read_s in (0.0, 1.0, 2.0, 1.0, 0.0):
        times.learn(AT, ObservedStart(container_s=read_s))
    as_expected = times.cold_s(AT)
    for _ in range(20):
        times.learn(AT, ObservedStart(container_s=9.0))

    assert as_expected == fresh.cold_s(AT)
    assert 7.0 < times.cold_s(AT) < 10.0


def test_an_image_that_was_there_after_all_does_not_make_pulls_free() -> None:
    times, pulling = ColdStartEstimator(GUESS), replace(AT, pulls=True)

    for read_s in (1.0, 31.0, 31.0, 31.0, 31.0):
        times.learn(pulling, ObservedStart(container_s=read_s))

    assert times.cold_s(pulling) - times.cold_s(AT) > 10.0


def test_what_was_not_reported_teaches_nothing() -> None:
    times, fresh = ColdStartEstimator(GUESS), ColdStartEstimator(GUESS)

    times.learn(AT, ObservedStart())

    assert times.cold_s(AT) == fresh.cold_s(AT)
    assert times.transfer_s(AT) == fresh.transfer_s(AT)


@given(start=values, seen=st.lists(st.tuples(st.sampled_from("abc"), values), max_size=60))
def test_an_expectation_lies_among_what_was_seen_and_the_starting_value(
    start: float, seen: list[tuple[str, float]]
) -> None:
    learned, rate = LearnedMeans(start), LearnedRates(start)
    for key, value in seen:
        learned.learn(key, value)
        rate.learn(key, value, 1.0)

    known = [start, *(value for _, value in seen)]
    for key in "abcd":
        assert min(known) * 0.999 <= learned.of(key) <= max(known) * 1.001
        assert min(known) * 0.999 <= 1.0 / rate.seconds(key, 1.0) <= max(known) * 1.001


@given(start=values, old=values, new=values)
def test_what_changed_is_followed(start: float, old: float, new: float) -> None:
    learned = LearnedMeans(start)
    for value in (*[old] * 100, *[new] * 100):
        learned.learn("a", value)

    assert abs(learned.of("a") - new) <= 0.15 * max(abs(start - new), abs(old - new)) + 1e-9
