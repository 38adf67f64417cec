"""Whatever a DeviceProfile says that the API server lets through, there is a plan, in numbers."""

import copy
import json
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from acesniper.api import convert
from acesniper.api.decision import Decision
from acesniper.api.objects import Json
from acesniper.api.v1alpha1 import DeviceProfile
from acesniper.domain.device import DeviceId
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import MAX_LATENCY_S, MIN_LATENCY_S
from acesniper.extender.admission import Admission
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.cache.decisions import DecisionCache
from acesniper.extender.latency_table import LatencyTable
from acesniper.extender.metrics import ExtenderMetrics
from acesniper.extender.planner import Planner
from acesniper.extender.watch_events import WatchEvents
from acesniper.operator.device_status import updated_profile_status
from acesniper.operator.model_status import class_latencies
from acesniper.policies.policy import Policy
from acesniper.predictor.base import LatencyPredictor
from acesniper.predictor.factory import default_predictor
from acesniper.predictor.onnx.sandbox import read_model
from acesniper.runtime.skipped import UPSERT
from acesniper.testbed.demo.examples import EmulatedDevice, shipped_devices
from acesniper.testbed.deployment import ROOT
from builders import make_model_profile, make_node
from fake_cluster import FakeCluster
from fleets import make_waiting, predict_news
from strategies import floats
from virtual_time import Clock

NOW_S = 1e9
latencies = st.sampled_from([MIN_LATENCY_S, 1e-6, 1.0, 1e6, MAX_LATENCY_S]) | floats(
    MIN_LATENCY_S, MAX_LATENCY_S
)
readings = st.fixed_dictionaries(
    {"seconds": latencies, "spread": st.sampled_from([0.0, 1.0, 1e6])},
    optional={"sustainedSeconds": latencies, "loadedSeconds": latencies},
)
observations = st.fixed_dictionaries(
    {
        "task": st.text("abc", min_size=1, max_size=3),
        "model": st.sampled_from(["default/model", "default/other", "none"]),
        "medianSeconds": latencies,
        "p90Seconds": latencies,
        "expectedSeconds": latencies,
        "finishedAt": st.sampled_from(["1000-01-01T00:00:00Z", "9999-12-31T23:59:59+00:00"]),
    }
)


@cache
def predictor() -> LatencyPredictor:
    return default_predictor()


@cache
def features() -> ModelFeatures:
    return read_model(ROOT / "examples/models/mobilenet_v3_small.onnx", batch=1, shapes={})


@cache
def devices() -> list[EmulatedDevice]:
    return shipped_devices(ROOT / "examples/devices")[:2]


def profile_of(device: EmulatedDevice) -> Json:
    return copy.deepcopy(dict(device.profile))


@st.composite
def odd_profiles(draw: st.DrawFn) -> Json:
    """A measured device, some of whose numbers are anything."""
    profile = profile_of(devices()[0])
    profile["metadata"] |= {"uid": "odd", "resourceVersion": "1", "generation": 1}
    status = profile["status"]
    names = sorted(status["readings"])
    odd = draw(st.sets(st.sampled_from(names)) | st.just(set(names)))
    for name in sorted(odd):
        status["readings"][name] = draw(readings)
    for name in draw(st.sets(st.sampled_from(names), max_size=3)):
        status["readings"].pop(name, None)
    status["intervalFactor"] = draw(st.sampled_from([0.1, 1.0, 10.0]))
    status["memoryBytes"] = draw(st.sampled_from([0, 1, 2**62]))
    status["observations"] = draw(st.lists(observations, max_size=6))
    return profile


@given(odd_profiles())
@settings(max_examples=40, deadline=None)
def test_an_odd_profile_leaves_plans_and_written_objects_valid(profile: Json) -> None:
    read = DeviceProfile.model_validate(profile)
    cache = ClusterCache(LatencyTable(predictor()), Clock(NOW_S))
    model = convert.to_model_status(features()).model_dump(by_alias=True, mode="json")
    WatchEvents(cache).model_profile(UPSERT, make_model_profile(status=model))
    for device_profile in (profile, profile_of(devices()[1])):
        WatchEvents(cache).node(UPSERT, make_node(device_profile["spec"]["node"]))
        WatchEvents(cache).device_profile(UPSERT, device_profile)
    for name in ("a", "b", "c"):
        task, pod = make_waiting(name, inferences=10**9)
        WatchEvents(cache).task(UPSERT, task)
        WatchEvents(cache).pod(UPSERT, pod)
    predict_news(cache)
    metrics = ExtenderMetrics.on(CollectorRegistry())
    admission = Admission(
        cache=cache, cluster=FakeCluster(), decisions=DecisionCache(), metrics=metrics
    )
    planner = Planner(cache=cache, admission=admission, policy=Policy(), metrics=metrics)

    decided = planner.plan_now()

    assert decided, "the other device goes on"
    for _, _, decision in decided:
        assert Decision.read(decision.model_dump_json(by_alias=True)) is not None
    written = [
        updated_profile_status(read, [], NOW_S).model_dump(by_alias=True, mode="json"),
        [latency.model_dump() for latency in class_latencies(predictor(), features(), [read])],
        [(planned.start_s, planned.busy_s) for planned in planner.queue()],
        [cache.ledger.backlog_s(DeviceId(device.id), NOW_S) for device in cache.devices],
    ]
    json.dumps(written, allow_nan=False)
