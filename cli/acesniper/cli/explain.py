"""`acesniper explain`: why a task is where it is, with every term, and what came out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from acesniper.api.decision import Decision
from acesniper.api.units import duration_text
from acesniper.api.v1alpha1 import InferenceTask, Phase
from acesniper.cli.connection import (
    Connection,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
)
from acesniper.cli.console import out, print_json, print_wide
from acesniper.cli.options import JsonOption
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from acesniper.runtime.client import Cluster

SHORTEST_S = 1e-4
"""What takes less is not worth a figure."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A task, and the decision about its last pod if there was one."""

    task: InferenceTask
    decision: Decision | None

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.task.metadata['namespace']}/{self.task.metadata['name']}"


def command(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Name of an InferenceTask.")],
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """Show why a task is where it is: the best devices with every term of their finish times.

    Works while the task waits, runs, and as long as it is kept after its end.

    Example:
      acesniper explain nightly-report -n vision
    """
    found = Connection(kubeconfig, context).ask(lambda cluster: ask(cluster, task, namespace))
    if json:
        print_json(record(found))
        return
    out.print(summary(found), soft_wrap=True)
    if found.decision is not None:
        print_wide(table(found.decision))
        for device, reason in found.decision.refused.items():
            out.print(f"not on {device}: {reason}", highlight=False, soft_wrap=True)


async def ask(cluster: "Cluster", name: str, namespace: str | None) -> Explained:
    """The task and its decision: from its pod, or from what its status keeps.

    Raises:
        InvalidInput: there is no such task.
    """
    from acesniper.api import convert
    from acesniper.api.names import INFERENCE_TASKS
    from acesniper.runtime.decisions import decision_about

    where = namespace or cluster.namespace
    manifest = await cluster.get(INFERENCE_TASKS, name, where)
    if manifest is None:
        raise InvalidInput(
            f"there is no InferenceTask {name!r} in namespace {where!r}; see kubectl get itask -A"
        )
    task = convert.parse_resource(InferenceTask, manifest)
    return Explained(task, await decision_about(cluster, task))


def summary(found: Explained) -> str:
    """Where the task stands, what was expected, what came out."""
    status = found.task.status
    # What is said of a success is told by the lines that follow.
    message = "" if status.phase is Phase.SUCCEEDED and status.observed else status.message or ""
    lines = [f"{found.key}: {status.phase or Phase.PENDING}. {message}".rstrip()]
    if status.predicted is not None:
        lines.append(f"predicted {status.predicted.text}, finish {status.predicted.finish_time}")
    if (seen := status.observed) is not None:
        off = "" if status.error_ratio is None else f", off by {100 * status.error_ratio:.0f} %"
        lines.append(f"observed {seen.text}, finish {seen.finish_time}{off}")
    if found.decision is None:
        lines.append("no decision yet" if status.node is None else "placed without a prediction")
    return "\n".join(lines)


def table(found: Decision) -> Table:
    """The candidates, the chosen one first."""
    sources = ", ".join(sorted({each.source for each in found.candidates}))
    title = f"Decided by {found.policy}, predicted by {sources}; from then on it takes"
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False)
    shown.add_column("Device")
    for name in ("Backlog", "Cold start", "Transfer", "Inferences", "Latency", "90 % interval"):
        shown.add_column(name, justify="right")
    shown.add_column("Finish", justify="right", style="bold")
    for each in found.candidates:
        shown.add_row(
            each.device if each.device == each.node else f"{each.device} on {each.node}",
            *map(_term, (each.backlog_seconds, each.cold_start_seconds, each.transfer_seconds)),
            f"{each.inferences} x",
            duration_text(each.latency_seconds),
            f"{duration_text(each.low_seconds)} to {duration_text(each.high_seconds)}",
            duration_text(each.finish_seconds),
        )
    return shown


def record(found: Explained) -> Mapping[str, object]:
    """The same for machines."""
    status = found.task.status.model_dump(by_alias=True, mode="json", exclude_none=True)
    kept = ("phase", "message", "node", "device", "predicted", "observed", "errorRatio")
    shown: dict[str, object] = {"task": found.key}
    shown |= {name: status[name] for name in kept if name in status}
    if found.decision is not None:
        shown["decision"] = found.decision.record().model_dump(by_alias=True, mode="json")
        shown["text"] = found.decision.sentence()
    return shown


def _term(value: float) -> str:
    return duration_text(value) if value >= SHORTEST_S else "-"
