"""Tasks as a list, and how well the finished ones were predicted."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log
from statistics import median
from typing import Any

from acesniper.api.objects import Json, namespaced_key
from acesniper.api.units import epoch_s
from acesniper.runtime.watch import DELETE

FINISHED_KEPT = 1000


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """A task as it was last seen. Latencies are of one inference, in seconds."""

    task: str
    uid: str
    model: str
    phase: str
    created_s: float
    inferences: int = 1
    node: str = ""
    device: str = ""
    predicted_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    observed_s: float | None = None
    started_s: float | None = None
    finished_s: float | None = None
    message: str = ""

    @classmethod
    def of(cls, manifest: Json) -> "TaskSummary":
        """Read a task as the API server wrote it."""
        metadata, spec = manifest["metadata"], manifest.get("spec") or {}
        status: Mapping[str, Any] = manifest.get("status") or {}
        expected, seen = status.get("predicted") or {}, status.get("observed") or {}
        return cls(
            task=namespaced_key(metadata["namespace"], metadata["name"]),
            uid=str(metadata.get("uid", "")),
            model=str(status.get("modelProfile") or spec.get("model") or ""),
            phase=str(status.get("phase") or "Pending"),
            created_s=epoch_s(metadata["creationTimestamp"]),
            inferences=int(spec.get("inferences") or 1),
            node=str(status.get("node") or ""),
            device=str(status.get("device") or ""),
            predicted_s=expected.get("latencySeconds"),
            low_s=expected.get("lowSeconds"),
            high_s=expected.get("highSeconds"),
            observed_s=seen.get("latencyMedianSeconds"),
            started_s=_when(seen.get("startTime")),
            finished_s=_when(seen.get("finishTime")),
            message=str(status.get("message") or ""),
        )

    @property
    def compared(self) -> bool:
        """Whether it tells how good its prediction was."""
        return self.phase == "Succeeded" and bool(self.predicted_s) and bool(self.observed_s)


@dataclass(slots=True)
class TaskHistory:
    """All tasks there are, and the newest finished ones, which stay when their task is deleted."""

    tasks: dict[str, TaskSummary] = field(default_factory=dict)
    finished: deque[TaskSummary] = field(default_factory=lambda: deque(maxlen=FINISHED_KEPT))
    _told: set[str] = field(default_factory=set)
    """UIDs of tasks that were noted as finished."""

    def take(self, change: str, manifest: Json) -> None:
        """A task was made, changed or is gone."""
        if change == DELETE:
            # Found missing in a list, it comes with nothing but its name and its UID.
            metadata = manifest["metadata"]
            self.tasks.pop(namespaced_key(metadata["namespace"], metadata["name"]), None)
            self._told.discard(str(metadata["uid"]))
            return
        seen = TaskSummary.of(manifest)
        self.tasks[seen.task] = seen
        if seen.compared and seen.uid not in self._told:
            self._told.add(seen.uid)
            self.finished.append(seen)


def _when(text: str | None) -> float | None:
    return epoch_s(text) if text else None


def task_list(
    tasks: Sequence[TaskSummary], phase: str, search: str, offset: int, limit: int
) -> Json:
    """One page of the tasks, the newest first; and how many there are in each phase."""
    text = search.lower()
    found = [
        each
        for each in tasks
        if (not phase or each.phase == phase)
        and (not text or text in f"{each.task} {each.model} {each.node}".lower())
    ]
    found.sort(key=lambda each: (-each.created_s, each.task))
    return {
        "matching": len(found),
        "phases": Counter(each.phase for each in tasks),
        "tasks": [_row(each) for each in found[offset : offset + limit]],
    }


def accuracy(finished: Sequence[TaskSummary]) -> Json:
    """Predicted against observed latency of the newest finished tasks, oldest first."""
    errors = [abs(_predicted(each) / _observed(each) - 1.0) for each in finished]
    ratios = [log(_observed(each) / _predicted(each)) for each in finished]
    inside = sum(
        (each.low_s or 0.0) <= _observed(each) <= (each.high_s or 0.0) for each in finished
    )
    return {
        "tasks": len(finished),
        "medianErrorRatio": round(median(errors), 4) if errors else None,
        "insideRatio": round(inside / len(finished), 4) if finished else None,
        "observedOverPredicted": round(exp(median(ratios)), 4) if ratios else None,
        "points": [
            [
                *(each.task, each.model, each.device or each.node),
                *map(_short, (each.predicted_s, each.low_s, each.high_s, each.observed_s)),
                each.finished_s,
            ]
            for each in finished
        ],
    }


def _row(each: TaskSummary) -> Json:
    return {
        "task": each.task,
        "model": each.model,
        "phase": each.phase,
        "createdAt": each.created_s,
        "finishedAt": each.finished_s,
        "inferences": each.inferences,
        "node": each.node,
        "device": each.device,
        "predictedSeconds": _short(each.predicted_s),
        "lowSeconds": _short(each.low_s),
        "highSeconds": _short(each.high_s),
        "observedSeconds": _short(each.observed_s),
        "message": each.message,
    }


def _predicted(each: TaskSummary) -> float:
    return each.predicted_s or 1.0


def _observed(each: TaskSummary) -> float:
    return each.observed_s or 1.0


def _short(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds:.4g}")
