import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acesniper.domain.latency_history import (
    MAX_FACTOR,
    MAX_RUNS,
    MIN_FACTOR,
    RUNS_PER_MODEL,
    TARGET_COVERAGE,
    Drift,
    ObservedRun,
    adapted_factor,
    find_drift,
    is_outlier,
    newest_runs,
    observed_latencies,
)
from acesniper.domain.task import ModelKey


def run(
    at_s: float, latency_s: float = 1.0, expected_s: float = 1.0, **rest: str | float
) -> ObservedRun:
    return ObservedRun(
        task=str(rest.get("task", f"t{at_s:g}")),
        model=ModelKey(str(rest.get("model", "n/m"))),
        latency_s=latency_s,
        p90_s=float(rest.get("p90_s", latency_s)),
        expected_s=expected_s,
        at_s=at_s,
    )


def test_the_newest_runs_of_each_model_are_kept() -> None:
    frequent = [run(float(at)) for at in range(9)]
    rare = run(0.5, model="n/rare")

    kept = newest_runs(frequent[:5], [*frequent[5:], rare])

    assert [observed.at_s for observed in kept] == [0.5, 4.0, 5.0, 6.0, 7.0, 8.0]
    assert sum(observed.model == "n/m" for observed in kept) == RUNS_PER_MODEL


def test_the_number_of_runs_of_a_device_is_bounded() -> None:
    runs = [run(float(at), model=f"n/m{at}") for at in range(MAX_RUNS + 9)]

    kept = newest_runs([], runs)

    assert len(kept) == MAX_RUNS
    assert kept[-1] == runs[-1]


def test_a_run_reported_twice_counts_once() -> None:
    assert len(newest_runs([run(1.0)], [run(1.0), run(2.0)])) == 2


def test_keeping_the_newest_runs_is_idempotent() -> None:
    runs = [run(float(at), model=f"n/m{at % 3}") for at in range(30)]
    kept = newest_runs([], runs)

    assert newest_runs(kept, runs) == kept


def test_one_outlier_does_not_change_the_observed_latency() -> None:
    runs = [run(1.0, 1.0), run(2.0, 9.0), run(3.0, 1.02)]

    (latency,) = observed_latencies(runs)

    assert latency.latency_s == pytest.approx(1.02)


def test_more_and_steadier_runs_have_a_smaller_variance() -> None:
    one = observed_latencies([run(1.0)])[0].variance
    scattered = observed_latencies([run(1.0, p90_s=3.0)])[0].variance
    five = observed_latencies([run(float(at)) for at in range(5)])[0].variance

    assert five < one < scattered


@pytest.mark.parametrize(
    ("latencies", "since"),
    [
        pytest.param([1.0, 1.1, 0.9, 1.05, 0.95], None, id="steady"),
        pytest.param([1.0, 1.0, 9.0, 1.0, 1.0], None, id="one outlier"),
        pytest.param([1.0, 1.0, 2.0, 2.0], 2.0, id="twice as slow"),
        pytest.param([1.0, 0.5, 0.5], 1.0, id="twice as fast"),
        pytest.param([1.0] + [1.3] * 7, 1.0, id="30 % slower, detected later"),
        pytest.param([1.08] * 40, None, id="a constant 8 % is no drift"),
    ],
)
def test_a_lasting_shift_is_a_drift(latencies: list[float], since: float | None) -> None:
    runs = [run(float(at), latency_s) for at, latency_s in enumerate(latencies)]

    drift = find_drift(runs, measured_s=-1.0)
    assert (drift.since_s if drift else None) == since


def test_runs_before_the_last_measurement_are_ignored_for_drift() -> None:
    runs = [run(1.0, 2.0), run(2.0, 2.0), run(3.0, 1.0)]

    assert find_drift(runs, measured_s=0.0) == Drift(1.0, slower=True)
    assert find_drift(runs, measured_s=2.5) is None


def test_an_outlier_has_a_large_variance_until_another_run_confirms_it() -> None:
    usual = [run(float(at), 1.05, model=f"n/m{at}") for at in range(4)]
    odd = run(9.0, 3.0, model="n/odd")

    alone = {latency.model: latency for latency in observed_latencies([*usual, odd])}
    again = run(10.0, 3.0, model="n/odd")
    confirmed = {latency.model: latency for latency in observed_latencies([*usual, odd, again])}

    assert is_outlier(odd, [*usual, odd])
    assert alone[odd.model].variance > 0.25
    assert not is_outlier(again, [*usual, odd, again])
    assert confirmed[odd.model].variance < 0.002


def test_a_deviation_shared_by_all_runs_of_a_device_is_no_outlier() -> None:
    slow = [run(float(at), 2.0, model=f"n/m{at}") for at in range(4)]

    assert not is_outlier(slow[-1], slow)
    assert observed_latencies(slow)[-1].variance < 0.002


@pytest.mark.parametrize("scatter", [0.15, 0.2, 0.4])
def test_the_adapted_interval_reaches_the_target_coverage(scatter: float) -> None:
    draw = random.Random(f"{scatter}")  # noqa: S311 - latencies, not a secret
    factor, covered = 1.0, 0
    for number in range(4000):
        missed = abs(draw.gauss(0.0, scatter)) > 0.3 * factor
        factor = adapted_factor(factor, [missed])
        covered += not missed if number >= 1000 else 0

    assert covered / 3000 == pytest.approx(TARGET_COVERAGE, abs=0.01)


@given(st.floats(MIN_FACTOR, MAX_FACTOR), st.lists(st.booleans(), max_size=200))
def test_factors_stay_in_bounds_and_misses_never_narrow(factor: float, missed: list[bool]) -> None:
    after = adapted_factor(factor, missed)

    assert MIN_FACTOR <= after <= MAX_FACTOR
    assert adapted_factor(after, [True]) >= after >= adapted_factor(after, [False])
