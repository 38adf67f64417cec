"""What reconciling a task comes to: the status it should have, and what to do in the cluster."""

from dataclasses import dataclass, field
from typing import Any

from acesniper.api.objects import PodView
from acesniper.api.reasons import Notice
from acesniper.api.v1alpha1 import InferenceTaskStatus


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
