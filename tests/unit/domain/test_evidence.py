"""What namespaces show of a device, and how far one of them shifts the others."""

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acesniper.domain.evidence import (
    SHARED_BOUND,
    NamespaceState,
    confirmed_drift,
    namespace_histories,
    shared_shift,
    updated_states,
)
from acesniper.domain.latency_history import (
    CHANGE_VARIANCE,
    MAX_DEVICE_RUNS,
    MAX_NAMESPACES,
    MAX_RUNS,
    Drift,
    ObservedRun,
    newest_runs,
)
from acesniper.domain.task import ModelKey
from strategies import floats

shifts = floats(-20.0, 20.0)


def run(
    namespace: str, at_s: float, latency_s: float = 1.0, model: str = "m", *, shared: bool = True
) -> ObservedRun:
    key = ModelKey(f"{namespace}/{model}")
    task = f"{namespace}-{model}-{at_s}"
    return ObservedRun(task, key, latency_s, latency_s, 1.0, at_s, shared=shared)


@given(st.lists(shifts, max_size=8), shifts)
def test_a_shift_is_bounded_and_never_goes_against_all(values: list[float], one: float) -> None:
    shift = shared_shift(values)

    assert abs(shift) <= SHARED_BOUND
    assert min([0.0, *values]) <= shift <= max([0.0, *values])
    assert shared_shift([one]) == 0.0, "one namespace alone shifts nothing"


@given(st.lists(shifts, min_size=1, max_size=8), st.data())
def test_as_many_liars_as_honest_namespaces_stay_within_what_those_show(
    honest: list[float], data: st.DataObject
) -> None:
    liars = data.draw(st.lists(shifts, max_size=len(honest)))

    shift = shared_shift([*honest, *liars])

    assert min([0.0, *honest]) <= shift <= max([0.0, *honest])


@given(floats(-SHARED_BOUND, SHARED_BOUND), st.integers(2, 8))
def test_namespaces_that_agree_are_followed(value: float, count: int) -> None:
    assert shared_shift([value] * count) == pytest.approx(value, abs=1e-100)


def test_each_namespace_has_an_equal_share_of_the_kept_runs() -> None:
    busy = [run("busy", 1000.0 + at, model=f"m{at}") for at in range(3 * MAX_RUNS)]
    rare = [run("rare", 0.0), run("rare", 1.0)]
    others = [run(f"n{number}", 10.0 + number) for number in range(3)]

    kept = newest_runs([*rare, *others], busy)
    many = newest_runs(
        [],
        [
            run(f"n{number:02}", float(at), model=f"m{at}")
            for number in range(MAX_NAMESPACES + 5)
            for at in range(MAX_RUNS)
        ],
    )

    assert {*rare, *others} <= {*kept}
    assert sum(item.namespace == "busy" for item in kept) == MAX_RUNS
    assert len(many) == MAX_DEVICE_RUNS
    counts = {item.namespace: 0 for item in many}
    for item in many:
        counts[item.namespace] += 1
    assert set(counts.values()) == {MAX_DEVICE_RUNS // MAX_NAMESPACES}


def test_runs_from_before_a_drift_are_discounted_not_dropped() -> None:
    runs = [run("n", 1.0), run("n", 2.0, model="old"), run("n", 9.0, 2.0)]
    states = {"n": NamespaceState(drift=Drift(5.0, slower=True))}

    (history,) = namespace_histories(runs, states, measured_s=0.0)
    (before,) = namespace_histories(runs, {}, measured_s=0.0)

    latencies = {latency.model: latency for latency in history.own}
    assert latencies[ModelKey("n/m")].latency_s == 2.0
    assert latencies[ModelKey("n/old")].latency_s == 1.0
    assert latencies[ModelKey("n/old")].variance >= CHANGE_VARIANCE
    assert (history.drifted, before.drifted) == (True, False)
    assert {latency.model for latency in before.own} == {*latencies}


def test_others_do_not_learn_from_own_containers() -> None:
    runs = [run("n", 1.0, 2.0), run("n", 2.0, 300.0, shared=False)]

    (history,) = namespace_histories(runs, {}, measured_s=0.0)

    assert [latency.latency_s for latency in history.shared] == [2.0]
    assert history.own[0].latency_s > 10.0


def test_a_drift_is_confirmed_by_the_second_namespace() -> None:
    runs = [run(name, at, 2.0) for name in ("a", "b") for at in (1.0, 2.0)]
    one = updated_states(runs[:2], (), {}, 0.0)
    both = updated_states(runs, (), one, 0.0)

    assert confirmed_drift(runs, one, 0.0) is None
    assert confirmed_drift(runs, both, 0.0) == Drift(1.0, slower=True)
    assert confirmed_drift(runs, both, 3.0) is None, "it was probed again since"


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_opposite_drifts_confirm_nothing(factor: float) -> None:
    states = {
        "a": NamespaceState(drift=Drift(1.0, slower=factor > 1)),
        "b": NamespaceState(drift=Drift(1.0, slower=factor < 1)),
    }

    assert confirmed_drift([run("a", 1.0), run("b", 1.0)], states, 0.0) is None
    assert shared_shift([log(factor), -log(factor)]) == 0.0
