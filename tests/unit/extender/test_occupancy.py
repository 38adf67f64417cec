"""A case that chance seldom meets."""

from acesniper.domain.device import DeviceId
from acesniper.extender.fleet import Fleet
from acesniper.extender.table import LatencyTable
from acesniper.runtime.reflector import UPSERT
from builders import WorkPredictor, make_device_profile, make_node, make_pod
from virtual_time import Clock


def test_a_device_may_be_named_like_its_node() -> None:
    fleet = Fleet(LatencyTable(WorkPredictor()), Clock())
    fleet.take_node(UPSERT, make_node("same"))
    fleet.take_device_profile(UPSERT, make_device_profile("same", "same"))
    running = make_pod(node="same", device="same")

    fleet.take_pod(UPSERT, running)
    busy = fleet.ledger.backlog_s(DeviceId("same"), 0.0)
    fleet.take_pod(UPSERT, {**running, "status": {"phase": "Succeeded"}})

    assert busy > 0.0
    assert len(fleet.ledger) == 0
