"""A fleet for the page: as many devices, models and tasks as wanted, in the extender's own objects.

Nothing is drawn at random: the same numbers give the same page, but for the time of the day.
"""

import time
from collections.abc import Sequence
from hashlib import blake2b
from math import exp

import numpy as np
from prometheus_client import CollectorRegistry

from acesniper.api.decision import Decision
from acesniper.api.names import INFERENCE_TASKS, PLAN_GATE, PODS
from acesniper.api.objects import Json
from acesniper.api.units import rfc3339
from acesniper.domain.device import DeviceId, HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.domain.task import ModelKey
from acesniper.extender.watch_events import WatchEvents
from acesniper.extender.wiring import Extender
from acesniper.predictor.base import LatencyArrays, Observations
from acesniper.runtime.settings import ExtenderSettings
from acesniper.runtime.skipped import UPSERT
from builders import (
    TEST_KEY,
    WorkPredictor,
    condition,
    make_device_profile,
    make_itask,
    make_model_profile,
    make_node,
)
from builders import make_pod as pod_of
from fake_cluster import FakeCluster

KINDS = (
    ("pi4", "cpu", 9.0, "Raspberry Pi 4, 4 cores"),
    ("pi5", "cpu", 3.6, "Raspberry Pi 5, 4 cores"),
    ("rock5b", "cpu", 3.1, "Rock 5B, 8 cores"),
    ("n100", "openvino", 1.1, "Mini PC N100, 4 cores"),
    ("orin-nano", "cuda", 0.35, "Jetson Orin Nano, 8 GB"),
    ("nuc", "openvino", 0.55, "NUC i5, 12 cores"),
    ("server", "cpu", 0.28, "Xeon, 32 cores"),
)
"""Name, provider, pace, and a few words."""
NETWORKS = (
    ("mobilenet-v3-small", 0.06),
    ("squeezenet1-1", 0.35),
    ("resnet18", 1.8),
    ("efficientnet-b0", 0.4),
    ("bert-tiny", 0.25),
    ("resnet50", 4.1),
    ("vit-tiny", 1.3),
    ("densenet121", 2.9),
    ("unet-small", 6.5),
    ("vgg11", 7.6),
)
WAITING = 600
"""Tasks that wait, at most, and the models they are of: a plan looks at each pair of them."""
WANTED = 40


class Plausible(WorkPredictor):
    """Predicts work x pace, a little otherwise for each pair, as real networks and devices are."""

    source = "pcn 4"

    def table(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations = (),
    ) -> LatencyArrays:
        """All pairs."""
        work = np.array([model.values["work"] for model in models])
        taste = np.array([model.values["taste"] for model in models])
        paces = np.array([device.readings["pace"].seconds for device in devices])
        bent = np.array([device.readings["bent"].seconds for device in devices])
        pair = np.sin(37.0 * np.outer(taste, bent))
        latency = 0.02 * np.outer(work**0.85, paces) * np.exp(0.55 * pair) + 0.001
        spread = 0.12 + 0.3 * np.abs(np.cos(11.0 * np.outer(taste, 1.0 / bent))) ** 3
        return LatencyArrays(latency, spread)


def share(*words: object) -> float:
    """A number in [0, 1) that follows from the words alone."""
    digest = blake2b(" ".join(map(str, words)).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2.0**48


def page_state(devices: int, models: int, finished: int = 400) -> Extender:
    """An extender's state that has seen such a fleet at work, and made a plan."""
    cluster = FakeCluster()
    settings = ExtenderSettings(explore_share=0.02, container_start_s=1.4)
    state = Extender.build(settings, cluster, Plausible(), CollectorRegistry())
    state.cache.key = TEST_KEY
    now_s = time.time()
    names = [_add_device(state, number, now_s) for number in range(devices)]
    known = [_add_model(state, number) for number in range(models)]
    if (news := state.cache.table.pending()) is not None:
        state.cache.commit_predictions(news.predicted(state.cache.table.predictor))
    for number in range(finished):
        _upsert_task(state, cluster, _finished(number, names, known, now_s))
    for number, name in enumerate(names):
        if share("busy", number) < 0.7:
            _run(state, cluster, number, name, known, now_s)
    for number in range(min(max(3, devices), WAITING) if models else 0):
        _wait(state, cluster, number, known, now_s)
    for pod, device, decision in state.planner.plan_now():
        state.decisions.put(pod.uid, decision)
        del device
    return state


def _add_device(state: Extender, number: int, now_s: float) -> str:
    kind, provider, pace, text = KINDS[number % len(KINDS)]
    name, node = f"{kind}-{number:04d}", f"edge-{number:04d}"
    pace *= exp(0.35 * (share("pace", number) - 0.5))
    well = share("health", number)
    WatchEvents(state.cache).node(UPSERT, make_node(node, ready=well < 0.97 or number < 4))
    problems = [problem for problem, at in (("Drifting", 0.06), ("Noisy", 0.03)) if well < at]
    if number == 3:
        problems = ["Drifting"]
    profile = make_device_profile(
        name,
        node,
        pace=pace,
        measured_at=rfc3339(now_s - 86400 * 20 * share("age", number)),
        conditions=[condition(problem) for problem in problems],
        provider=provider,
    )
    profile["status"]["readings"]["bent"] = {"seconds": 0.2 + share("bent", kind), "spread": 0.01}
    profile["status"]["text"] = text
    if share("learned", number) < 0.6:
        ratio = exp(0.3 * (share("ratio", number) - 0.5))
        profile["status"]["calibration"] = f"{ratio:.2f} x predicted, 12 runs of 3 models"
    WatchEvents(state.cache).device_profile(UPSERT, profile)
    return name


def _add_model(state: Extender, number: int) -> str:
    network, work = NETWORKS[number % len(NETWORKS)]
    name = network if number < len(NETWORKS) else f"{network}-{number:04d}"
    profile = make_model_profile(name, work=work * exp(1.2 * (share("work", name) - 0.5)))
    profile["status"]["features"]["taste"] = 0.2 + share("taste", network)
    profile["status"]["parameters"] = int(5e6 * work)
    WatchEvents(state.cache).model_profile(UPSERT, profile)
    return name


def _latency_s(state: Extender, model: str, device: str) -> float:
    table = state.cache.table.view()
    row, column = table.rows[ModelKey(f"default/{model}")], table.columns[DeviceId(device)]
    return float(table.latency[row, column])


def _finished(number: int, names: Sequence[str], known: Sequence[str], now_s: float) -> Json:
    model = known[int(share("model", number) * len(known)) % len(known)]
    device = names[int(share("device", number) * len(names))]
    latency_s = 0.004 * exp(5.5 * share("size", model)) * (0.5 + share("pace", device))
    off = exp(0.30 * sum(share("off", number, draw) - 0.5 for draw in range(4)))
    if number % 41 == 7:
        off *= 1.9
    inferences = 50 + int(900 * share("count", number))
    created_s = now_s - 60.0 - 3.0 * number
    finished_s = created_s + 12.0 + inferences * latency_s * off
    status = {
        "phase": "Succeeded",
        "modelProfile": model,
        "node": f"edge-{device[-4:]}",
        "device": device,
        "predicted": _predicted(latency_s, inferences, created_s),
        "observed": {
            "text": "",
            "latencyMedianSeconds": latency_s * off,
            "loadSeconds": 0.4,
            "containerSeconds": 1.0,
            "waitSeconds": 9.0,
            "startTime": rfc3339(created_s + 10.0),
            "finishTime": rfc3339(finished_s),
        },
        "errorRatio": abs(1.0 / off - 1.0),
        "message": "finished",
        "decision": _decision(names, device, latency_s, inferences, created_s + 8.0, number),
    }
    return _itask(f"night-{number:04d}", model, inferences, created_s, status)


def _itask(name: str, model: str, inferences: int, created_s: float, status: Json) -> Json:
    made = {"creationTimestamp": rfc3339(created_s)}
    return make_itask(name, model=model, inferences=inferences, status=status, metadata=made)


def _predicted(latency_s: float, inferences: int, created_s: float) -> Json:
    run_s = inferences * latency_s
    return {
        "text": f"{1e3 * latency_s:.3g} ms",
        "latencySeconds": latency_s,
        "lowSeconds": latency_s * 0.72,
        "highSeconds": latency_s * 1.39,
        "waitSeconds": 8.0,
        "coldStartSeconds": 1.4,
        "runSeconds": run_s,
        "finishTime": rfc3339(created_s + 9.4 + run_s),
    }


def _decision(
    names: Sequence[str],
    chosen: str,
    latency_s: float,
    inferences: int,
    decided_s: float,
    number: int,
) -> Json:
    """The chosen device and the next best: one that is slower, one busier, one colder."""
    others = [name for name in names if name != chosen][number % 3 : number % 3 + 3]
    terms = (
        (1.0, 3.2, 1.4, 0.0),
        (1.9, 0.0, 1.4, 2.1),
        (0.8, 0.45, 1.4, 0.0),
        (2.6, 0.0, 1.4, 0.9),
    )
    run_s = inferences * latency_s
    candidates = []
    for name, (slower, wait, cold_s, transfer_s) in zip((chosen, *others), terms, strict=False):
        backlog_s = wait if name == chosen else wait * run_s * 1.3
        candidates.append(
            {
                "device": name,
                "node": f"edge-{name[-4:]}",
                "latencySeconds": latency_s * slower,
                "lowSeconds": latency_s * slower * 0.72,
                "highSeconds": latency_s * slower * 1.39,
                "source": Plausible.source,
                "inferences": inferences,
                "backlogSeconds": backlog_s,
                "coldStartSeconds": cold_s,
                "transferSeconds": transfer_s,
                "runSeconds": run_s * slower,
                "finishSeconds": backlog_s + cold_s + transfer_s + run_s * slower,
            }
        )
    candidates[1:] = sorted(
        candidates[1:], key=lambda candidate: float(str(candidate["finishSeconds"]))
    )
    return {
        "decidedAt": decided_s,
        "policy": "fcfs-advantage",
        "candidates": candidates,
        "refused": {"pi4-0000": "needs 2.1 GiB of memory; the device has 1.8 GiB"},
    }


def _run(
    state: Extender,
    cluster: FakeCluster,
    number: int,
    device: str,
    known: Sequence[str],
    now_s: float,
) -> None:
    task, pods_name = f"day-{number:04d}", f"day-{number:04d}-0"
    model = known[int(share("running", number) * len(known))]
    latency_s = _latency_s(state, model, device)
    inferences = max(1, int((20 + 90 * share("length", number)) / latency_s))
    begun_s = now_s - 60 * share("begun", number)
    status: Json = {
        "phase": "Running",
        "modelProfile": model,
        "node": f"edge-{number:04d}",
        "device": device,
        "pod": pods_name,
        "predicted": _predicted(latency_s, inferences, begun_s - 9.0),
        "message": f"runs on edge-{number:04d}",
        "decision": _decision(
            (device, "n100-0003"), device, latency_s, inferences, begun_s, number
        ),
    }
    _upsert_task(state, cluster, _itask(task, model, inferences, begun_s - 9.0, status))
    pod = pod_of(
        pods_name,
        task=task,
        model=model,
        device=device,
        node=f"edge-{number:04d}",
        phase="Running",
        started=rfc3339(begun_s),
        decision=Decision.model_validate({"task": f"default/{task}", **status["decision"]}),
    )
    cluster.put(PODS, pod)
    WatchEvents(state.cache).pod(UPSERT, pod)


def _wait(
    state: Extender, cluster: FakeCluster, number: int, known: Sequence[str], now_s: float
) -> None:
    model = known[int(share("waiting", number) * min(len(known), WANTED))]
    name = f"next-{number:04d}"
    inferences = 100 + int(4000 * share("much", number) ** 3)
    status = {"phase": "Queued", "modelProfile": model, "message": "waits for a device"}
    _upsert_task(
        state, cluster, _itask(name, model, inferences, now_s - 30 * share("new", number), status)
    )
    pod = pod_of(f"{name}-0", task=name, model=model, gates=[PLAN_GATE])
    cluster.put(PODS, pod)
    WatchEvents(state.cache).pod(UPSERT, pod)


def _upsert_task(state: Extender, cluster: FakeCluster, task: Json) -> None:
    cluster.put(INFERENCE_TASKS, task)
    (tasks,) = (reflector for reflector in state.reflectors if reflector.kind is INFERENCE_TASKS)
    tasks.apply(UPSERT, task)
