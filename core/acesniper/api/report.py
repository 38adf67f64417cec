"""What a runner says: its report, in the termination message of its pod, and how far it is."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acesniper.api.names import RUNNER_CONTAINER
from acesniper.domain.prediction import LEAST_S, MOST_S

MOST = 1_000_000_000
"""Inferences that a task may ask for."""
Latency = Annotated[float, Field(ge=LEAST_S, le=MOST_S)]
Took = Annotated[float, Field(ge=0, le=MOST_S)]
"""Anybody's container may say anything: what it says is learned from, and must be a time."""


class Report(BaseModel):
    """Version 1 of the report. Seconds."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int = Field(default=1, ge=1, le=1)
    model: str = ""
    sha256: str = ""
    device: str = ""
    inferences: int = Field(default=0, ge=0, le=MOST)
    latency_median_s: Latency | None = None
    latency_p90_s: Latency | None = None
    fetch_s: Took | None = None
    load_s: Took | None = None
    total_s: Took | None = None


class Progress(BaseModel):
    """What a runner says while it runs: batches done, of all, and the seconds that took."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    done: int = Field(ge=0, le=MOST)
    total: int = Field(ge=1, le=MOST)
    run_s: Took


def parse_progress(content: bytes) -> Progress | None:
    """How far a runner is; None when it says something else."""
    try:
        return Progress.model_validate_json(content)
    except ValidationError:
        return None


def parse(message: str) -> Report | None:
    """The report in a termination message; None when it is none (a user's own container)."""
    try:
        return Report.model_validate_json(message)
    except ValidationError:
        return None


def terminated(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The terminated state of a pod's runner container (or its first), empty if there is none."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    named = [each for each in statuses if each.get("name") == RUNNER_CONTAINER]
    for status in named or statuses:
        state: Mapping[str, Any] = (status.get("state") or {}).get("terminated") or {}
        return state
    return {}
