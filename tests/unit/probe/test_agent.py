import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest

from acesniper.domain.errors import Unavailable
from acesniper.probe.agent import MAX_BACKOFF_S, Agent, Profile

CHECK_S = 60.0


class Enough(Exception):
    """Ends the agent's endless loop."""


@dataclass
class World:
    """A cluster with one profile, and a device that can be measured unless it is broken."""

    profile: dict[str, Any] | None = None
    broken: int = 0
    answered: list[str | None] = field(default_factory=list)
    published: int = 0
    waits: list[float] = field(default_factory=list)

    def measure(self, reprobe: str | None) -> None:
        if self.broken:
            self.broken -= 1
            raise Unavailable("measuring failed")
        self.answered.append(reprobe)
        spec = (self.profile or {}).get("spec", {})
        status: dict[str, Any] = {
            "readings": {"null": {}},
            "suiteVersion": "2",
            "reprobed": reprobe,
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


def test_a_node_is_measured_once_and_then_looked_at() -> None:
    world = World()

    world.run(rounds=3)

    assert world.answered == [None]
    assert world.waits == [CHECK_S] * 3
    assert world.published == 3


def test_a_node_answers_what_it_was_asked() -> None:
    world = World({"spec": {"reprobe": "please"}})

    world.run(rounds=2)

    assert world.answered == ["please"]


def test_a_node_that_fails_tries_again_with_growing_pauses_and_is_not_ready() -> None:
    world = World(broken=6)

    world.run(rounds=6)

    assert world.waits == [60, 120, 240, 480, MAX_BACKOFF_S, MAX_BACKOFF_S]
    assert world.published == 0


def test_a_node_that_fails_for_weeks_goes_on_trying() -> None:
    agent = Agent(
        suite_version="2",
        profile=lambda: None,
        measure=World(broken=1).measure,
        published=int,
        check_s=CHECK_S,
    )

    assert agent.check(5000) == (5001, MAX_BACKOFF_S)


def test_an_empty_wish_asks_for_nothing() -> None:
    world = World({"spec": {"reprobe": ""}})

    world.run(rounds=3)

    assert world.answered == [None]


def test_a_node_that_recovers_starts_over() -> None:
    world = World(broken=2)

    world.run(rounds=4)

    assert world.waits == [60, 120, 60, 60]
    assert world.published == 2


def test_the_waiting_probe_loads_nothing_large() -> None:
    code = "import sys, acesniper.probe.__main__; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()

    assert not {"kubernetes", "numpy", "onnx", "onnxruntime", "aiohttp"} & set(loaded)
