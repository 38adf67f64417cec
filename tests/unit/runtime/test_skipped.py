"""Warning events about objects that are skipped."""

import asyncio
from contextlib import suppress

from acesniper.api.names import EVENTS, INFERENCE_TASKS
from acesniper.api.objects import Json
from acesniper.domain.errors import InvalidInput
from acesniper.runtime.events import EventRecorder
from acesniper.runtime.skipped import DELETE, UPSERT, SkippedObjects
from builders import make_itask
from fake_cluster import FakeCluster
from virtual_time import in_virtual_time


def reject(change: str, obj: Json) -> None:
    if change == UPSERT:
        raise InvalidInput("spec.inferences: not a number")


class Replica:
    """A replica that skips a task, and reports it while it leads."""

    def __init__(self) -> None:
        self.cluster, self.skipped, self.leads = FakeCluster(), SkippedObjects(), False
        self.task = make_itask("t")
        self.task["metadata"]["uid"] = "u"

    def deliver(self, change: str) -> None:
        self.skipped.deliver(INFERENCE_TASKS, reject, change, self.task)

    async def report(self) -> list[Json]:
        events = EventRecorder(self.cluster, "test")
        running = asyncio.create_task(
            self.skipped.report(events.record, lambda: 0.0, may_act=lambda: self.leads)
        )
        await asyncio.sleep(0.001)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        return self.cluster.all(EVENTS)


@in_virtual_time
async def test_a_skipped_object_is_named_in_one_warning_event() -> None:
    replica = Replica()
    replica.leads = True
    for _ in range(3):
        replica.deliver(UPSERT)

    (event,) = await replica.report()

    assert (event["type"], event["reason"]) == ("Warning", "Unreadable")
    assert event["message"] == "spec.inferences: not a number"
    assert event["involvedObject"]["name"] == "t"


@in_virtual_time
async def test_a_replica_reports_what_it_skipped_before_it_became_the_leader() -> None:
    replica = Replica()
    replica.deliver(UPSERT)
    assert await replica.report() == []

    replica.leads = True
    replica.skipped.report_again()

    assert len(await replica.report()) == 1


@in_virtual_time
async def test_an_object_that_is_gone_is_not_reported() -> None:
    replica = Replica()
    replica.deliver(UPSERT)
    replica.deliver(DELETE)
    replica.leads = True
    replica.skipped.report_again()

    assert await replica.report() == []
    assert replica.skipped.count("inferencetasks") == 0
