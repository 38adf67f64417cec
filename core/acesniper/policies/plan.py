"""The plan: which waiting task goes to which device, and when it should start.

Tasks are taken in order; each gets the device that its placement rule prefers, behind what runs
there and what the plan gave it before. A task whose best device is busy is *held back* for it
instead of starting at once on a slow, idle one. The plan is made anew at every event, so it is a
pure function of what is known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from statistics import median

from acesniper.domain.completion import Completion, Verdict
from acesniper.domain.device import Device, DeviceId
from acesniper.domain.fleet import Snapshot
from acesniper.domain.prediction import Prediction
from acesniper.domain.task import ModelKey, Task
from acesniper.policies.feasibility import judge, misses_deadline
from acesniper.policies.order import ORDERS, in_order
from acesniper.policies.placement import PLACEMENTS, ranked

LATE = "the deadline"
NEUTRAL_SPREAD = 10.0
"""Half-width, as a factor, of the interval of a prediction nobody could make."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Names of an order and a placement rule, and how many candidates a decision keeps."""

    order: str = "fcfs"
    placement: str = "mct"
    candidates_kept: int = 3

    def __post_init__(self) -> None:
        for field_name, value, known in (
            ("order", self.order, ORDERS),
            ("placement", self.placement, PLACEMENTS),
        ):
            if value not in known:
                raise ValueError(
                    f"policy {field_name} {value!r} is unknown; use one of {list(known)}"
                )


@dataclass(frozen=True, slots=True)
class Planned:
    """A task on a device: the chosen candidate first, the next best behind it."""

    task: Task
    candidates: tuple[Completion, ...]

    @property
    def chosen(self) -> Completion:
        """The candidate that was chosen."""
        return self.candidates[0]

    @property
    def starts_now(self) -> bool:
        """Whether a slot of the device is free for it at this moment."""
        return self.chosen.backlog_s <= 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Every waiting task, either planned, or not with the verdict on each device."""

    planned: tuple[Planned, ...] = ()
    unplanned: Mapping[str, Mapping[DeviceId, Verdict]] = field(default_factory=dict)


def neutral(latency: Mapping[DeviceId, Prediction]) -> Prediction:
    """What to expect where no prediction exists: the median of the other devices, very wide."""
    middle_s = median(each.latency_s for each in latency.values()) if latency else 1.0
    return Prediction(middle_s, middle_s / NEUTRAL_SPREAD, middle_s * NEUTRAL_SPREAD, "neutral")


def candidates_for(
    task: Task, snapshot: Snapshot, slots: Mapping[DeviceId, list[float]]
) -> tuple[list[Completion], dict[DeviceId, Verdict]]:
    """Every device that can take the task with the terms of its finish, and why others cannot."""
    known = snapshot.latency.get(task.model, {})
    fallback: Prediction | None = None
    found: list[Completion] = []
    refused: dict[DeviceId, Verdict] = {}
    for device in snapshot.devices.values():
        verdict = judge(task, device, snapshot)
        if not verdict.feasible:
            refused[device.id] = verdict
            continue
        prediction = known.get(device.id)
        if prediction is None:
            prediction = fallback = fallback or neutral(known)
        candidate = Completion(
            device, prediction, task.inferences, slots[device.id][0], snapshot.cold_start_s
        )
        if misses_deadline(task, candidate, snapshot.now_s):
            text = f"would finish {candidate.finish_s:.1f} s from now, after {LATE}"
            refused[device.id] = Verdict(False, text, lasting=True)
            continue
        found.append(candidate)
    return found, refused


def make_plan(
    tasks: Iterable[Task], snapshot: Snapshot, policy: Policy, behind: Iterable[Task] = ()
) -> Plan:
    """Plan all waiting tasks. O(tasks x devices).

    Those `behind` cannot start yet, whatever is free: they are planned after all others, so that
    no device stands idle for them.
    """
    order, placement = ORDERS[policy.order], PLACEMENTS[policy.placement]
    slots = {each.id: snapshot.slot_free_s(each) for each in snapshot.devices.values()}
    planned: list[Planned] = []
    unplanned: dict[str, Mapping[DeviceId, Verdict]] = {}
    in_turn = (in_order(each, order, snapshot.now_s) for each in (tasks, behind))
    for task in chain.from_iterable(in_turn):
        candidates, refused = candidates_for(task, snapshot, slots)
        if not candidates:
            unplanned[task.key] = refused
            continue
        best = ranked(candidates, placement)[: policy.candidates_kept]
        planned.append(Planned(task, tuple(best)))
        _occupy(slots[best[0].device.id], best[0])
    return Plan(tuple(planned), unplanned)


def _occupy(slots: list[float], chosen: Completion) -> None:
    slots[0] = chosen.finish_s
    slots.sort()


def rank_devices(
    model: ModelKey, devices: Iterable[Device], snapshot: Snapshot, inferences: int = 1
) -> list[Completion]:
    """Rank devices for a pod that was not planned, such as a long-running server: best first."""
    known = snapshot.latency.get(model, {})
    candidates = [
        Completion(
            device,
            known.get(device.id) or neutral(known),
            inferences,
            snapshot.slot_free_s(device)[0],
        )
        for device in devices
    ]
    return ranked(candidates, PLACEMENTS["mct"])
