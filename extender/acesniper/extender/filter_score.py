"""The answers to kube-scheduler, from memory only: no call, no inference, no await."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from acesniper.api.names import DEVICE_ANNOTATION, MODEL_LABEL, TASK_LABEL
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
"""Why a pod that names a model is placed as the stock scheduler would."""
NO_DEVICE = "no DeviceProfile predicts this model here; see kubectl get dprof"


class FilterScore:
    """Filters and scores nodes for one pod at a time."""

    def __init__(
        self,
        fleet: ClusterCache,
        book: DecisionCache,
        metrics: ExtenderMetrics,
        on_unknown: Callable[[Pod], None] = lambda _: None,
    ) -> None:
        """`on_unknown` is told of pods that name a model nobody knows; it must not block."""
        self._on_unknown = on_unknown
        self._fleet = fleet
        self._book = book
        self._metrics = metrics
        for reason in WITHOUT_PREDICTION:
            # A counter that begins at 1 has not increased, for Prometheus: no alert would see it.
            metrics.decisions.labels("filter", "stock", reason)

    def filter(self, args: ExtenderArgs) -> FilterResult:
        """Nodes that can take the pod: the planned one, those with a prediction, or all."""
        names = args.node_names
        if (node := self._planned_node(args.pod)) is not None:
            return self._only(args.pod, node, names)
        latency = self._latency(args.pod)
        if not latency:
            self._count("filter", "stock", _why_stock(args.pod, latency))
            if latency is None and MODEL_LABEL in (args.pod.metadata.labels or {}):
                self._on_unknown(args.pod)
            return FilterResult(names)
        fitting = [name for name in names if name in latency]
        if fitting:
            self._count("filter", "predicted")
        else:
            self._count("filter", "refused", "no device here")
        if len(fitting) == len(names):
            return FilterResult(fitting)
        return FilterResult(fitting, {name: NO_DEVICE for name in names if name not in latency})

    def prioritize(self, args: ExtenderArgs) -> list[HostPriority]:
        """Scores 0..10: the first to finish gets 10, one twice as late 5."""
        names = args.node_names
        latency = self._latency(args.pod)
        planned = self._planned_node(args.pod) is not None
        if planned or not latency:
            reason = "planned" if planned else _why_stock(args.pod, latency)
            self._count("prioritize", "neutral", reason)
            return [HostPriority(name, 0) for name in names]
        self._count("prioritize", "predicted")
        return list(map(HostPriority, names, self._scores(names, latency)))

    def _scores(self, names: Sequence[str], latency: Mapping[str, float]) -> list[int]:
        """Vectorised: with 5,000 names this is what a request's time goes into."""
        finish = np.fromiter(map(latency.__getitem__, names), float, len(names))
        if free_at := self._fleet.free_at_s():
            at = np.fromiter((free_at.get(name, 0.0) for name in names), float, len(names))
            finish += np.maximum(at - self._fleet.clock(), 0.0)
        best = finish.min(initial=np.inf)
        if not 0.0 < best < np.inf:
            return [0] * len(names)
        # The best divided by itself may come out just below 10, and must not be cut to 9.
        scores: list[int] = (MAX_SCORE * best / finish + ROUNDING).astype(int).tolist()
        return scores

    def _only(self, pod: Pod, node: str, names: Sequence[str]) -> FilterResult:
        reason = f"planned for {node}"
        failed = {name: reason for name in names if name != node}
        if node in names:
            self._book.answered(pod.metadata.uid, node)
            self._count("filter", "planned")
            return FilterResult([node], failed)
        self._count("filter", "refused", "planned elsewhere")
        return FilterResult([], failed)

    def _planned_node(self, pod: Pod) -> str | None:
        if TASK_LABEL not in (pod.metadata.labels or {}):
            return None
        promise = self._fleet.ledger.get(PodUid(pod.metadata.uid))
        # Another extender's planner may have admitted it a moment ago: then the pod says where to.
        told = (pod.metadata.annotations or {}).get(DEVICE_ANNOTATION)
        device = self._fleet.devices.get(promise.device if promise else told)
        return device.node if device else None

    def _latency(self, pod: Pod) -> Mapping[str, float] | None:
        model = (pod.metadata.labels or {}).get(MODEL_LABEL)
        if model is None:
            return None
        return self._fleet.fastest_by_node(ModelKey(namespaced_key(pod.metadata.namespace, model)))

    def _count(self, verb: str, outcome: str, reason: str = "") -> None:
        self._metrics.decisions.labels(verb, outcome, reason).inc()


def _why_stock(pod: Pod, latency: Mapping[str, float] | None) -> str:
    """Why a pod is placed as the stock scheduler would."""
    if latency is not None:
        return NO_PREDICTION
    return UNKNOWN_MODEL if MODEL_LABEL in (pod.metadata.labels or {}) else "no model"


MAX_QUEUED_EVENTS = 1000
"""Notices that may wait to be posted; beyond that the metric alone tells."""


@dataclass(slots=True)
class NoPredictionEvents:
    """Pods whose model nobody knows."""

    events: EventRecorder
    clock: Callable[[], float]
    _queue: "asyncio.Queue[Pod]" = field(default_factory=lambda: asyncio.Queue(MAX_QUEUED_EVENTS))

    def note(self, pod: Pod) -> None:
        """Take note, without waiting."""
        if not self._queue.full():
            self._queue.put_nowait(pod)

    async def run(self) -> None:
        """Post events for ever."""
        while True:
            pod = await self._queue.get()
            model = (pod.metadata.labels or {}).get(MODEL_LABEL)
            text = (
                f"there is no profiled ModelProfile {model!r}; placed as the stock scheduler would"
            )
            notice = Notice(Reason.NO_PREDICTION, text, warning=True)
            metadata = {
                "name": pod.metadata.name,
                "namespace": pod.metadata.namespace,
                "uid": pod.metadata.uid,
            }
            await self.events.record("Pod", metadata, notice, self.clock())
