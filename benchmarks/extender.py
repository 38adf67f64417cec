"""Response time of the extender, compared with a bare echo of the same size.

Serves the real application over loopback in another process, with a fleet of N nodes and some
models in memory, and sends requests as kube-scheduler does: one keep-alive connection, one request
after the other. The echo is the same server with an application that only returns as many bytes.

    python benchmarks/extender.py [--nodes 500 --nodes 5000] [--requests 2000] [--tasks 10000]
        [--json FILE]

With `--tasks N`, that many tasks are queued, all devices are busy, and the planner replans all of
them without a pause: the worst case for response times.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import uvloop
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from acesniper.api.names import MODEL_LABEL, PLAN_GATE, SLOT_RESOURCE, TASK_LABEL
from acesniper.api.units import rfc3339
from acesniper.domain.device import HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.extender.__main__ import listen, relax_garbage_collector, shorten_switch_interval
from acesniper.extender.app import create_app
from acesniper.extender.http_server import SCHEDULER_LIMITS, LimitedServer
from acesniper.extender.watch_events import WatchEvents
from acesniper.extender.wiring import Extender
from acesniper.predictor.analytical import PhysicsPredictor
from acesniper.predictor.base import LatencyArrays, Observations
from acesniper.runtime.settings import ExtenderSettings
from acesniper.testbed.processes import free_port

MODELS = 20


@dataclass(frozen=True, slots=True)
class Result:
    """Milliseconds per request; `ratio` is p50 over the echo's p50."""

    nodes: int
    tasks: int
    verb: str
    p50_ms: float
    p99_ms: float
    echo_p50_ms: float
    echo_p99_ms: float
    ratio: float


class Guess(PhysicsPredictor):
    """A predictor without cost: the benchmark measures the request path."""

    source = "guess"

    def table(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations = (),
    ) -> LatencyArrays:
        """Latencies computed from FLOPs and one reading."""
        paces = [device.readings["probe"].seconds for device in devices]
        latency = np.outer([model.flops for model in models], paces)
        return LatencyArrays(latency, np.full_like(latency, 0.5))


def name_of(number: int) -> str:
    """The name of a node."""
    return f"edge-node-{number:05d}.example.local"


def fill(state: Extender, nodes: int) -> None:
    """Add nodes, devices and models to the cache, as its watches would."""
    ready = [{"type": "Ready", "status": "True"}]
    for number in range(nodes):
        name = name_of(number)
        seconds = 0.001 * (1 + number % 97)
        WatchEvents(state.cache).node(
            "UPSERT", {"metadata": {"name": name}, "spec": {}, "status": {"conditions": ready}}
        )
        WatchEvents(state.cache).device_profile(
            "UPSERT",
            {
                "metadata": {"name": f"{name}-cpu"},
                "spec": {"node": name},
                "status": {
                    "suite": "hrm",
                    "suiteVersion": "1",
                    "readings": {"probe": {"seconds": seconds, "spread": 0.0}},
                },
            },
        )
    for number in range(MODELS):
        metadata = {"name": f"model-{number}", "namespace": "default"}
        spec = {"source": {"uri": "http://models/x.onnx", "sha256": "0" * 64}}
        status = {"featuresVersion": "1", "features": {}, "flops": float(number + 1)}
        WatchEvents(state.cache).model_profile(
            "UPSERT", {"metadata": metadata, "spec": spec, "status": status}
        )
    if (news := state.cache.table.pending()) is not None:
        state.cache.commit_predictions(news.predicted(Guess()))


def let_wait(state: Extender, nodes: int, tasks: int) -> None:
    """Make every device busy, and queue tasks with gated pods."""
    bound = {"conditions": [], "phase": "Running", "startTime": rfc3339(time.time())}
    for number in range(nodes):
        WatchEvents(state.cache).pod(
            "UPSERT", pod(f"busy-{number}", number, node=name_of(number)) | {"status": bound}
        )
    for number in range(tasks):
        metadata = {
            "name": f"task-{number:05d}",
            "namespace": "default",
            "creationTimestamp": rfc3339(time.time()),
        }
        profile = f"model-{number % MODELS}"
        spec = {"model": profile, "inferences": 100 + number % 1000}
        status = {"phase": "Queued", "modelProfile": profile}
        WatchEvents(state.cache).task(
            "UPSERT", {"metadata": metadata, "spec": spec, "status": status}
        )
        WatchEvents(state.cache).pod(
            "UPSERT", pod(metadata["name"], number, gates=[{"name": PLAN_GATE}])
        )


def pod(task: str, number: int, **spec: object) -> dict[str, object]:
    """A pod of a task: gated, or bound to a node."""
    limits = {"resources": {"limits": {SLOT_RESOURCE: "1"}}}
    placed = {"nodeName": spec["node"]} if "node" in spec else {"schedulingGates": spec["gates"]}
    return {
        "metadata": {
            "name": f"{task}-0",
            "namespace": "default",
            "uid": f"uid-{task}",
            "labels": {TASK_LABEL: task, MODEL_LABEL: f"model-{number % MODELS}"},
        },
        "spec": {"containers": [{"name": "runner", **limits}], **placed},
        "status": {"phase": "Pending"},
    }


def serve_extender(port: int, nodes: int, tasks: int) -> None:
    """Serve the real application with a filled cache."""
    registry = CollectorRegistry()
    state = Extender.build(ExtenderSettings(settle_s=0.0), Mock(), Guess(), registry)
    fill(state, nodes)
    if tasks:
        let_wait(state, nodes, tasks)
    relax_garbage_collector()
    shorten_switch_interval()
    serve(create_app(state, registry), port, state if tasks else None)


def serve_echo(port: int, size: int, _: int) -> None:
    """Serve an application that reads the body and returns `size` bytes."""
    content = b"x" * size

    async def echo(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:  # noqa: ANN401
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-length", str(size).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    serve(echo, port)


def serve(app: Any, port: int, planning: Extender | None = None) -> None:  # noqa: ANN401 - any ASGI application
    """Serve an application as the extender is served, with its planner."""

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            if planning is not None:
                group.create_task(planning.planner.run())
                group.create_task(stir(planning))
            listening = listen("127.0.0.1", port)
            await LimitedServer(app, listening, SCHEDULER_LIMITS, handles_signals=True).serve()

    uvloop.run(run())


async def stir(state: Extender) -> None:
    """Trigger a new plan after every plan."""
    while True:
        state.cache.changed.set()
        await asyncio.sleep(0.001)


class Server:
    """A server in another process."""

    def __init__(self, target: Callable[[int, int, int], None], size: int, tasks: int = 0) -> None:
        """`target` is called with the port, `size` and `tasks`."""
        self.port = free_port()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=target, args=(self.port, size, tasks), daemon=True)

    def __enter__(self) -> "Server":
        self._process.start()
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/healthz")
                connection.getresponse().read()
            except OSError:
                self._process.join(0.05)
                continue
            return self
        raise TimeoutError("the server did not start within 120 s")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def times_ms(self, path: str, body: bytes, requests: int) -> tuple[list[float], int]:
        """Milliseconds of each request on one connection, and the size of the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Content-Type": "application/json"}
        times, size = [], 0
        for number in range(requests + requests // 10):
            started = time.perf_counter()
            connection.request("POST", path, body, headers)
            size = len(connection.getresponse().read())
            if number >= requests // 10:  # the first tenth warms up
                times.append(1e3 * (time.perf_counter() - started))
        return times, size


def body(nodes: int) -> bytes:
    """The request of kube-scheduler for a pod with a model, with all nodes as candidates."""
    request = {
        "metadata": {
            "name": "server",
            "namespace": "default",
            "uid": "6f5902ac-237b-4be1-8bd6-5c5f6d5d4a3e",
            "labels": {MODEL_LABEL: "model-3", "app": "server"},
        },
        "spec": {"containers": [{"name": "main", "image": "x", "resources": {}}] * 2},
        "status": {"phase": "Pending"},
    }
    names = [name_of(number) for number in range(nodes)]
    return json.dumps({"Pod": request, "Nodes": None, "NodeNames": names}).encode()


def measure(nodes: int, requests: int, tasks: int) -> list[Result]:
    """Both verbs at one fleet size."""
    request, results = body(nodes), []
    with Server(serve_extender, nodes, tasks) as extender:
        for verb in ("filter", "prioritize"):
            times, size = extender.times_ms(f"/{verb}", request, requests)
            with Server(serve_echo, size) as echo:
                bare, _ = echo.times_ms("/", request, requests)
            (p50, p99), (echo_p50, echo_p99) = (
                [quantile(sample, share) for share in (0.5, 0.99)] for sample in (times, bare)
            )
            results.append(Result(nodes, tasks, verb, p50, p99, echo_p50, echo_p99, p50 / echo_p50))
    return results


def quantile(values: list[float], share: float) -> float:
    """The quantile at `share`."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def machine() -> Mapping[str, object]:
    """The machine of the measurement."""
    return {"python": platform.python_version(), "machine": platform.platform()}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nodes", type=int, action="append")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--tasks", type=int, default=0, help="tasks that wait and are planned")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    table = Table("nodes", "verb", "p50 ms", "p99 ms", "echo p50 ms", "echo p99 ms", "p50 / echo")
    results = [
        result
        for nodes in options.nodes or [500, 5000]
        for result in measure(nodes, options.requests, options.tasks)
    ]
    for result in results:
        figures = (
            result.p50_ms,
            result.p99_ms,
            result.echo_p50_ms,
            result.echo_p99_ms,
            result.ratio,
        )
        table.add_row(str(result.nodes), result.verb, *(f"{value:.2f}" for value in figures))
    console = Console(file=sys.stdout)
    console.print(table)
    console.print(f"{machine()}")
    if options.json:
        document = {"machine": machine(), "results": [asdict(result) for result in results]}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
