"""The page's application over ASGI: its files, its JSON, and what it refuses."""

import gzip
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from acesniper.api.names import INFERENCE_TASKS, Kind
from acesniper.domain.errors import Unavailable
from acesniper.extender.page.routes import Page
from acesniper.extender.page.views import POLICY
from acesniper.extender.wiring import Extender
from acesniper.runtime.api_connection import ApiConnection, Configuration
from acesniper.runtime.client import Cluster
from acesniper.runtime.settings import ExtenderSettings
from acesniper.runtime.skipped import DELETE, UPSERT
from asgi import Answer, call
from builders import WorkPredictor
from fake_cluster import FakeCluster
from local_server import serving
from page_fleet import page_state

LOCAL = {"host": "127.0.0.1:8783"}
VIEWS = ("summary", "fleet", "latency", "plan", "accuracy", "tasks")
STATIC = files("acesniper.extender.page") / "static"


def page_of(state: Extender) -> Page:
    assert state.page is not None
    return state.page


@pytest.fixture(scope="module")
def small() -> Extender:
    return page_state(5, 3)


@pytest.fixture(scope="module")
def large() -> Extender:
    return page_state(5000, 1000)


async def get(state: Extender, path: str, **headers: str) -> Answer:
    return await call(page_of(state).app(), "GET", path, headers={**LOCAL, **headers})


async def ask(state: Extender, path: str) -> Any:  # noqa: ANN401 - whatever JSON it answers
    answer = await get(state, f"/api/{path}")
    assert answer.status == 200, answer.body
    return answer.json


# --- how it is served ------------------------------------------------------------------------


def test_it_is_off_by_a_setting() -> None:
    settings = ExtenderSettings(page=False)

    state = Extender.build(settings, FakeCluster(), WorkPredictor(), CollectorRegistry())

    assert state.page is None


@pytest.mark.parametrize("path", ["/", "/app.js", "/style.css", "/icon.svg", "/vendor/preact.js"])
async def test_files_come_with_a_strict_policy(small: Extender, path: str) -> None:
    answer = await get(small, path)

    assert answer.status == 200
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_policy_allows_nothing_from_elsewhere_and_nothing_inline() -> None:
    assert POLICY.startswith("default-src 'none'")
    assert "unsafe" not in POLICY
    assert "http" not in POLICY


def sources() -> Iterator[tuple[str, str]]:
    for folder in (STATIC, STATIC / "vendor"):
        for path in folder.iterdir():
            if path.name.endswith((".js", ".css", ".html")):
                yield path.name, path.read_text(encoding="utf-8")


def test_no_file_asks_for_anything_from_elsewhere() -> None:
    for name, text in sources():
        # Namespaces of SVG and MathML are names, not addresses.
        asked = re.findall(r"https?://(?!www\.w3\.org/)[\w.]+", text)
        assert asked == [], name


async def test_what_has_not_changed_is_not_sent_again(small: Extender) -> None:
    first = await get(small, "/api/accuracy")
    second = await get(small, "/api/accuracy", **{"if-none-match": first.headers["etag"]})

    assert (second.status, second.body) == (304, b"")


async def test_answers_are_packed_for_those_who_can_read_it(small: Extender) -> None:
    packed = await get(small, "/api/accuracy", **{"accept-encoding": "gzip"})

    assert packed.headers["content-encoding"] == "gzip"
    plain = (await get(small, "/api/accuracy")).body
    assert gzip.decompress(packed.body) == plain
    assert len(packed.body) < len(plain) / 3


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_it_can_only_be_read(small: Extender, method: str) -> None:
    for view in VIEWS:
        answer = await call(page_of(small).app(), method, f"/api/{view}", headers=LOCAL)
        assert answer.status == 405


async def test_another_sites_name_for_this_address_is_refused(small: Extender) -> None:
    """A site whose name leads to 127.0.0.1 must not read the page through its reader's browser."""
    answer = await get(small, "/api/fleet", host="evil.example")

    assert answer.status == 400


async def test_served_on_other_addresses_it_takes_other_names(small: Extender) -> None:
    app = page_of(small).app("0.0.0.0")

    answer = await call(app, "GET", "/api/summary", headers={"host": "ace.example"})

    assert answer.status == 200


@pytest.mark.parametrize("path", ["fleet?offset=x", "latency?row=1.5", "tasks?limit=all"])
async def test_a_wrong_number_is_refused(small: Extender, path: str) -> None:
    answer = await get(small, f"/api/{path}")

    assert answer.status == 400
    assert "invalid literal" in answer.json["detail"]


# --- what it says ----------------------------------------------------------------------------


async def test_the_fleet_is_listed_with_speed_backlog_and_health(small: Extender) -> None:
    fleet = await ask(small, "fleet?sort=speed")

    speeds = [device["speed"] for device in fleet["devices"]]
    backlog = {device["device"]: device["backlogSeconds"] for device in fleet["devices"]}
    with_problems = {device["device"] for device in fleet["devices"] if device["problems"]}
    assert fleet["matching"] == 5
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[0] == fleet["fastest"]
    ledger, now_s = small.cache.ledger, small.cache.clock()
    for device in small.cache.devices:
        assert backlog[device.id] == pytest.approx(ledger.backlog_s(device.id, now_s), abs=5.0)
    assert with_problems == {"n100-0003"}


async def test_the_list_is_searched_and_paged(large: Extender) -> None:
    found = await ask(large, "fleet?search=ORIN&sort=name&order=asc&offset=5&limit=3")

    names = [device["device"] for device in found["devices"]]
    assert found["matching"] == 714
    assert names == ["orin-nano-0039", "orin-nano-0046", "orin-nano-0053"]


async def test_every_pair_is_in_the_heat_map_of_a_small_fleet(small: Extender) -> None:
    heat = await ask(small, "latency")

    table = small.cache.table.view()
    for y, row in enumerate(heat["rows"]):
        for x, column in enumerate(heat["columns"]):
            place = table.rows[row["first"]], table.columns[column["first"]]
            assert heat["latencySeconds"][y][x] == pytest.approx(table.latency[place], rel=0.01)
            assert heat["lowSeconds"][y][x] < heat["latencySeconds"][y][x]
            assert heat["highSeconds"][y][x] > heat["latencySeconds"][y][x]
    assert (len(heat["rows"]), len(heat["columns"])) == (3, 5)


async def test_the_heat_map_of_a_large_fleet_comes_in_blocks_that_can_be_looked_into(
    large: Extender,
) -> None:
    whole = await ask(large, "latency?height=40&width=100")
    row, column = whole["rows"][7], whole["columns"][30]
    part = await ask(
        large,
        f"latency?row={row['at']}&rows={row['count']}"
        f"&column={column['at']}&columns={column['count']}&height=100&width=200",
    )

    assert (len(whole["rows"]), len(whole["columns"])) == (40, 100)
    assert sum(row["count"] for row in whole["rows"]) == 1000
    assert sum(column["count"] for column in whole["columns"]) == 5000
    assert (len(part["rows"]), len(part["columns"])) == (25, 50)
    values = [value for line in part["latencySeconds"] for value in line]
    assert min(values) < whole["latencySeconds"][7][30] < max(values)


async def test_the_plan_has_a_line_for_each_device_with_work(small: Extender) -> None:
    plan = await ask(small, "plan")

    bars = [bar for device in plan["devices"] for bar in device["bars"]]
    assert {bar["kind"] for bar in bars} == {"running", "planned"}
    assert len({(bar["kind"], bar["task"]) for bar in bars}) == len(bars)
    for device in plan["devices"]:
        ends = [0.0, *(bar["end"] for bar in device["bars"])]
        for bar, free in zip(device["bars"], ends, strict=False):
            assert free - 0.1 <= bar["start"] <= bar["end"], "one slot: one after the other"


async def test_accuracy_counts_what_finished(small: Extender) -> None:
    found = await ask(small, "accuracy")

    inside = [low <= seen <= high for _, _, _, _, low, high, seen, _ in found["points"]]
    assert found["tasks"] == len(found["points"]) == 400
    assert found["insideRatio"] == pytest.approx(sum(inside) / 400, abs=1e-3)
    assert 0.0 < found["medianErrorRatio"] < 0.3


async def test_a_task_that_is_deleted_leaves_the_list_and_stays_in_the_accuracy() -> None:
    state = page_state(5, 3, finished=2)
    listed, _ = await page_of(state).cluster.list(INFERENCE_TASKS)
    (gone,) = (task for task in listed if task["metadata"]["name"] == "night-0001")
    page_of(state).history.apply(UPSERT, gone)
    # After a lost watch, the list reports a deletion with the object's identity only.
    kept = {key: gone["metadata"][key] for key in ("uid", "name", "namespace")}
    page_of(state).history.apply(DELETE, {"metadata": kept})

    listed, accuracy = await ask(state, "tasks"), await ask(state, "accuracy")

    assert "default/night-0001" not in [task["task"] for task in listed["tasks"]]
    assert accuracy["tasks"] == 2


async def test_tasks_are_listed_by_phase_the_newest_first(small: Extender) -> None:
    found = await ask(small, "tasks?phase=Succeeded&limit=3")

    assert found["matching"] == 400
    assert [task["task"] for task in found["tasks"]] == [f"default/night-000{n}" for n in range(3)]


async def test_a_task_lists_the_terms_of_each_candidate(small: Extender) -> None:
    found = await ask(small, "tasks/default/night-0001")

    best = found["decision"]["candidates"][0]
    terms = ("backlogSeconds", "coldStartSeconds", "transferSeconds", "runSeconds")
    assert found["phase"] == "Succeeded"
    assert best["device"] == found["device"]
    assert sum(best[term] for term in terms) == pytest.approx(best["finishSeconds"])
    assert len(found["decision"]["candidates"]) > 1


async def test_a_pending_task_shows_its_planned_device(small: Extender) -> None:
    waits = next(
        planned
        for planned in small.planner.plan.planned
        if not small.cache.ledger.get(pod_uid(planned))
    )

    found = await ask(small, f"tasks/{waits.task.key}")

    assert found["planned"]["device"] == waits.device.id
    assert found["waiting"].startswith(f"waits for {waits.device.id}, which is planned for it in")
    assert "decision" not in found


def pod_uid(planned: Any) -> Any:  # noqa: ANN401 - a key of the ledger
    return f"uid-default-{planned.task.key.partition('/')[2]}-0"


@pytest.mark.parametrize("path", ["../..", "../x", "default/..", "default/%2e%2e"])
async def test_a_path_instead_of_a_name_reaches_no_other_object(path: str) -> None:
    requests: list[str] = []

    async def api_server(request: web.Request) -> web.Response:
        requests.append(request.raw_path)
        return web.json_response({"metadata": {"name": "x"}, "items": []})

    state = page_state(5, 3)
    configuration = Configuration()
    async with serving(api_server) as configuration.host, ApiConnection(configuration) as api:
        page_of(state).cluster = Cluster(api)
        answer = await get(state, f"/api/tasks/{path}")

    assert requests == []
    assert answer.status == 400
    assert "is not the name of an object" in answer.json["detail"]


async def test_an_unknown_task_is_not_found(small: Extender) -> None:
    answer = await get(small, "/api/tasks/default/missing")

    assert answer.status == 404
    assert answer.json == {"detail": "InferenceTask 'missing' not found in namespace 'default'"}


async def test_an_unavailable_api_server_is_reported(
    small: Extender, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: Cluster, kind: Kind, name: str, namespace: str) -> None:
        raise Unavailable("connection refused")

    monkeypatch.setattr(FakeCluster, "get", away)

    answer = await get(small, "/api/tasks/default/night-0001")

    assert answer.status == 503
    assert "connection refused" in answer.json["detail"]


@pytest.mark.parametrize("view", VIEWS)
async def test_no_answer_grows_with_the_fleet(large: Extender, view: str) -> None:
    answer = await get(large, f"/api/{view}", **{"accept-encoding": "gzip"})

    assert len(answer.body) < 60_000
    json.loads(
        gzip.decompress(answer.body) if "content-encoding" in answer.headers else answer.body
    )


async def test_an_empty_cluster_has_an_empty_page() -> None:
    state = page_state(0, 0, finished=0)

    for view in VIEWS:
        assert (await get(state, f"/api/{view}")).status == 200
