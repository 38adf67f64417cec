"""All that a decision about a task looks at."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from acesniper.api.objects import PodView
from acesniper.api.v1alpha1 import DeviceProfile, InferenceTask, ModelProfile
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
