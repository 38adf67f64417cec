from dataclasses import replace
from math import inf

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

DEFAULTS = StartDefaults(
    container_s=1.0,
    pull_bytes_per_s=10 * MB,
    fetch_bytes_per_s=20 * MB,
    load_bytes_per_s=100 * MB,
)
START = ColdStart("node", "device", "ns/model", model_bytes=100 * MB, image_bytes=300 * MB)
values = floats(0.01, 1000.0)


def test_initial_estimates_follow_from_sizes_and_defaults() -> None:
    estimator = ColdStartEstimator(DEFAULTS)

    assert estimator.cold_s(START) == pytest.approx(1.0 + 100 / 100)
    assert estimator.cold_s(replace(START, pulls=True)) == pytest.approx(1.0 + 300 / 10 + 100 / 100)
    assert estimator.transfer_s(replace(START, fetches=True)) == pytest.approx(100 / 20)


def test_present_images_and_models_are_neither_pulled_nor_fetched() -> None:
    estimator = ColdStartEstimator()

    assert estimator.cold_s(START) < estimator.cold_s(replace(START, pulls=True))
    assert estimator.transfer_s(START) < estimator.transfer_s(replace(START, fetches=True))


def test_a_slow_node_is_learned_and_slightly_raises_other_nodes() -> None:
    estimator = ColdStartEstimator(DEFAULTS)
    with_pull = replace(START, pulls=True, fetches=True)
    for _ in range(10):
        estimator.learn(with_pull, ObservedStart(container_s=301.0, fetch_s=50.0, load_s=4.0))

    elsewhere = replace(with_pull, node="other", device="other")
    fresh = ColdStartEstimator(DEFAULTS)
    assert estimator.cold_s(with_pull) == pytest.approx(1.0 + 300.0 + 4.0, rel=0.25)
    assert estimator.transfer_s(with_pull) == pytest.approx(50.0, rel=0.25)
    assert fresh.cold_s(elsewhere) < estimator.cold_s(elsewhere) < estimator.cold_s(with_pull)


def test_load_times_are_learned_for_each_model() -> None:
    estimator = ColdStartEstimator(DEFAULTS)
    for _ in range(20):
        estimator.learn(START, ObservedStart(load_s=10.0))
        estimator.learn(replace(START, model="ns/other"), ObservedStart(load_s=1.0))

    assert estimator.cold_s(START) > estimator.cold_s(replace(START, model="ns/other")) + 5.0


def test_repeated_zero_durations_reduce_the_estimate_to_zero() -> None:
    estimator = ColdStartEstimator(DEFAULTS)
    for _ in range(20):
        estimator.learn(replace(START, fetches=True), ObservedStart(0.0, 0.0, 0.0))

    assert estimator.cold_s(START) < 1.1, "start times of containers have whole seconds"
    assert estimator.transfer_s(replace(START, fetches=True)) < 0.1


def test_a_slow_container_is_learned_but_rounding_to_seconds_is_not() -> None:
    estimator, fresh = ColdStartEstimator(DEFAULTS), ColdStartEstimator(DEFAULTS)

    for read_s in (0.0, 1.0, 2.0, 1.0, 0.0):
        estimator.learn(START, ObservedStart(container_s=read_s))
    as_expected = estimator.cold_s(START)
    for _ in range(20):
        estimator.learn(START, ObservedStart(container_s=9.0))

    assert as_expected == fresh.cold_s(START)
    assert 7.0 < estimator.cold_s(START) < 10.0


def test_an_unexpectedly_cached_image_does_not_make_pulls_free() -> None:
    estimator, with_pull = ColdStartEstimator(DEFAULTS), replace(START, pulls=True)

    for read_s in (1.0, 31.0, 31.0, 31.0, 31.0):
        estimator.learn(with_pull, ObservedStart(container_s=read_s))

    assert estimator.cold_s(with_pull) - estimator.cold_s(START) > 10.0


def test_missing_observations_change_no_estimate() -> None:
    estimator, fresh = ColdStartEstimator(DEFAULTS), ColdStartEstimator(DEFAULTS)

    estimator.learn(START, ObservedStart())

    assert estimator.cold_s(START) == fresh.cold_s(START)
    assert estimator.transfer_s(START) == fresh.transfer_s(START)


@given(start=values, samples=st.lists(st.tuples(st.sampled_from("abc"), values), max_size=60))
def test_an_estimate_lies_within_the_observations_and_the_initial_value(
    start: float, samples: list[tuple[str, float]]
) -> None:
    means, rates = LearnedMeans(start, inf), LearnedRates(start)
    for key, value in samples:
        means.learn(key, value)
        rates.learn(key, value, 1.0)

    observations = [start, *(value for _, value in samples)]
    for key in "abcd":
        assert min(observations) * 0.999 <= means.of(key) <= max(observations) * 1.001
        assert (
            min(observations) * 0.999 <= 1.0 / rates.seconds(key, 1.0) <= max(observations) * 1.001
        )


@given(start=values, old=values, new=values)
def test_an_estimate_follows_a_change(start: float, old: float, new: float) -> None:
    means = LearnedMeans(start, inf)
    for value in (*[old] * 100, *[new] * 100):
        means.learn("a", value)

    assert abs(means.of("a") - new) <= 0.15 * max(abs(start - new), abs(old - new)) + 1e-9
