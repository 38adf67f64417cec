"""Names in the Kubernetes API: group, kinds, labels, annotations, leases and resources."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from acesniper.domain.errors import InvalidInput
from acesniper.domain.foreign_text import bounded_text

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

SLOW_REQUESTS_ANNOTATION = f"{GROUP}/slow-requests"
"""On a Lease that lasts longer as requests are slow: seconds of the slowest recent request."""

MODEL_LABEL = f"{GROUP}/model"
"""The ModelProfile that a pod runs; any pod with this label is placed by predicted latency."""
TASK_LABEL = f"{GROUP}/task"
ATTEMPT_LABEL = f"{GROUP}/attempt"

DEVICE_ANNOTATION = f"{GROUP}/device"
"""The device that the planner selected; the runner reads it through the downward API."""
REPROBE_ANNOTATION = "acesniper.io/reprobe-requested-at"
"""On a DeviceProfile: when drift last requested a probe."""
DECISION_ANNOTATION = f"{GROUP}/decision"
"""The planner's decision with the best candidates, as JSON (`acesniper.api.decision`)."""
DECISION_SIGNATURE_ANNOTATION = f"{GROUP}/decision-signature"
"""Signature of the device and the decision, without which neither counts (`DecisionKey`)."""
REFUSED_ANNOTATION = f"{GROUP}/refused"
"""On a gated pod: why no device can meet the deadline; the operator then fails the task."""

MODEL_DIGEST_ANNOTATION = f"{GROUP}/model-sha256"
"""Digest of the model file that a pod runs, as a ModelProfile may be replaced."""
GENERATION_ANNOTATION = f"{GROUP}/generation"
"""Generation of the task's spec from which its pod was created."""

QUEUE_LABELS = ("kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class")
"""Labels of a task that its pods carry too, so that Kueue queues them where it is installed."""

RUNNER_CONTAINER = "runner"
"""The container whose termination message is the task's report."""
PROGRESS_PORT = "progress"
"""Name of the container port that serves the task's progress, if there is one."""
DERIVED_LABEL = f"{GROUP}/derived"
"""On a ModelProfile that the operator made for tasks: it is deleted once no task uses it."""
READS_LABEL = f"{GROUP}/reads"
"""On a pod that reads a model's graph: the name of its ModelProfile."""


def path_segment(name: str) -> str:
    """A name as one segment of a URL path; it cannot address another object, or a collection.

    Raises:
        InvalidInput: no object can have this name (Kubernetes' `IsValidPathSegmentName`).
    """
    if name in ("", ".", "..") or "/" in name or "%" in name:
        raise InvalidInput(f"{bounded_text(repr(name), 100)} is not the name of an object")
    return quote(name, safe="", errors="replace")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of API object: under which URL path its objects are."""

    prefix: str
    plural: str
    namespaced: bool = True

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str = ""
    ) -> str:
        """The URL path of a collection, of an object, or of one of its subresources.

        Raises:
            InvalidInput: a name that no object can have.
        """
        parts = [self.prefix]
        if self.namespaced and namespace:
            parts += ["namespaces", path_segment(namespace)]
        parts.append(self.plural)
        if name is not None:
            parts.append(path_segment(name))
        return "/".join([*parts, *([subresource] if subresource else ())])


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
