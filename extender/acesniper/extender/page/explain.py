"""Why a task is where it is: the terms of each candidate, and where it stands."""

from acesniper.api import convert
from acesniper.api.names import INFERENCE_TASKS
from acesniper.api.objects import Json, namespaced_key
from acesniper.api.v1alpha1 import InferenceTask, Phase
from acesniper.domain.task import TaskKey
from acesniper.extender.planner import Planner
from acesniper.runtime.client import Cluster
from acesniper.runtime.decisions import decision_about

STATUS_FIELDS = {
    "phase",
    "message",
    "node",
    "device",
    "attempts",
    "predicted",
    "observed",
    "error_ratio",
}


async def explain(cluster: Cluster, planner: Planner, namespace: str, name: str) -> Json | None:
    """The task as the API server has it now, with its decision; None if there is no such task.

    Raises:
        Unavailable: the API server does not answer.
    """
    manifest = await cluster.get(INFERENCE_TASKS, name, namespace)
    if manifest is None:
        return None
    task = convert.parse_resource(InferenceTask, manifest)
    decision = await decision_about(cluster, task)
    status = task.status.model_dump(
        by_alias=True, mode="json", exclude_none=True, include=STATUS_FIELDS
    )
    found: Json = {
        "task": namespaced_key(namespace, name),
        "createdAt": task.metadata.get("creationTimestamp"),
        "inferences": task.spec.inferences,
        "deadline": task.spec.deadline,
        "model": task.status.model_profile or task.spec.model,
        **status,
        "phase": task.status.phase or Phase.PENDING,
    }
    if decision is not None:
        found["decision"] = decision.record().model_dump(by_alias=True, mode="json")
        found["text"] = decision.sentence()
    elif (planned := _planned(planner, TaskKey(namespaced_key(namespace, name)))) is not None:
        found["planned"] = planned
    return found


def _planned(planner: Planner, task: TaskKey) -> Json | None:
    """Where the plan wants it, while it waits."""
    for place, each in enumerate(planner.plan.planned):
        if each.task.key == task:
            return {
                "device": each.device.id,
                "node": each.device.node,
                "startsInSeconds": round(each.start_s, 2),
                "busySeconds": round(each.busy_s, 2),
                "before": place,
            }
    return None
