"""What the page keeps of each task: a few words and numbers, and the newest that finished."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acesniper.api.units import epoch_s
from acesniper.runtime.client import Object
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
    def of(cls, manifest: Object) -> "Sighting":
        """Read a task as the API server wrote it."""
        metadata, spec = manifest["metadata"], manifest.get("spec") or {}
        status: Mapping[str, Any] = manifest.get("status") or {}
        expected, seen = status.get("predicted") or {}, status.get("observed") or {}
        return cls(
            task=f"{metadata['namespace']}/{metadata['name']}",
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

    def take(self, change: str, manifest: Object) -> None:
        """A task was made, changed or is gone."""
        if change == DELETE:
            # Found missing in a list, it comes with nothing but its name and its UID.
            metadata = manifest["metadata"]
            self.tasks.pop(f"{metadata['namespace']}/{metadata['name']}", None)
            self._told.discard(str(metadata["uid"]))
            return
        seen = TaskSummary.of(manifest)
        self.tasks[seen.task] = seen
        if seen.compared and seen.uid not in self._told:
            self._told.add(seen.uid)
            self.finished.append(seen)


def _when(text: str | None) -> float | None:
    return epoch_s(text) if text else None
