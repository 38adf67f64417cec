"""Which pods are polled for progress, how often, and what is written."""

from typing import Any

import pytest

from acesniper.api.messages import RunnerProgress
from acesniper.api.names import INFERENCE_TASKS
from acesniper.api.v1alpha1 import InferenceTask
from acesniper.domain.errors import Conflict
from acesniper.operator.cache import ObjectCache
from acesniper.operator.progress import MAX_PAUSE_S, ProgressFollower, ask_pod
from acesniper.probe.progress import ProgressServer as Runner
from builders import make_itask, make_pod
from fake_cluster import Call, FakeCluster
from virtual_time import Clock

URL = "http://10.0.0.7:8786/"


class World:
    """A running task and the answer of its pod."""

    def __init__(self, *, port: str = "progress", phase: str = "Running") -> None:
        self.cluster, self.store, self.clock = FakeCluster(), ObjectCache(), Clock(0.0)
        task = make_itask("t", status={"phase": "Running", "podUid": "uid-p"}, inferences=100)
        self.cluster.put(INFERENCE_TASKS, task)
        pod = make_pod("p", task="t", uid="uid-p", phase=phase)
        owner = [{"uid": task["metadata"]["uid"]}]
        pod["metadata"]["ownerReferences"] = owner
        pod["spec"]["containers"] = [{"ports": [{"name": port, "containerPort": 8786}]}]
        pod["status"]["podIP"] = "10.0.0.7"
        self.store.upsert_pod(pod)
        self.asked: list[str] = []
        self.done: int | None = 40
        self.see()
        self.follower = ProgressFollower(self.cluster, self.store, self.clock, 5.0, ask=self.answer)

    def see(self) -> None:
        self.store.upsert_task(self.cluster.one(INFERENCE_TASKS, "t", "default"))

    async def answer(self, url: str) -> RunnerProgress | None:
        self.asked.append(url)
        return None if self.done is None else RunnerProgress(done=self.done, total=100, run_s=2.0)

    async def round(self, at_s: float) -> None:
        self.clock.now_s = at_s
        await self.follower.round()

    @property
    def written(self) -> list[str]:
        return [call.name for call in self.cluster.calls if call.verb == "patch"]

    @property
    def task(self) -> InferenceTask:
        return InferenceTask.model_validate(self.cluster.one(INFERENCE_TASKS, "t", "default"))


async def test_a_running_task_shows_its_progress() -> None:
    world = World()

    await world.round(5.0)
    await world.round(10.0)

    assert world.asked == [URL]
    progress = world.task.status.progress
    assert progress is not None
    assert (progress.text, progress.done, progress.total) == ("40/100", 40, 100)
    assert progress.run_seconds == 2.0


async def test_unchanged_progress_is_not_written() -> None:
    world = World()

    for at_s in (5.0, 10.0, 15.0, 20.0):
        await world.round(at_s)

    assert len(world.asked) == 3
    assert len(world.written) == 1


async def test_a_pod_is_polled_at_the_configured_interval() -> None:
    world = World()

    for at_s in (5.0, 10.0, 11.0, 12.0, 14.9):
        await world.round(at_s)

    assert len(world.asked) == 1


async def test_a_pod_that_does_not_answer_is_polled_with_back_off() -> None:
    world = World()
    world.done = None

    for at_s in range(5, 1000, 5):
        await world.round(float(at_s))

    assert world.written == []
    assert 8 <= len(world.asked) <= 5 + 1000 / MAX_PAUSE_S + 1


@pytest.mark.parametrize(
    "world",
    [
        pytest.param({"port": "http"}, id="says nothing"),
        pytest.param({"phase": "Pending"}, id="not running"),
        pytest.param({"phase": "Succeeded"}, id="ended"),
    ],
)
async def test_other_pods_are_not_polled(world: dict[str, Any]) -> None:
    made = World(**world)

    await made.round(5.0)
    await made.round(10.0)

    assert made.asked == []


async def test_a_task_that_changed_meanwhile_is_not_written() -> None:
    world = World()
    await world.round(5.0)
    world.cluster.change(INFERENCE_TASKS, "t", "default", {"status": {"phase": "Succeeded"}})

    await world.round(10.0)

    assert world.task.status.progress is None
    assert world.task.status.phase == "Succeeded"


async def test_a_failed_write_is_retried_in_the_next_round() -> None:
    world = World()

    def fail(call: Call) -> None:
        if call.verb == "patch":
            raise Conflict("changed")

    world.cluster.before = fail
    for at_s in (5.0, 10.0):
        await world.round(at_s)
    world.cluster.before = lambda call: None
    await world.round(15.0)

    assert world.task.status.progress is not None


async def test_the_runner_and_the_operator_use_the_same_format() -> None:
    runner = Runner(total=10)
    runner(0)
    runner(3)

    with runner.served(0) as port:
        answer = await ask_pod(f"http://127.0.0.1:{port}/")

    assert answer is not None
    assert (answer.done, answer.total) == (3, 10)


async def test_an_invalid_answer_is_ignored(unused_tcp_port: int) -> None:
    assert await ask_pod(f"http://127.0.0.1:{unused_tcp_port}/") is None
