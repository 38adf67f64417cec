"""A placement decision with its reasons: in a pod's annotation and from `/explain`."""

from collections.abc import Mapping, Sequence

from pydantic import Field, ValidationError

from acesniper.api.units import duration_text
from acesniper.api.v1alpha1 import ApiType, Seconds, TaskCandidate, TaskDecision
from acesniper.domain.prediction import FinishEstimate
from acesniper.domain.task import TaskKey


class Candidate(TaskCandidate):
    """A candidate device with each term of its finish estimate, in seconds."""

    @classmethod
    def of(cls, completion: FinishEstimate) -> "Candidate":
        """Convert a finish estimate of the plan."""
        return cls(
            device=completion.device.id,
            node=completion.device.node,
            latency_seconds=completion.prediction.latency_s,
            low_seconds=completion.prediction.low_s,
            high_seconds=completion.prediction.high_s,
            source=completion.prediction.source,
            inferences=completion.inferences,
            backlog_seconds=completion.backlog_s,
            cold_start_seconds=completion.cold_start_s,
            transfer_seconds=completion.transfer_s,
            run_seconds=completion.run_s,
            finish_seconds=completion.finish_s,
        )

    def sentence(self) -> str:
        """The terms and their sum as text."""
        terms = [
            ("backlog", self.backlog_seconds),
            ("cold start", self.cold_start_seconds),
            ("transfer", self.transfer_seconds),
        ]
        shown = [f"{name} {duration_text(value)}" for name, value in terms if value > 0]
        shown.append(f"{self.inferences} x {duration_text(self.latency_seconds)}")
        return f"{self.node} {duration_text(self.finish_seconds)} ({' + '.join(shown)})"


class Decision(ApiType):
    """The decision of the planner about a pod, with the candidates, best first.

    `answered` is the node in the response to `/filter`; `refused` are the reasons of infeasible
    devices.
    """

    task: str = ""
    decided_at: Seconds
    policy: str
    candidates: list[Candidate] = Field(default_factory=list)
    pulls_image: bool = False
    fetches_model: bool = False
    refused: dict[str, str] = Field(default_factory=dict)
    answered: str | None = None

    @classmethod
    def of(
        cls,
        task: TaskKey,
        candidates: Sequence[FinishEstimate],
        now_s: float,
        policy: str,
        refused: Mapping[str, str],
    ) -> "Decision":
        """The decision to admit a task now, to the first of its candidates."""
        return cls(
            task=task,
            decided_at=now_s,
            policy=policy,
            candidates=[Candidate.of(candidate) for candidate in candidates],
            refused=dict(refused),
        )

    @classmethod
    def read(cls, text: str | None) -> "Decision | None":
        """The decision in an annotation; None if it is missing or malformed."""
        try:
            decision = cls.model_validate_json(text or "")
        except ValidationError:
            return None
        return decision if decision.candidates else None

    def record(self) -> TaskDecision:
        """The decision for the status of the task."""
        return TaskDecision.model_validate(self.model_dump())

    def sentence(self) -> str:
        """The selected candidate and the next best as text."""
        if not self.candidates:
            return "no prediction; placed as the stock scheduler would"
        best, *others = (candidate.sentence() for candidate in self.candidates)
        return f"{best}" + (f"; then {', '.join(others)}" if others else "")
