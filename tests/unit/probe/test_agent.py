import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest

from acesniper.domain.errors import Unavailable
from acesniper.probe import VERSION
from acesniper.probe.agent import MAX_BACKOFF_S, Agent, Profile, reason_to_measure
from acesniper.probe.suite import VERSION as SUITE_VERSION

CHECK_S = 60.0


class Enough(Exception):
    """Ends the agent's endless loop."""


@dataclass
class World:
    """A cluster with one profile, and a device that can be measured unless it is broken."""

    profile: dict[str, Any] | None = None
    broken: int = 0
    answered: list[str | None] = field(default_factory=list)
    threads: list[int | None] = field(default_factory=list)
    published: int = 0
    waits: list[float] = field(default_factory=list)

    def measure(self, reprobe: str | None, threads: int | None) -> None:
        if self.broken:
            self.broken -= 1
            raise Unavailable("measuring failed")
        self.answered.append(reprobe)
        self.threads.append(threads)
        spec = (self.profile or {}).get("spec", {})
        status: dict[str, Any] = {
            "readings": {"null": {}},
            "suiteVersion": "2",
            "reprobed": reprobe,
            "threads": threads or 4,
        }
        self.profile = {"spec": spec, "status": status}

    def read(self) -> Profile | None:
        return self.profile

    def publish(self) -> None:
        self.published += 1

    def run(self, rounds: int) -> None:
        def wait(seconds: float) -> None:
            self.waits.append(seconds)
            if len(self.waits) == rounds:
                raise Enough

        agent = Agent(
            suite_version="2",
            profile=self.read,
            measure=self.measure,
            published=self.publish,
            check_s=CHECK_S,
        )
        with pytest.raises(Enough):
            agent.run(wait)


def test_a_node_is_measured_once_and_then_checked() -> None:
    world = World()

    world.run(rounds=3)

    assert world.answered == [None]
    assert world.waits == [CHECK_S] * 3
    assert world.published == 3


def test_a_measurement_answers_the_requested_reprobe() -> None:
    world = World({"spec": {"reprobe": "please"}})

    world.run(rounds=2)

    assert world.answered == ["please"]


def test_a_number_of_threads_set_by_a_user_is_measured_once() -> None:
    world = World()
    world.run(rounds=1)
    assert world.profile is not None
    world.profile["spec"] = {"threads": 2}

    world.waits.clear()
    world.run(rounds=3)

    assert world.threads == [None, 2]


def test_failures_back_off_exponentially_and_keep_the_pod_unready() -> None:
    world = World(broken=6)

    world.run(rounds=6)

    assert world.waits == [60, 120, 240, 480, MAX_BACKOFF_S, MAX_BACKOFF_S]
    assert world.published == 0


def test_the_back_off_stays_bounded_after_weeks_of_failures() -> None:
    agent = Agent(
        suite_version="2",
        profile=lambda: None,
        measure=World(broken=1).measure,
        published=int,
        check_s=CHECK_S,
    )

    assert agent.check(5000) == (5001, MAX_BACKOFF_S)


def test_an_empty_reprobe_requests_nothing() -> None:
    world = World({"spec": {"reprobe": ""}})

    world.run(rounds=3)

    assert world.answered == [None]


def test_a_success_resets_the_back_off() -> None:
    world = World(broken=2)

    world.run(rounds=4)

    assert world.waits == [60, 120, 60, 60]
    assert world.published == 2


def test_the_waiting_agent_imports_no_large_library() -> None:
    code = "import sys, acesniper.probe.__main__; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()

    assert not {"kubernetes", "numpy", "onnx", "onnxruntime", "aiohttp"} & set(loaded)


MEASURED = {"readings": {"null": {"seconds": 1e-6}}, "suiteVersion": VERSION}


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        pytest.param(None, "it has no DeviceProfile", id="none"),
        pytest.param(
            {"spec": {"node": "a"}}, "its DeviceProfile has no readings", id="written by hand"
        ),
        pytest.param({"status": MEASURED}, None, id="holds"),
        pytest.param(
            {"status": {**MEASURED, "suiteVersion": "1"}},
            f"it was measured with suite 1, the current suite is {VERSION}",
            id="older suite",
        ),
        pytest.param(
            {"spec": {"reprobe": "now"}, "status": MEASURED},
            "spec.reprobe requests 'now'",
            id="asked",
        ),
        pytest.param(
            {"spec": {"reprobe": "now"}, "status": {**MEASURED, "reprobed": "now"}},
            None,
            id="answered",
        ),
        pytest.param(
            {"spec": {"reprobe": "new"}, "status": {**MEASURED, "reprobed": "now"}},
            "spec.reprobe requests 'new'",
            id="asked again",
        ),
    ],
)
def test_a_node_is_measured_only_for_a_reason(profile: Profile | None, reason: str | None) -> None:
    assert reason_to_measure(profile, VERSION) == reason


def test_the_agent_and_the_suite_have_one_version() -> None:
    assert VERSION == SUITE_VERSION
