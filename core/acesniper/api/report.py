"""What a runner says: its report, in the termination message of its pod, and how far it is."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acesniper.api.names import RUNNER_CONTAINER
from acesniper.domain.prediction import MAX_LATENCY_S, MIN_LATENCY_S

MAX_INFERENCES = 1_000_000_000
"""Inferences that a task may ask for."""
LatencySeconds = Annotated[float, Field(ge=MIN_LATENCY_S, le=MAX_LATENCY_S)]
Elapsed = Annotated[float, Field(ge=0, le=MAX_LATENCY_S)]
"""Anybody's container may say anything: what it says is learned from, and must be a time."""


class RunnerReport(BaseModel):
    """Version 1 of the report. Seconds."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int = Field(default=1, ge=1, le=1)
    model: str = ""
    sha256: str = ""
    device: str = ""
    inferences: int = Field(default=0, ge=0, le=MAX_INFERENCES)
    latency_median_s: LatencySeconds | None = None
    latency_p90_s: LatencySeconds | None = None
    fetch_s: Elapsed | None = None
    load_s: Elapsed | None = None
    total_s: Elapsed | None = None


class RunnerProgress(BaseModel):
    """What a runner says while it runs: batches done, of all, and the seconds that took."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    done: int = Field(ge=0, le=MAX_INFERENCES)
    total: int = Field(ge=1, le=MAX_INFERENCES)
    run_s: Elapsed


def parse_progress(content: bytes) -> RunnerProgress | None:
    """How far a runner is; None when it says something else."""
    try:
        return RunnerProgress.model_validate_json(content)
    except ValidationError:
        return None


def parse_report(message: str) -> RunnerReport | None:
    """The report in a termination message; None when it is none (a user's own container)."""
    try:
        return RunnerReport.model_validate_json(message)
    except ValidationError:
        return None


def terminated_state(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The terminated state of a pod's runner container (or its first), empty if there is none."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    named = [each for each in statuses if each.get("name") == RUNNER_CONTAINER]
    for status in named or statuses:
        state: Mapping[str, Any] = (status.get("state") or {}).get("terminated") or {}
        return state
    return {}
