"""The words Ace-Sniper writes into the cluster: group, labels, annotations, resources."""

from dataclasses import dataclass
from typing import Final

GROUP: Final = "acesniper.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "acesniper.io/v1alpha1"

SCHEDULER_NAME = "ace-sniper"
SLOT_RESOURCE = f"{GROUP}/slot"
"""Extended resource of a node: how many tasks its devices run at a time."""
PLAN_GATE = f"{GROUP}/plan"
"""Scheduling gate that holds a task's pod until the planner admits it."""

PLANNER_LEASE = "ace-sniper-planner"
"""The Lease of the planner that may act; the operator stands in when it goes stale."""

OPERATOR_LEASE = "ace-sniper-operator"
"""The Lease of the operator that may act."""

MODEL_LABEL = f"{GROUP}/model"
"""The ModelProfile a pod runs; any pod opts in with it."""
TASK_LABEL = f"{GROUP}/task"
ATTEMPT_LABEL = f"{GROUP}/attempt"

DEVICE_ANNOTATION = f"{GROUP}/device"
"""The device the planner chose; the runner reads it through the downward API."""
DECISION_ANNOTATION = f"{GROUP}/decision"
"""Why there: the best candidates with each term, as JSON (`acesniper.api.decision`)."""
REFUSED_ANNOTATION = f"{GROUP}/refused"
"""Of a gated pod: why no device can take its task in time; the operator then ends the task."""

MODEL_DIGEST_ANNOTATION = f"{GROUP}/model-sha256"
"""The file that a pod runs: a model may be replaced under its name."""
GENERATION_ANNOTATION = f"{GROUP}/generation"
"""The generation of the task's spec that its pod was made from."""

RUNNER_CONTAINER = "runner"
"""The container whose termination message is the task's report."""
PROGRESS_PORT = "progress"
"""The port of that container at which it says how far it is, if it has one of that name."""
READS_LABEL = f"{GROUP}/reads"
"""On a pod that reads a model's graph: the ModelProfile."""


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
PRIORITY_CLASSES = Kind("/apis/scheduling.k8s.io/v1", "priorityclasses", namespaced=False)
INFERENCE_TASKS = Kind(f"/apis/{API_VERSION}", "inferencetasks")
MODEL_PROFILES = Kind(f"/apis/{API_VERSION}", "modelprofiles")
DEVICE_PROFILES = Kind(f"/apis/{API_VERSION}", "deviceprofiles", namespaced=False)
