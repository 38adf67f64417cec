"""Input and output of a decision about a task: `TaskSnapshot` and `Action`."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from acesniper.api.objects import PodView
from acesniper.api.pod_rules import rules_by_node
from acesniper.api.reasons import Notice
from acesniper.api.v1alpha1 import DeviceProfile, InferenceTask, InferenceTaskStatus, ModelProfile
from acesniper.domain.device import NodeName
from acesniper.domain.scheduling_rules import NodeRules
from acesniper.operator.task.volumes import POD_DEFAULTS, NodeCache, PodDefaults
from acesniper.policies.feasibility import VolumeRules

UnschedulableReasons = MutableMapping[tuple[object, ...], tuple[float, str | None]]
"""Cache by demand: when it was computed, and why no device can take such a task."""


@dataclass(frozen=True, slots=True)
class TaskSnapshot:
    """State of the cluster that a decision about one task depends on, at `now_s`.

    `pods` are the pods that the task owns, by name, as (view, manifest). `models` are the
    ModelProfiles of its namespace, by name. `may_queue` is True while the task is inside the
    admission window. With `nodes` None, no node counts as lost. `start_patience_s` is how long a
    container may fail to start. `unschedulable` is shared by all tasks. `max_task_s` is the longest
    predicted run of a task; 0: no limit. A run is ended after `run_limit_factor` times the upper
    end of its prediction, but not before `run_limit_floor_s`; 0: no limit.
    """

    task: InferenceTask
    pods: Mapping[str, tuple[PodView, Mapping[str, Any]]]
    models: Mapping[str, ModelProfile]
    may_queue: bool
    now_s: float
    image: str
    nodes: Mapping[str, Mapping[str, Any]] | None = None
    devices: Mapping[str, DeviceProfile] = field(default_factory=dict)
    start_patience_s: float = 300.0
    cache: NodeCache | None = None
    volumes: VolumeRules | None = None
    unschedulable: UnschedulableReasons = field(default_factory=dict)
    max_task_s: float = 0.0
    run_limit_factor: float = 0.0
    run_limit_floor_s: float = 0.0
    defaults: PodDefaults = POD_DEFAULTS

    def node_rules(self) -> dict[NodeName, NodeRules]:
        """What kube-scheduler's filters read of each node."""
        return rules_by_node(self.nodes or {})


@dataclass(frozen=True, slots=True)
class Action:
    """What the reconciler has to do, in the order of the fields; `status` is written last.

    Attributes:
        confirm_gone: Pod that must not exist in the API server (the watch may be late) before the
            rest is done.
        learn_memory: A model and the bytes of memory that it needs at least.
        force: Delete the pod without waiting for its kubelet.
        requeue_after_s: Seconds until the next decision, if no event comes before.
    """

    status: InferenceTaskStatus
    confirm_gone: str | None = None
    create_model: dict[str, Any] | None = None
    learn_memory: tuple[str, int] | None = None
    delete_pod: PodView | None = None
    force: bool = False
    create_pod: dict[str, Any] | None = None
    notices: tuple[Notice, ...] = field(default=())
    delete_task: bool = False
    requeue_after_s: float | None = None
