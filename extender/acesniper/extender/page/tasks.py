"""Views of the tasks: the list, and the accuracy of predictions for finished ones."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log
from statistics import median
from typing import Any

from acesniper.api.objects import Json, namespaced_key, object_key
from acesniper.api.units import epoch_s
from acesniper.runtime.skipped import DELETE

MAX_FINISHED = 1000
"""Finished tasks that are kept for the accuracy view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSummary:
    """A task in its latest state. Latencies are of one inference, in seconds."""

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
        """Read a task from its manifest."""
        metadata, spec = manifest["metadata"], manifest.get("spec") or {}
        status: Mapping[str, Any] = manifest.get("status") or {}
        predicted, observed = status.get("predicted") or {}, status.get("observed") or {}
        return cls(
            task=namespaced_key(metadata["namespace"], metadata["name"]),
            uid=str(metadata.get("uid", "")),
            model=str(status.get("modelProfile") or spec.get("model") or ""),
            phase=str(status.get("phase") or "Pending"),
            created_s=epoch_s(metadata["creationTimestamp"]),
            inferences=int(spec.get("inferences") or 1),
            node=str(status.get("node") or ""),
            device=str(status.get("device") or ""),
            predicted_s=predicted.get("latencySeconds"),
            low_s=predicted.get("lowSeconds"),
            high_s=predicted.get("highSeconds"),
            observed_s=observed.get("latencyMedianSeconds"),
            started_s=_epoch_or_none(observed.get("startTime")),
            finished_s=_epoch_or_none(observed.get("finishTime")),
            message=str(status.get("message") or ""),
        )

    @property
    def comparable(self) -> bool:
        """Whether it has both a predicted and an observed latency."""
        return self.phase == "Succeeded" and bool(self.predicted_s) and bool(self.observed_s)


@dataclass(slots=True)
class TaskHistory:
    """All tasks, and the latest finished ones, which are kept when their task is deleted."""

    tasks: dict[str, TaskSummary] = field(default_factory=dict)
    finished: deque[TaskSummary] = field(default_factory=lambda: deque(maxlen=MAX_FINISHED))
    _recorded: set[str] = field(default_factory=set)
    """UIDs of tasks in `finished`."""

    def apply(self, change: str, manifest: Json) -> None:
        """Apply a watch event."""
        if change == DELETE:
            # A deletion that was detected by a list has the name and UID only.
            metadata = manifest["metadata"]
            self.tasks.pop(object_key(manifest), None)
            self._recorded.discard(str(metadata["uid"]))
            return
        summary = TaskSummary.of(manifest)
        self.tasks[summary.task] = summary
        if summary.comparable and summary.uid not in self._recorded:
            self._recorded.add(summary.uid)
            self.finished.append(summary)


def task_list(
    tasks: Sequence[TaskSummary], phase: str, search: str, offset: int, limit: int
) -> Json:
    """Return one page of the tasks, newest first, and the number of tasks in each phase."""
    text = search.lower()
    matching = [
        task
        for task in tasks
        if (not phase or task.phase == phase)
        and (not text or text in f"{task.task} {task.model} {task.node}".lower())
    ]
    matching.sort(key=lambda task: (-task.created_s, task.task))
    return {
        "matching": len(matching),
        "phases": Counter(task.phase for task in tasks),
        "tasks": [_row(task) for task in matching[offset : offset + limit]],
    }


def accuracy(finished: Sequence[TaskSummary]) -> Json:
    """Return predicted and observed latencies of finished tasks, oldest first, with totals."""
    errors = [abs(_predicted_s(task) / _observed_s(task) - 1.0) for task in finished]
    log_ratios = [log(_observed_s(task) / _predicted_s(task)) for task in finished]
    inside = sum(
        (task.low_s or 0.0) <= _observed_s(task) <= (task.high_s or 0.0) for task in finished
    )
    return {
        "tasks": len(finished),
        "medianErrorRatio": round(median(errors), 4) if errors else None,
        "insideRatio": round(inside / len(finished), 4) if finished else None,
        "observedOverPredicted": round(exp(median(log_ratios)), 4) if log_ratios else None,
        "points": [_point(task) for task in finished],
    }


def _point(task: TaskSummary) -> list[object]:
    return [
        task.task,
        task.model,
        task.device or task.node,
        _rounded(task.predicted_s),
        _rounded(task.low_s),
        _rounded(task.high_s),
        _rounded(task.observed_s),
        task.finished_s,
    ]


def _row(task: TaskSummary) -> Json:
    return {
        "task": task.task,
        "model": task.model,
        "phase": task.phase,
        "createdAt": task.created_s,
        "finishedAt": task.finished_s,
        "inferences": task.inferences,
        "node": task.node,
        "device": task.device,
        "predictedSeconds": _rounded(task.predicted_s),
        "lowSeconds": _rounded(task.low_s),
        "highSeconds": _rounded(task.high_s),
        "observedSeconds": _rounded(task.observed_s),
        "message": task.message,
    }


def _predicted_s(task: TaskSummary) -> float:
    return task.predicted_s or 1.0


def _observed_s(task: TaskSummary) -> float:
    return task.observed_s or 1.0


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds:.4g}")


def _epoch_or_none(text: str | None) -> float | None:
    return epoch_s(text) if text else None
