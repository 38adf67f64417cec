"""What one namespace reports moves the predictions of others by no more than the stated bound."""

from collections.abc import Mapping, Sequence
from functools import cache
from math import exp, inf, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acesniper.domain.cold_start import (
    SHARED_FACTOR,
    SHARED_START_S,
    ColdStart,
    ColdStartEstimator,
    ObservedStart,
)
from acesniper.domain.evidence import (
    OWN_BOUND,
    SHARED_BOUND,
    namespace_histories,
    updated_states,
)
from acesniper.domain.latency_history import ObservedRun, newest_runs
from acesniper.domain.task import ModelKey
from acesniper.predictor.base import LatencyPredictor
from acesniper.predictor.factory import default_predictor
from acesniper.predictor.namespaces import MeasuredDevice, namespace_table, namespace_view
from small_atlas import KINDS, make_features, make_vector
from strategies import floats

MODELS = {name: make_features(kind, 1.0) for name, kind in sorted(KINDS.items())[:3]}
ROUNDING = 1e-3
CREEP = 1.09
Reports = Sequence[tuple[str, float]]
"""Models, and the factors on their predictions that are reported."""

factors = st.sampled_from([1e-6, 1 / 300, 0.9, 1.0, CREEP, 300.0, 6e5])
reports = st.lists(st.tuples(st.sampled_from([*MODELS]), factors), max_size=12)


@cache
def predictor() -> LatencyPredictor:
    return default_predictor()


class Device:
    """A device with the reports of its namespaces; each predicts before it reports."""

    def __init__(self) -> None:
        self.measured = MeasuredDevice(make_vector(1.0))
        self.runs: tuple[ObservedRun, ...] = ()

    def predict(self, namespace: str) -> dict[str, float]:
        known = {
            ModelKey(f"{tenant}/{name}"): features
            for tenant in {namespace, *(run.namespace for run in self.runs)}
            for name, features in MODELS.items()
        }
        asked = {key: known[key] for key in known if key.startswith(f"{namespace}/")}
        latency = namespace_table(predictor(), asked, [self.measured], known).latency[:, 0]
        return dict(zip(MODELS, latency.tolist(), strict=True))

    def report(self, namespace: str, name: str, latency_s: float, expected_s: float) -> None:
        at_s = float(len(self.runs) + 1)
        key = ModelKey(f"{namespace}/{name}")
        task = f"{namespace}-{at_s}-{latency_s}"
        run = ObservedRun(task, key, latency_s, latency_s, expected_s, at_s)
        self.runs = newest_runs(self.runs, [run])
        states = updated_states(self.runs, [run], {}, -inf)
        self.measured = MeasuredDevice(
            self.measured.vector, namespace_histories(self.runs, states, -inf)
        )

    def forge(self, namespace: str, forged: Reports) -> None:
        for name, factor in forged:
            expected_s = self.predict(namespace)[name]
            self.report(namespace, name, factor * expected_s, expected_s)


def shift(after: Mapping[str, float], before: Mapping[str, float]) -> float:
    return max(abs(log(after[name] / before[name])) for name in before)


@given(reports, reports)
@settings(max_examples=15, deadline=None)
def test_one_namespace_changes_no_prediction_of_another(own: Reports, forged: Reports) -> None:
    device = Device()
    device.forge("victim", own)
    before = {name: device.predict(name) for name in ("victim", "bystander")}

    device.forge("liar", forged)

    alone = before["bystander"]
    assert shift(device.predict("victim"), before["victim"]) <= ROUNDING
    assert shift(device.predict("bystander"), alone) <= (ROUNDING if not own else SHARED_BOUND)


@given(st.lists(reports, min_size=2, max_size=4))
@settings(max_examples=10, deadline=None)
def test_all_others_together_change_a_prediction_by_at_most_the_bound(
    forged: list[Reports],
) -> None:
    device = Device()
    before = device.predict("bystander")

    for number, made in enumerate(forged):
        device.forge(f"liar-{number}", made)

    assert shift(device.predict("bystander"), before) <= SHARED_BOUND + ROUNDING
    for number in range(len(forged)):
        assert shift(device.predict(f"liar-{number}"), before) <= OWN_BOUND + ROUNDING


@pytest.mark.parametrize("factor", [CREEP, 1 / CREEP])
def test_sixty_five_small_steps_of_one_namespace_change_nothing_for_another(
    factor: float,
) -> None:
    device = Device()
    before = device.predict("bystander")

    device.forge("creeping", [([*MODELS][number % 3], factor) for number in range(65)])

    assert shift(device.predict("creeping"), before) > 0.2
    assert device.predict("bystander") == pytest.approx(before, rel=ROUNDING)


def test_liars_among_honest_namespaces_leave_predictions_within_what_those_show() -> None:
    device, honest = Device(), 1.3
    before = device.predict("bystander")
    for namespace in ("a", "b", "c"):
        for name, seconds in before.items():
            for _ in range(2):
                device.report(namespace, name, honest * seconds, seconds)

    for liar in ("x", "y"):
        device.forge(liar, [(name, 300.0) for name in MODELS])

    after = device.predict("bystander")
    assert after == pytest.approx({name: honest * before[name] for name in before}, rel=0.05)


def test_a_single_namespace_adapts_to_its_device() -> None:
    device = Device()
    before = device.predict("own")

    for name, seconds in before.items():
        for _ in range(2):
            device.report("own", name, 3.0 * seconds, seconds)

    assert device.predict("own") == pytest.approx(
        {name: 3.0 * seconds for name, seconds in before.items()}, rel=0.05
    )


def test_a_namespace_views_a_device_as_the_table_predicts_it() -> None:
    device = Device()
    before = device.predict("own")
    for namespace in ("own", "a", "b"):
        for name, seconds in before.items():
            device.report(namespace, name, 1.4 * seconds, seconds)
    known = {
        ModelKey(f"{tenant}/{name}"): features
        for tenant in ("own", "a", "b")
        for name, features in MODELS.items()
    }

    for namespace in ("own", "other"):
        table = device.predict(namespace)
        for name, features in MODELS.items():
            view = namespace_view(predictor(), device.measured, namespace, [features], known)
            seen = predictor().table([features], [device.measured.vector], [view.observed])
            assert seen.latency[0, 0] * exp(view.shift[0]) == pytest.approx(table[name], rel=1e-3)


durations = floats(0.0, 1e6)


@given(st.lists(st.tuples(durations, durations, durations), max_size=30), st.integers(1, 4))
def test_start_times_of_others_are_bounded(
    forged: list[tuple[float, float, float]], namespaces: int
) -> None:
    estimator, fresh = ColdStartEstimator(), ColdStartEstimator()
    for number, (container_s, fetch_s, load_s) in enumerate(forged):
        liar = f"liar-{number % namespaces}/m"
        start = ColdStart("node", "device", liar, 1e8, pulls=number % 2 == 0, fetches=True)
        estimator.learn(start, ObservedStart(container_s, fetch_s, load_s))

    for pulls in (False, True):
        start = ColdStart("node", "device", "victim/m", 1e8, pulls=pulls, fetches=True)
        after = estimator.cold_s(start), estimator.transfer_s(start)
        usual = fresh.cold_s(start), fresh.transfer_s(start)
        assert after[0] <= SHARED_FACTOR * usual[0] + SHARED_START_S + 1e-6
        assert usual[1] / SHARED_FACTOR <= after[1] * 1.001 <= 1.002 * SHARED_FACTOR * usual[1]
        if namespaces == 1:
            assert after == pytest.approx(usual)
