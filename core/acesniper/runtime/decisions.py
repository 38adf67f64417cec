"""Where the decision about a task is found: on its pod while there is one, then in its status."""

from acesniper.api.decision import Decision
from acesniper.api.names import PODS
from acesniper.api.objects import PodView
from acesniper.api.v1alpha1 import FINISHED, InferenceTask
from acesniper.runtime.client import Cluster


async def decision_about(cluster: Cluster, task: InferenceTask) -> Decision | None:
    """What its pod carries, which is the newest, else what its status keeps."""
    if task.status.pod and task.status.phase not in FINISHED:
        pod = await cluster.get(PODS, task.status.pod, task.metadata["namespace"])
        fresh = Decision.read(PodView.of(pod).decision) if pod else None
        if fresh is not None:
            return fresh
    kept = task.status.decision
    return Decision.model_validate(kept.model_dump()) if kept else None
