"""The extender's application over ASGI, as kube-scheduler, Prometheus and a person call it."""

import inspect
from dataclasses import dataclass
from functools import partial

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from acesniper.api.decision import Decision
from acesniper.api.names import PODS
from acesniper.extender.app import create_app, create_health_app
from acesniper.extender.watch_events import WatchEvents
from acesniper.extender.wiring import Extender
from acesniper.runtime.settings import ExtenderSettings
from acesniper.runtime.skipped import UPSERT
from acesniper.runtime.watch import STALLED_AFTER_S
from asgi import Gone, call
from builders import (
    TEST_KEY,
    WorkPredictor,
    make_device_profile,
    make_model_profile,
    make_node,
    make_pod,
)
from fake_cluster import FakeCluster
from fleets import make_waiting, predict_news

POD = make_pod("p", task=None, model="model", uid="u", slots=0)
QUESTION = {"Pod": POD, "NodeNames": ["node-a", "node-b"]}


@dataclass
class Setup:
    app: FastAPI
    state: Extender

    def sync(self) -> None:
        for reflector in self.state.reflectors:
            reflector.synced.set()
        self.state.planner.predicted.set()


@pytest.fixture
def setup() -> Setup:
    registry = CollectorRegistry()
    state = Extender.build(
        ExtenderSettings(container_start_s=0.0), FakeCluster(), WorkPredictor(), registry
    )
    state.cache.key = TEST_KEY
    for name, pace in (("a", 1.0), ("b", 2.0)):
        WatchEvents(state.cache).node(UPSERT, make_node(f"node-{name}"))
        WatchEvents(state.cache).device_profile(UPSERT, make_device_profile(name, pace=pace))
    WatchEvents(state.cache).model_profile(UPSERT, make_model_profile())
    predict_news(state.cache)
    return Setup(create_app(state, registry), state)


async def test_filter_answers_in_the_words_of_the_scheduler(setup: Setup) -> None:
    answer = await call(setup.app, "POST", "/filter", QUESTION)

    assert answer.status == 200
    assert answer.json == {
        "NodeNames": ["node-a", "node-b"],
        "FailedNodes": {},
        "FailedAndUnresolvableNodes": {},
        "Error": "",
    }


async def test_prioritize_answers_in_the_words_of_the_scheduler(setup: Setup) -> None:
    answer = await call(setup.app, "POST", "/prioritize", QUESTION)

    assert answer.json == [{"Host": "node-a", "Score": 10}, {"Host": "node-b", "Score": 5}]


@pytest.mark.parametrize("verb", ["filter", "prioritize"])
async def test_the_scheduler_can_keep_its_connection(setup: Setup, verb: str) -> None:
    """It does not drain bodies: without a length each request would open a new one."""
    answer = await call(setup.app, "POST", f"/{verb}", QUESTION)

    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("verb", ["filter", "prioritize"])
@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"{}", b"[]", b"\xff", b'{"Pod": 1}', b'{"deep":' * 10_000]
)
async def test_a_bad_body_is_a_bad_request(setup: Setup, verb: str, body: bytes) -> None:
    answer = await call(setup.app, "POST", f"/{verb}", body)

    assert answer.status == 400
    assert answer.body.startswith(b"not an ExtenderArgs with NodeNames (nodeCacheCapable: true): ")


async def test_a_request_with_whole_nodes_logs_the_required_setting(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    whole = {"Pod": POD, "Nodes": {"items": [make_node("node-a")]}, "NodeNames": None}

    await call(setup.app, "POST", "/filter", whole)

    assert "nodeCacheCapable: true" in caplog.text


@pytest.mark.parametrize("verb", ["filter", "prioritize"])
async def test_a_client_that_disconnects_during_its_request_is_no_error(
    setup: Setup, verb: str
) -> None:
    answer = await call(setup.app, "POST", f"/{verb}", Gone(b'{"Pod":'))

    assert answer.status == 400


async def test_a_decision_is_explained_by_uid_and_by_name(setup: Setup) -> None:
    WatchEvents(setup.state.cache).pod(UPSERT, POD)
    setup.state.decisions.put("u", Decision(decided_at=1.0, policy="fcfs-mct"))

    by_uid = await call(setup.app, "GET", "/explain?pod=u")
    by_name = await call(setup.app, "GET", "/explain?pod=default/p")

    assert by_uid.status == 200
    assert by_uid.json == by_name.json
    assert by_uid.json["text"] == "no prediction; placed as the stock scheduler would"


async def test_a_decision_from_before_a_restart_is_read_from_the_pod(setup: Setup) -> None:
    task, pod = make_waiting("t")
    WatchEvents(setup.state.cache).task(UPSERT, task)
    WatchEvents(setup.state.cache).pod(UPSERT, pod)
    ((_, _, decision),) = setup.state.planner.plan_now()
    written = make_pod("old", task="t", device="a", decision=decision, node="node-a")
    WatchEvents(setup.state.cache).pod(UPSERT, written)

    answer = await call(setup.app, "GET", "/explain?pod=default/old")

    assert answer.status == 200
    assert answer.json["text"] == decision.sentence()
    assert [candidate["device"] for candidate in answer.json["candidates"]] == ["a", "b"]


@pytest.mark.parametrize("pod", ["missing", "default/missing"])
async def test_an_unknown_pod_is_not_found_and_the_error_names_the_valid_forms(
    setup: Setup, pod: str
) -> None:
    answer = await call(setup.app, "GET", f"/explain?pod={pod}")

    assert answer.status == 404
    detail = f"no decision for pod {pod!r}; pass its UID or namespace/name"
    assert answer.json == {"detail": detail}


async def test_the_plan_shows_who_goes_where_and_when(setup: Setup) -> None:
    for name in ("t1", "t2"):
        task, pod = make_waiting(name)
        WatchEvents(setup.state.cache).task(UPSERT, task)
        WatchEvents(setup.state.cache).pod(UPSERT, pod)
    setup.state.planner.plan_now()

    rows = (await call(setup.app, "GET", "/plan")).json

    assert [(row["task"], row["device"], row["startsInSeconds"]) for row in rows] == [
        ("default/t1", "a", 0.0),
        ("default/t2", "a", 1.0),
    ]


async def test_it_is_not_ready_before_every_kind_was_listed(setup: Setup) -> None:
    before = await call(setup.app, "GET", "/readyz")
    setup.sync()
    after = await call(setup.app, "GET", "/readyz")

    assert before.status == 503
    assert "inferencetasks" in before.json["detail"]
    assert (after.status, after.json) == (200, {"status": "ok"})


async def test_it_is_not_ready_before_latencies_are_predicted(setup: Setup) -> None:
    setup.sync()
    setup.state.planner.predicted.clear()

    answer = await call(setup.app, "GET", "/readyz")

    assert (answer.status, answer.json) == (503, {"detail": "not synced yet: latencies"})


async def test_it_is_healthy_from_the_start(setup: Setup) -> None:
    assert (await call(setup.app, "GET", "/healthz")).status == 200


async def test_metrics_count_what_was_answered(setup: Setup) -> None:
    setup.sync()
    await call(setup.app, "POST", "/filter", QUESTION)

    text = (await call(setup.app, "GET", "/metrics")).body.decode()

    assert 'acesniper_decisions_total{outcome="predicted",reason="",verb="filter"} 1.0' in text
    assert 'acesniper_extender_request_seconds_count{verb="filter"} 1.0' in text
    assert 'acesniper_backlog_seconds{device="a"} 0.0' in text
    assert 'acesniper_watch_event_age_seconds{kind="pods"}' in text
    assert 'acesniper_profile_age_seconds{device="b"}' in text


async def test_every_endpoint_runs_on_the_event_loop_that_changes_the_fleet(setup: Setup) -> None:
    """Starlette runs plain functions in a thread, where mappings would change during a read."""
    endpoints = {
        getattr(route, "path", ""): getattr(route, "endpoint", None)
        for route in setup.app.routes
        if getattr(route, "path", "") != "/openapi.json"
    }

    assert {
        path for path, endpoint in endpoints.items() if not inspect.iscoroutinefunction(endpoint)
    } == set()


async def test_a_stalled_watch_fails_the_liveness_probe(
    setup: Setup,
) -> None:
    setup.sync()
    for reflector in setup.state.reflectors:
        reflector.liveness.clock = lambda: 0.0
        reflector.liveness.expect(reflector.kind.plural)
        later_s = 2 * STALLED_AFTER_S if reflector.kind == PODS else 0.0
        reflector.liveness.clock = partial(float, later_s)

    answer = await call(setup.app, "GET", "/healthz")

    assert answer.status == 503
    assert b"no watch events for minutes for pods" in answer.body


async def test_the_health_port_serves_health_and_metrics_only(setup: Setup) -> None:
    app = create_health_app(setup.state, CollectorRegistry())

    answers = {
        path: (await call(app, "GET", path)).status
        for path in ("/healthz", "/metrics", "/plan", "/explain?pod=x")
    }

    assert answers == {"/healthz": 200, "/metrics": 200, "/plan": 404, "/explain?pod=x": 404}
