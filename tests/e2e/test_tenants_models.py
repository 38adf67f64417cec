"""Models of greedy and hostile namespaces, next to one of an honest namespace."""

import hashlib
import http.server
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from onnx import helper

from acesniper.api.names import API_VERSION, DERIVED_LABEL
from acesniper.testbed.deployment import OPERATOR, ROOT
from fleet_of_five import FleetOfFive
from hostile_models import functions, loops
from small_models import make_model

GREEDY = 40
"""Batch sizes of one model, and models on a server that does not answer."""
MOST_BETWEEN = 3
"""Models of another namespace that may be read before one of a namespace without any."""


class Store(http.server.ThreadingHTTPServer):
    """Serves files from memory and counts requests; paths below /slow are never answered."""

    daemon_threads = True

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.released = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    def source(self, name: str, content: bytes, host: str = "127.0.0.1") -> dict[str, str]:
        """Serve a file; returns its address and digest."""
        self.files[f"/{name}"] = content
        uri = f"http://{host}:{self.server_port}/{name}"
        return {"uri": uri, "sha256": hashlib.sha256(content).hexdigest()}


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Store

    def do_GET(self) -> None:
        self.server.requests[self.path] += 1
        if self.path.startswith("/slow"):
            self.server.released.wait()
            return
        content = self.server.files[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running() as store:
        yield store


@contextmanager
def running() -> Iterator[Store]:
    with Store() as store:
        thread = threading.Thread(target=store.serve_forever)
        thread.start()
        yield store
        store.released.set()
        store.shutdown()
        thread.join()


@contextmanager
def extra_namespace(fleet: FleetOfFive, name: str) -> Iterator[str]:
    fleet.system.plane.kubectl("create", "namespace", name)
    yield name
    fleet.system.plane.kubectl("delete", "namespace", name, "--wait=false")


def profile(name: str, namespace: str, source: Mapping[str, str], **spec: int) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelProfile",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"source": dict(source), **spec},
    }


def reasons(fleet: FleetOfFive, namespace: str) -> dict[str, str]:
    """The reason of each profile's condition Profiled."""
    return {
        obj["metadata"]["name"]: condition["reason"]
        for obj in fleet.get("modelprofiles", namespace)
        for condition in obj.get("status", {}).get("conditions", ())
        if condition["type"] == "Profiled"
    }


def await_state(fleet: FleetOfFive, holds: Callable[[], bool]) -> None:
    """Wait until something holds; the operator must run all the while."""
    fleet.system.plane.children[OPERATOR].wait_until(holds, timeout_s=120.0)


def test_an_honest_model_is_read_between_those_of_a_greedy_namespace(
    fleet: FleetOfFive, namespace: str, store: Store
) -> None:
    model = (ROOT / "examples/models/mobilenet_v3_small.onnx").read_bytes()
    greedy_source = store.source("greedy.onnx", model)
    with extra_namespace(fleet, f"{namespace[:50]}-greedy") as greedy, running() as silent:
        slow = [
            profile(
                f"slow-{i}",
                greedy,
                {"uri": f"http://127.0.0.1:{silent.server_port}/slow/{i}"} | {"sha256": "0" * 64},
            )
            for i in range(GREEDY)
        ]
        costly = [
            profile("functions", greedy, store.source("f", functions(8, 9).SerializeToString())),
            profile("loops", greedy, store.source("l", loops(11, True).SerializeToString())),
        ]
        variants = [
            profile(f"variant-{i}", greedy, greedy_source, batchSize=i + 2) for i in range(GREEDY)
        ]
        fleet.apply([*slow, *costly, *variants])
        await_state(fleet, lambda: "Profiled" in reasons(fleet, greedy).values())

        before = Counter(reasons(fleet, greedy).values())
        fleet.apply([profile("honest", namespace, store.source("honest.onnx", model))])
        await_state(fleet, lambda: reasons(fleet, namespace).get("honest") == "Profiled")
        after = Counter(reasons(fleet, greedy).values())

        assert before["Profiled"] < GREEDY
        assert after["Profiled"] - before["Profiled"] <= MOST_BETWEEN
        await_state(fleet, lambda: {"functions", "loops"} <= set(reasons(fleet, greedy)))
        assert reasons(fleet, greedy)["functions"] == "TooLarge"
        assert store.requests["/greedy.onnx"] == 1


def test_a_name_of_a_million_characters_is_written_once(
    fleet: FleetOfFive, namespace: str, store: Store
) -> None:
    nodes = [
        helper.make_node("q" * 1_500_000, ["x"], ["h"], domain="own"),
        helper.make_node("Relu", ["x"], ["y"]),
    ]
    model = make_model(nodes, {"x": [4]})
    model.opset_import.append(helper.make_opsetid("own", 1))
    source = store.source("long.onnx", model.SerializeToString())

    fleet.apply([profile("long", namespace, source)])
    await_state(fleet, lambda: reasons(fleet, namespace).get("long") == "Profiled")

    (obj,) = fleet.get("modelprofiles", namespace)
    assert all(len(name) <= 100 for name in obj["status"]["operators"])
    assert store.requests["/long.onnx"] == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "[::ffff:0.0.0.0]"])
def test_a_pod_reads_what_the_operator_may_not_connect_to(
    fleet: FleetOfFive, namespace: str, store: Store, host: str
) -> None:
    """The address leads to the server, and is none that the operator's setting allows."""
    source = store.source(f"internal-{len(host)}", b"not for the operator", host)

    fleet.apply([profile("internal", namespace, source)])
    await_state(fleet, lambda: reasons(fleet, namespace).get("internal") == "Reading")

    (pod,) = fleet.get("pods", namespace)
    (obj,) = fleet.get("modelprofiles", namespace)
    assert pod["metadata"]["labels"]["acesniper.io/reads"] == "internal"
    assert obj["status"]["readerPod"]["uid"] == pod["metadata"]["uid"]
    assert store.requests[f"/internal-{len(host)}"] == 0


def test_profiles_made_for_tasks_are_deleted_with_them(
    fleet: FleetOfFive, namespace: str, store: Store
) -> None:
    fleet.add_model(namespace)
    plane = fleet.system.plane
    with fleet.system.rerouted({}, {"ACESNIPER_PROFILE_GRACE_S": "1"}):
        tasks = [
            fleet.task(f"t{batch}", namespace, batchSize=batch, suspend=True)
            for batch in range(2, 12)
        ]
        fleet.apply(tasks)
        await_state(fleet, lambda: len(fleet.get("modelprofiles", namespace)) == 11)
        derived = plane.kubectl("get", "modelprofiles", "-n", namespace, "-l", DERIVED_LABEL)
        plane.kubectl("delete", "inferencetasks", "--all", "-n", namespace)

        await_state(fleet, lambda: len(fleet.get("modelprofiles", namespace)) == 1)

    assert len(derived.splitlines()) == 11
