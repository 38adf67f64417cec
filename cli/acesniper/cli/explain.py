"""`acesniper explain`: the terms of a placement decision, and the observed result."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from acesniper.cli.connection import (
    Connection,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
)
from acesniper.cli.extender_client import ExtenderOption
from acesniper.cli.namespaces import fetch_reason
from acesniper.cli.options import JsonOption
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from rich.table import Table

    from acesniper.api.decision import Decision
    from acesniper.api.v1alpha1 import InferenceTask
    from acesniper.runtime.client import Cluster

MIN_SHOWN_S = 1e-4
"""Shorter terms are shown as a dash."""
STATUS_FIELDS = ("phase", "message", "node", "device", "predicted", "observed", "errorRatio")


@dataclass(frozen=True, slots=True)
class ExplainedTask:
    """A task, and the decision on its last pod, if any."""

    task: "InferenceTask"
    decision: "Decision | None"
    waiting: str | None = None
    """Why it does not start yet, if the extender knows it."""

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.task.metadata['namespace']}/{self.task.metadata['name']}"

    @property
    def queued(self) -> bool:
        """Whether it waits for a device."""
        from acesniper.api.v1alpha1 import Phase

        return self.task.status.phase is Phase.QUEUED and self.decision is None


def command(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Name of an InferenceTask.")],
    namespace: NamespaceOption = None,
    extender: ExtenderOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """Show why a task was placed on its device: the terms of the best devices' finish times.

    Works while the task is pending or runs, and until it is deleted.

    Example:
      acesniper explain nightly-report -n vision
    """
    connection = Connection(kubeconfig, context)

    async def fetch_all(cluster: "Cluster") -> ExplainedTask:
        explained = await fetch_explained(cluster, task, namespace)
        if not explained.queued:
            return explained
        reason = await fetch_reason(cluster, connection, explained.key, extender)
        return replace(explained, waiting=reason)

    explained = connection.run(fetch_all)

    from acesniper.cli.console import out, print_json, print_table

    if json:
        print_json(explained_record(explained))
        return
    out().print(summary(explained), soft_wrap=True)
    if explained.decision is not None:
        print_table(candidate_table(explained.decision))
        for device, reason in explained.decision.refused.items():
            out().print(f"not on {device}: {reason}", highlight=False, soft_wrap=True)


async def fetch_explained(cluster: "Cluster", name: str, namespace: str | None) -> ExplainedTask:
    """The task and its decision, from its pod or from its status.

    Raises:
        InvalidInput: there is no such task.
    """
    from acesniper.api.names import INFERENCE_TASKS

    task_namespace = namespace or cluster.namespace
    manifest = await cluster.get(INFERENCE_TASKS, name, task_namespace)
    if manifest is None:
        raise InvalidInput(
            f"InferenceTask {name!r} does not exist in namespace {task_namespace!r};"
            " list all with `kubectl get itask -A`"
        )

    from acesniper.api import convert
    from acesniper.api.v1alpha1 import InferenceTask
    from acesniper.runtime.decisions import decision_about

    task = convert.parse_resource(InferenceTask, manifest)
    return ExplainedTask(task, await decision_about(cluster, task))


def summary(explained: ExplainedTask) -> str:
    """The phase of the task, the prediction and the observed result, one line each."""
    from acesniper.api.v1alpha1 import Phase

    status = explained.task.status
    # After a success the message only repeats the observed result.
    succeeded = status.phase is Phase.SUCCEEDED and status.observed
    message = "" if succeeded else status.message or ""
    lines = [f"{explained.key}: {status.phase or Phase.PENDING}. {message}".rstrip()]
    if status.predicted is not None:
        lines.append(f"predicted {status.predicted.text}, finish {status.predicted.finish_time}")
    if (observed := status.observed) is not None:
        ratio = status.error_ratio
        error = "" if ratio is None else f", error {100 * ratio:.0f} %"
        lines.append(f"observed {observed.text}, finish {observed.finish_time}{error}")
    if explained.waiting is not None:
        lines.append(explained.waiting)
    if explained.decision is None:
        lines.append("no decision yet" if status.node is None else "placed without a prediction")
    return "\n".join(lines)


def candidate_table(decision: "Decision") -> "Table":
    """The candidate devices of a decision, the chosen one first."""
    from rich.table import Table

    from acesniper.api.units import duration_text

    sources = ", ".join(sorted({candidate.source for candidate in decision.candidates}))
    title = f"Policy {decision.policy}, predictor {sources}; times are from the decision on"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("Device")
    for heading in ("Backlog", "Cold start", "Transfer", "Inferences", "Latency", "90 % interval"):
        table.add_column(heading, justify="right")
    table.add_column("Finish", justify="right", style="bold")
    for candidate in decision.candidates:
        device, node = candidate.device, candidate.node
        low, high = map(duration_text, (candidate.low_seconds, candidate.high_seconds))
        table.add_row(
            device if device == node else f"{device} on {node}",
            _term_text(candidate.backlog_seconds),
            _term_text(candidate.cold_start_seconds),
            _term_text(candidate.transfer_seconds),
            f"{candidate.inferences} x",
            duration_text(candidate.latency_seconds),
            f"{low} to {high}",
            duration_text(candidate.finish_seconds),
        )
    return table


def explained_record(explained: ExplainedTask) -> Mapping[str, object]:
    """The same as JSON."""
    status = explained.task.status.model_dump(by_alias=True, mode="json", exclude_none=True)
    record: dict[str, object] = {"task": explained.key}
    record |= {name: status[name] for name in STATUS_FIELDS if name in status}
    if explained.waiting is not None:
        record["waiting"] = explained.waiting
    if explained.decision is not None:
        record["decision"] = explained.decision.record().model_dump(by_alias=True, mode="json")
        record["text"] = explained.decision.sentence()
    return record


def _term_text(seconds: float) -> str:
    from acesniper.api.units import duration_text

    return duration_text(seconds) if seconds >= MIN_SHOWN_S else "-"
