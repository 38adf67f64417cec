"""All that a decision about a task looks at."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from acesniper.api.objects import PodView
from acesniper.api.reasons import Notice
from acesniper.api.v1alpha1 import DeviceProfile, InferenceTask, InferenceTaskStatus, ModelProfile
from acesniper.operator.task.volumes import NodeCache

UnschedulableReasons = MutableMapping[tuple[object, ...], tuple[float, str | None]]
"""By demand: when somebody looked for a device that could take it, and why there was none."""


@dataclass(frozen=True, slots=True)
class TaskSnapshot:
    """All that is known of a task at `now_s`.

    `pods` are the pods it owns, by name, as (view, object). `models` finds a ModelProfile of its
    namespace. `may_queue` says that its turn is near enough for a gated pod. `nodes` and `devices`
    are those of the cluster; without `nodes`, no node is missed. A container that cannot be started
    is given `start_patience_s`. `nowhere` remembers what other tasks found a moment ago.
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
    nowhere: UnschedulableReasons = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Action:
    """The way from what is to what should be; done in the order of the fields.

    `confirm_gone` names a pod that must really be gone (asked of the API server, not of a watch
    that may be late) before the rest is done. `learn_memory` is a model and the bytes it needs at
    least. `by_force` deletes the pod without waiting for its node. `look_again_s` asks for another
    look later.
    """

    status: InferenceTaskStatus
    confirm_gone: str | None = None
    create_model: dict[str, Any] | None = None
    learn_memory: tuple[str, int] | None = None
    delete_pod: PodView | None = None
    by_force: bool = False
    create_pod: dict[str, Any] | None = None
    notices: tuple[Notice, ...] = field(default=())
    delete_task: bool = False
    look_again_s: float | None = None
