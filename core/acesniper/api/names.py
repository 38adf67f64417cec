"""Names in the Kubernetes API: group, kinds, labels, annotations, leases and resources."""

from dataclasses import dataclass
from typing import Final

GROUP: Final = "acesniper.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "acesniper.io/v1alpha1"

SCHEDULER_NAME = "ace-sniper"
SLOT_RESOURCE = f"{GROUP}/slot"
"""Extended resource of a node: the number of tasks its devices run at a time."""
PLAN_GATE = f"{GROUP}/plan"
"""Scheduling gate that holds a task's pod until the planner admits it."""

PLANNER_LEASE = "ace-sniper-planner"
"""Lease of the active planner; when it expires, the operator starts tasks without a plan."""

OPERATOR_LEASE = "ace-sniper-operator"
"""Lease of the active operator."""

MODEL_LABEL = f"{GROUP}/model"
"""The ModelProfile that a pod runs; any pod with this label is placed by predicted latency."""
TASK_LABEL = f"{GROUP}/task"
ATTEMPT_LABEL = f"{GROUP}/attempt"

DEVICE_ANNOTATION = f"{GROUP}/device"
"""The device that the planner selected; the runner reads it through the downward API."""
DECISION_ANNOTATION = f"{GROUP}/decision"
"""The planner's decision with the best candidates, as JSON (`acesniper.api.decision`)."""
REFUSED_ANNOTATION = f"{GROUP}/refused"
"""On a gated pod: why no device can meet the deadline; the operator then fails the task."""

MODEL_DIGEST_ANNOTATION = f"{GROUP}/model-sha256"
"""Digest of the model file that a pod runs, as a ModelProfile may be replaced."""
GENERATION_ANNOTATION = f"{GROUP}/generation"
"""Generation of the task's spec from which its pod was created."""

RUNNER_CONTAINER = "runner"
"""The container whose termination message is the task's report."""
PROGRESS_PORT = "progress"
"""Name of the container port that serves the task's progress, if there is one."""
READS_LABEL = f"{GROUP}/reads"
"""On a pod that reads a model's graph: the name of its ModelProfile."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of API object: under which URL path its objects are."""

    prefix: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The URL path of a collection, an object or a subresource."""
        parts = [self.prefix]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [self.plural, name, subresource]
        return "/".join(part for part in parts if part)


PODS = Kind("/api/v1", "pods")
NODES = Kind("/api/v1", "nodes", namespaced=False)
EVENTS = Kind("/api/v1", "events")
CONFIG_MAPS = Kind("/api/v1", "configmaps")
LEASES = Kind("/apis/coordination.k8s.io/v1", "leases")
VOLUME_CLAIMS = Kind("/api/v1", "persistentvolumeclaims")
PERSISTENT_VOLUMES = Kind("/api/v1", "persistentvolumes", namespaced=False)
STORAGE_CLASSES = Kind("/apis/storage.k8s.io/v1", "storageclasses", namespaced=False)
PRIORITY_CLASSES = Kind("/apis/scheduling.k8s.io/v1", "priorityclasses", namespaced=False)
INFERENCE_TASKS = Kind(f"/apis/{API_VERSION}", "inferencetasks")
MODEL_PROFILES = Kind(f"/apis/{API_VERSION}", "modelprofiles")
DEVICE_PROFILES = Kind(f"/apis/{API_VERSION}", "deviceprofiles", namespaced=False)
