"""Which node has what, seen in nodes, pods and finished tasks."""

from acesniper.api import convert
from acesniper.api.decision import Decision
from acesniper.api.objects import PodView
from acesniper.api.v1alpha1 import InferenceTask
from acesniper.domain.cold_start import ColdStartEstimator
from acesniper.domain.device import HardwareVector, Reading
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import FinishEstimate
from acesniper.domain.task import ModelKey
from acesniper.extender.cache.cold_start import REFRESH_S, CachedStarts, ColdStartCache
from acesniper.extender.latency_table import LatencyTable
from acesniper.predictor.namespaces import MeasuredDevice
from builders import (
    WorkPredictor,
    make_device,
    make_itask,
    make_node,
    make_pod,
    make_prediction,
    make_task,
)

MODEL = ModelKey("default/model")
IMAGE = "registry.example/runner:1"
A, B = make_device("a"), make_device("b")


def make_cold_starts() -> ColdStartCache:
    table = LatencyTable(WorkPredictor())
    features = ModelFeatures("1", {"work": 1.0}, 0.0, 0.0, 25_000_000, 0, {}, {})
    table.set_model(MODEL, features)
    table.set_device(A.id, MeasuredDevice(HardwareVector("hrm", "1", {"pace": Reading(1.0, 0.0)})))
    return ColdStartCache(table, ColdStartEstimator())


def node(name: str, *images: str, boot: str = "1") -> dict[str, object]:
    found = make_node(name)
    found["status"]["nodeInfo"] = {"bootID": boot}
    found["status"]["images"] = [{"names": [image], "sizeBytes": 500_000_000} for image in images]
    return found


def pod(where: str | None = None, phase: str = "Pending") -> PodView:
    made = make_pod(node=where, phase=phase)
    made["spec"]["containers"][0]["image"] = IMAGE
    return PodView.of(made)


def finished(load_s: float, *, pulls: bool = False, fetches: bool = False) -> InferenceTask:
    best = FinishEstimate(A, make_prediction(), 1)
    decision = Decision.of(make_task().key, [best], 5.0, "fcfs-mct", {}).record()
    brought = decision.model_copy(update={"pulls_image": pulls, "fetches_model": fetches})
    status = {
        "phase": "Succeeded",
        "modelProfile": "model",
        "node": "node-a",
        "podUid": "pod",
        "decision": brought.model_dump(by_alias=True),
        "observed": {"text": "", "loadSeconds": load_s, "fetchSeconds": 90.0},
    }
    return convert.parse_resource(InferenceTask, make_itask(status=status))


def test_an_image_is_pulled_where_the_node_does_not_list_it() -> None:
    starts = make_cold_starts()
    starts.set_node("node-a", node("node-a", "pause", IMAGE))
    starts.set_node("node-b", node("node-b", "pause"))
    starts.upsert_pod(pod())

    pulls = [starts.cold_start(MODEL, device).pulls for device in (A, B)]
    start = starts.start_row(MODEL, [A, B])

    assert pulls == [False, True]
    assert start.cold_s[1] - start.cold_s[0] > 10.0


def test_a_node_that_lists_nothing_says_nothing_about_pulls() -> None:
    starts = make_cold_starts()
    starts.set_node("node-a", node("node-a"))
    starts.upsert_pod(pod())

    assert not starts.cold_start(MODEL, A).pulls


def test_images_and_models_that_ran_are_present_until_the_node_reboots() -> None:
    starts = make_cold_starts()
    for name in ("node-a", "node-b"):
        starts.set_node(name, node(name, "pause"))
    starts.upsert_pod(pod("node-a", "Running"))

    ran = starts.cold_start(MODEL, A)
    elsewhere = starts.cold_start(MODEL, B)
    starts.set_node("node-a", node("node-a", "pause", boot="2"))
    booted = starts.cold_start(MODEL, A)

    assert (ran.fetches, ran.pulls) == (False, False)
    assert (elsewhere.fetches, elsewhere.pulls) == (True, True)
    assert (booted.fetches, booted.pulls) == (True, True)


def test_a_finished_task_teaches_once_however_often_it_is_seen() -> None:
    starts, twice = make_cold_starts(), make_cold_starts()

    starts.learn(finished(40.0))
    twice.learn(finished(40.0))
    twice.learn(finished(40.0))

    learned = starts.start_row(MODEL, [A]).cold_s[0]
    assert learned > make_cold_starts().start_row(MODEL, [A]).cold_s[0] + 5.0
    assert twice.start_row(MODEL, [A]).cold_s[0] == learned


def test_first_and_later_fetches_are_learned_apart() -> None:
    first, later = make_cold_starts(), make_cold_starts()

    first.learn(finished(1.0, fetches=True))
    later.learn(finished(1.0, fetches=False))

    assert first.start_row(MODEL, [A]).transfer_s[0] > later.start_row(MODEL, [A]).transfer_s[0]


def test_learned_start_times_change_the_estimates_after_a_delay() -> None:
    starts = make_cold_starts()
    shown = CachedStarts(starts, [A], 0.0)
    before = shown[MODEL]

    starts.learn(finished(40.0))
    shown.refresh(REFRESH_S / 2)
    soon = shown[MODEL]
    shown.refresh(REFRESH_S)
    later = shown[MODEL]

    assert soon is before
    assert later.cold_s[0] > before.cold_s[0]
