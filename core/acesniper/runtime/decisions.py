"""The current decision about a task: from its pod while there is one, otherwise from its status."""

from acesniper.api.decision import Decision
from acesniper.api.names import PODS
from acesniper.api.objects import PodView
from acesniper.api.v1alpha1 import FINISHED, InferenceTask
from acesniper.runtime.client import Cluster


async def decision_about(cluster: Cluster, task: InferenceTask) -> Decision | None:
    """The decision in the annotation of the pod, which is newer, or the one in the status."""
    if task.status.pod and task.status.phase not in FINISHED:
        pod = await cluster.get(PODS, task.status.pod, task.metadata["namespace"])
        from_pod = Decision.read(PodView.of(pod).decision) if pod else None
        if from_pod is not None:
            return from_pod
    recorded = task.status.decision
    return Decision.model_validate(recorded.model_dump()) if recorded else None
