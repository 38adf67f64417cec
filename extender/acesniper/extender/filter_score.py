"""Responses to kube-scheduler's `/filter` and `/prioritize`.

They are computed from memory only: no request, no inference, no await.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from acesniper.api.names import MODEL_LABEL, TASK_LABEL
from acesniper.api.objects import namespaced_key
from acesniper.api.reasons import Notice, Reason
from acesniper.domain.reservations import PodUid
from acesniper.domain.task import ModelKey
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.cache.decisions import DecisionCache
from acesniper.extender.metrics import ExtenderMetrics
from acesniper.extender.protocol import MAX_SCORE, ExtenderArgs, FilterResult, HostPriority, Pod
from acesniper.runtime.events import EventRecorder

ROUNDING = 1e-9
UNKNOWN_MODEL, NO_PREDICTION = WITHOUT_PREDICTION = "unknown model", "no prediction"
"""Metric reasons of a pod that names a model and gets no prediction."""
NO_DEVICE = "no device of the node has a prediction for the model; see kubectl get deviceprofiles"
MAX_QUEUED_EVENTS = 1000
"""Events that may be queued; beyond that only the metric counts."""


class FilterScore:
    """Filters and scores nodes for one pod at a time."""

    def __init__(
        self,
        *,
        cache: ClusterCache,
        decisions: DecisionCache,
        metrics: ExtenderMetrics,
        on_unknown: Callable[[Pod], None] = lambda _: None,
    ) -> None:
        """`on_unknown` is called with a pod that names an unknown model; it must not block."""
        self._on_unknown = on_unknown
        self._cache = cache
        self._decisions = decisions
        self._metrics = metrics
        for reason in WITHOUT_PREDICTION:
            # Prometheus sees no increase in a counter that first appears as 1: start it at 0.
            metrics.decisions.labels("filter", "stock", reason)

    def filter(self, args: ExtenderArgs) -> FilterResult:
        """Return the nodes that can take the pod: the planned one, those predicted, or all."""
        names = args.node_names
        if (node := self._planned_node(args.pod)) is not None:
            return self._filter_planned(args.pod, node, names)
        latency_s = self._latency_by_node(args.pod)
        if not latency_s:
            self._count("filter", "stock", _stock_reason(args.pod, latency_s))
            if latency_s is None and MODEL_LABEL in (args.pod.metadata.labels or {}):
                self._on_unknown(args.pod)
            return FilterResult(names)
        feasible = [name for name in names if name in latency_s]
        if feasible:
            self._count("filter", "predicted")
        else:
            self._count("filter", "refused", "no device here")
        if len(feasible) == len(names):
            return FilterResult(feasible)
        return FilterResult(feasible, {name: NO_DEVICE for name in names if name not in latency_s})

    def prioritize(self, args: ExtenderArgs) -> list[HostPriority]:
        """Return scores from 0 to 10: the node that finishes first gets 10, one twice as late 5."""
        names = args.node_names
        latency_s = self._latency_by_node(args.pod)
        planned = self._planned_node(args.pod) is not None
        if planned or not latency_s:
            reason = "planned" if planned else _stock_reason(args.pod, latency_s)
            self._count("prioritize", "neutral", reason)
            return [HostPriority(name, 0) for name in names]
        self._count("prioritize", "predicted")
        return list(map(HostPriority, names, self._scores(names, latency_s)))

    def _scores(self, names: Sequence[str], latency_s: Mapping[str, float]) -> list[int]:
        """Vectorised: with 5,000 nodes, most of a request's time is spent here."""
        finish_s = np.fromiter(map(latency_s.__getitem__, names), float, len(names))
        if free_at_s := self._cache.free_at_s():
            at_s = np.fromiter((free_at_s.get(name, 0.0) for name in names), float, len(names))
            finish_s += np.maximum(at_s - self._cache.clock(), 0.0)
        best_s = finish_s.min(initial=np.inf)
        if not 0.0 < best_s < np.inf:
            return [0] * len(names)
        # The best node's own ratio may come out just below 10 and must not be truncated to 9.
        scores: list[int] = (MAX_SCORE * best_s / finish_s + ROUNDING).astype(int).tolist()
        return scores

    def _filter_planned(self, pod: Pod, node: str, names: Sequence[str]) -> FilterResult:
        reason = f"the task is planned for node {node}"
        failed = {name: reason for name in names if name != node}
        if node in names:
            self._decisions.set_answered(pod.metadata.uid, node)
            self._count("filter", "planned")
            return FilterResult([node], failed)
        self._count("filter", "refused", "planned elsewhere")
        return FilterResult([], failed)

    def _planned_node(self, pod: Pod) -> str | None:
        if TASK_LABEL not in (pod.metadata.labels or {}):
            return None
        reservation = self._cache.ledger.get(PodUid(pod.metadata.uid))
        annotations = pod.metadata.annotations or {}
        # The planner of another replica may just have admitted it: then only the pod has the node.
        written = None if reservation else self._cache.key.device(pod.metadata.uid, annotations)
        device = self._cache.devices.get(reservation.device if reservation else written)
        return device.node if device else None

    def _latency_by_node(self, pod: Pod) -> Mapping[str, float] | None:
        model = (pod.metadata.labels or {}).get(MODEL_LABEL)
        if model is None:
            return None
        return self._cache.fastest_by_node(ModelKey(namespaced_key(pod.metadata.namespace, model)))

    def _count(self, verb: str, outcome: str, reason: str = "") -> None:
        self._metrics.decisions.labels(verb, outcome, reason).inc()


def _stock_reason(pod: Pod, latency_s: Mapping[str, float] | None) -> str:
    """Why a pod is left to the other scheduler plugins."""
    if latency_s is not None:
        return NO_PREDICTION
    return UNKNOWN_MODEL if MODEL_LABEL in (pod.metadata.labels or {}) else "no model"


@dataclass(slots=True)
class NoPredictionEvents:
    """Posts events about pods that were scheduled without a prediction, off the request path."""

    events: EventRecorder
    clock: Callable[[], float]
    _queue: "asyncio.Queue[Pod]" = field(default_factory=lambda: asyncio.Queue(MAX_QUEUED_EVENTS))

    def enqueue(self, pod: Pod) -> None:
        """Queue an event without blocking; drop it if the queue is full."""
        if not self._queue.full():
            self._queue.put_nowait(pod)

    async def run(self) -> None:
        """Post queued events until cancelled."""
        while True:
            pod = await self._queue.get()
            model = (pod.metadata.labels or {}).get(MODEL_LABEL)
            text = (
                f"ModelProfile {model!r} does not exist or is not ready; "
                "the pod was scheduled without a latency prediction"
            )
            notice = Notice(Reason.NO_PREDICTION, text, warning=True)
            metadata = {
                "name": pod.metadata.name,
                "namespace": pod.metadata.namespace,
                "uid": pod.metadata.uid,
            }
            await self.events.record("Pod", metadata, notice, self.clock())
