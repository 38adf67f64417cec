"""Explanation of one task: its state, and the terms of each candidate device."""

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
    """Return a task as the API server has it now, with its decision; None if it does not exist.

    Raises:
        Unavailable: the API server does not respond.
    """
    manifest = await cluster.get(INFERENCE_TASKS, name, namespace)
    if manifest is None:
        return None
    key = namespaced_key(namespace, name)
    task = convert.parse_resource(InferenceTask, manifest)
    decision = await decision_about(cluster, task)
    status = task.status.model_dump(
        by_alias=True, mode="json", exclude_none=True, include=STATUS_FIELDS
    )
    explanation: Json = {
        "task": key,
        "createdAt": task.metadata.get("creationTimestamp"),
        "inferences": task.spec.inferences,
        "deadline": task.spec.deadline,
        "model": task.status.model_profile or task.spec.model,
        **status,
        "phase": task.status.phase or Phase.PENDING,
    }
    if decision is not None:
        explanation["decision"] = decision.record().model_dump(by_alias=True, mode="json")
        explanation["text"] = decision.sentence()
    elif (planned := _planned(planner, TaskKey(key))) is not None:
        explanation["planned"] = planned
    if decision is None and (reason := planner.waiting_reason(TaskKey(key))) is not None:
        explanation["waiting"] = reason
    return explanation


def _planned(planner: Planner, task: TaskKey) -> Json | None:
    """Where the plan has a pending task."""
    for position, planned in enumerate(planner.plan.planned):
        if planned.task.key == task:
            return {
                "device": planned.device.id,
                "node": planned.device.node,
                "startsInSeconds": round(planned.start_s, 2),
                "busySeconds": round(planned.busy_s, 2),
                "before": position,
            }
    return None
