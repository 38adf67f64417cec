"""Tasks as a list, and how well the finished ones were predicted."""

from collections import Counter
from collections.abc import Sequence
from math import exp, log
from statistics import median
from typing import Any

from acesniper.extender.page.tasks import TaskSummary

Json = dict[str, Any]


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
