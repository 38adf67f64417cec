"""Hypothesis strategies for objects of the domain."""

from hypothesis import strategies as st

from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import PodUid, Reservation
from acesniper.domain.task import Task
from acesniper.policies.estimates import FleetSnapshot
from builders import make_device, make_snapshot, make_task

NAMES = ("a", "b", "c", "d", "e")
MODELS = ("m1", "m2")

seconds = st.floats(0.001, 1e6)


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    """Floats without subnormal numbers.

    An inference runtime used by another test may have disabled subnormals in this process, and
    hypothesis then fails to draw them.
    """
    return st.floats(low, high, allow_subnormal=False)


device_ids = st.sampled_from(NAMES).map(DeviceId)
pod_uids = st.integers(0, 20).map(lambda number: PodUid(f"pod-{number}"))
dns_names = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", fullmatch=True)


@st.composite
def reservations(draw: st.DrawFn) -> Reservation:
    started_s = draw(st.none() | seconds)
    expires_s = draw(st.none() | seconds) if started_s is None else None
    return Reservation(draw(device_ids), draw(seconds), started_s, expires_s)


@st.composite
def snapshots(draw: st.DrawFn) -> FleetSnapshot:
    """Fleets of up to five devices, some busy, some without predictions."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5))
    devices = [
        make_device(
            name,
            slots=draw(st.integers(1, 3)),
            provider=draw(st.sampled_from(["cpu", "cuda"])),
            schedulable=draw(st.booleans()),
        )
        for name in names
    ]
    latencies = st.dictionaries(st.sampled_from(names), seconds) if names else st.just({})
    latency = {model: draw(latencies) for model in MODELS}
    busy = {name: draw(st.lists(seconds, max_size=4)) for name in names}
    return make_snapshot(devices, latency, busy)


@st.composite
def task_lists(draw: st.DrawFn, max_size: int = 12) -> list[Task]:
    """Waiting tasks with distinct names."""
    return [
        make_task(
            f"default/t{number:02}",
            f"default/{draw(st.sampled_from(MODELS))}",
            created_s=draw(floats(-100, 0)),
            inferences=draw(st.integers(1, 1000)),
            providers=draw(st.frozensets(st.sampled_from(["cpu", "cuda"]))),
            deadline_s=draw(st.none() | seconds),
            reject_late=draw(st.booleans()),
            priority=draw(st.integers(0, 2)),
        )
        for number in range(draw(st.integers(0, max_size)))
    ]
