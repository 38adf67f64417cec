"""Fleets that were filled with devices, models, tasks and pods."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from acesniper.api.objects import Json
from acesniper.domain.cold_start import ColdStartEstimator, StartDefaults
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.cache.decisions import DecisionCache
from acesniper.extender.filter_score import FilterScore
from acesniper.extender.latency_table import LatencyTable
from acesniper.extender.metrics import ExtenderMetrics
from acesniper.extender.protocol import ExtenderArgs, Metadata, Pod
from acesniper.extender.watch_events import WatchEvents
from acesniper.runtime.skipped import UPSERT
from builders import (
    TEST_KEY,
    WorkPredictor,
    make_device_profile,
    make_gated_pod,
    make_itask,
    make_model_profile,
    make_node,
)
from virtual_time import Clock

AT_ONCE = StartDefaults(0.0, 1e15, 1e15, 1e15)
"""Nothing to pull, to fetch or to load."""


def make_fleet(
    paces: Mapping[str, float], clock: Clock | None = None, work: float = 1.0
) -> ClusterCache:
    """Devices by name and pace (seconds per unit of work), each on `node-NAME`; one `model`."""
    cache = ClusterCache(
        LatencyTable(WorkPredictor()),
        clock or Clock(),
        start_times=ColdStartEstimator(AT_ONCE),
        key=TEST_KEY,
    )
    for name, pace in paces.items():
        WatchEvents(cache).node(UPSERT, make_node(f"node-{name}"))
        WatchEvents(cache).device_profile(UPSERT, make_device_profile(name, pace=pace))
    WatchEvents(cache).model_profile(UPSERT, make_model_profile(work=work))
    predict_news(cache)
    return cache


def predict_news(cache: ClusterCache) -> None:
    """Bring the latency table up to date, as the planner does before it plans."""
    if (news := cache.table.pending()) is not None:
        cache.commit_predictions(news.predicted(cache.table.predictor))


def make_waiting(name: str, **spec: Any) -> tuple[Json, Json]:  # noqa: ANN401 - as make_itask
    """A queued task and its gated pod."""
    pod = make_gated_pod(f"{name}-0", task=name)
    status = {"phase": "Queued", "modelProfile": "model", "podUid": pod["metadata"]["uid"]}
    return make_itask(name, status=status, **spec), pod


def make_answers(cache: ClusterCache, book: DecisionCache | None = None) -> FilterScore:
    return FilterScore(
        cache=cache,
        decisions=book or DecisionCache(),
        metrics=ExtenderMetrics.on(CollectorRegistry()),
    )


def make_args(*names: str, uid: str = "u", labels: Mapping[str, str] | None = None) -> ExtenderArgs:
    pod = Pod(Metadata("p", "default", uid, dict(labels or {})))
    return ExtenderArgs(pod, list(names))
