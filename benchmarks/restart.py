"""Time until a restarted extender is ready: everything listed, the ledger rebuilt.

Starts the real program, as its container does, and a fake API server (in another process, with
prepared JSON) that lists N pods in pages as a real one does: most of them run on a device or have
finished, the others are gated. Devices and models are the examples'.

    python benchmarks/restart.py [--pods 10000] [--nodes 500] [--json FILE]
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import yaml
from aiohttp import web
from rich.console import Console
from rich.table import Table

from acesniper.api import convert
from acesniper.api.decision import Candidate, Decision
from acesniper.api.objects import DecisionKey, Json
from acesniper.api.units import rfc3339
from acesniper.api.v1alpha1 import InferenceTask, ModelSource
from acesniper.operator.task.pod import render_pod
from acesniper.predictor.onnx.sandbox import read_model
from acesniper.testbed.processes import free_port

KEY = DecisionKey(b"k" * 32)
EXAMPLES = Path(__file__).parents[1] / "examples"
PATIENCE_S = 120.0
ENDED_SHARE, GATED_SHARE = 0.5, 0.4
"""Shares of finished and of gated pods; the others run."""


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds from the start of the program, and from the end of the last list."""

    pods: int
    nodes: int
    megabytes: float
    first_request_s: float
    listed_s: float
    ready_s: float
    after_the_list_s: float


def models() -> list[Json]:
    """ModelProfiles of the example models of images, read as the operator reads them."""
    profiles = []
    for path in sorted((EXAMPLES / "models").glob("*net*.onnx")):
        status = convert.to_model_status(read_model(path))
        name = path.stem.replace("_", "-")
        metadata = {"name": name, "namespace": "default", "uid": f"model-{name}"}
        spec = {"source": {"uri": "https://models.example/x.onnx", "sha256": "0" * 64}}
        dumped = status.model_dump(by_alias=True, mode="json")
        profiles.append({"metadata": metadata, "spec": spec, "status": dumped})
    return profiles


def fleet(nodes: int) -> tuple[list[Json], list[Json]]:
    """Nodes, with the example devices in rotation."""
    paths = sorted((EXAMPLES / "devices").glob("*.yaml"))
    profiles = [yaml.safe_load(path.read_text()) for path in paths]
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "images": []}
    made, measured = [], []
    for number in range(nodes):
        name = f"edge-{number:05d}"
        made.append({"metadata": {"name": name, "uid": name}, "spec": {}, "status": ready})
        like = profiles[number % len(profiles)]
        metadata = {"name": f"{name}-cpu", "uid": f"{name}-cpu"}
        spec = {**like["spec"], "node": name}
        measured.append({"metadata": metadata, "spec": spec, "status": like["status"]})
    return made, measured


def task_of(number: int, model: str, phase: str) -> Json:
    """An InferenceTask with the status that the operator writes."""
    metadata = {
        "name": f"task-{number:05d}",
        "namespace": "default",
        "uid": f"6f5902ac-237b-4be1-8bd6-{number:012d}",
        "creationTimestamp": rfc3339(time.time()),
        "resourceVersion": "1",
    }
    spec = {"model": model, "inferences": 100 + number % 900}
    status = {"phase": phase, "modelProfile": model, "attempts": 0}
    return {"metadata": metadata, "spec": spec, "status": status}


def pod_of(task: Json, number: int, nodes: int, phase: str) -> Json:
    """The task's pod: gated if it is queued, else placed by a decision of ours."""
    model = task["spec"]["model"]
    source = ModelSource(uri="https://models.example/x.onnx", sha256="0" * 64)
    pod = render_pod(InferenceTask.model_validate(task), model, source, "acesniper/runner:0.1.0")
    pod["metadata"] |= {"uid": f"pod-{number}", "resourceVersion": "1"}
    # What the API server adds: half of what it sends.
    pod["metadata"]["managedFields"] = [
        {
            "manager": manager,
            "operation": "Update",
            "fieldsV1": {f"f:field-{n}": {} for n in range(40)},
        }
        for manager in ("operator", "planner", "kubelet")
    ]
    if phase == "Pending":
        return pod | {"status": {"phase": "Pending"}}
    node = f"edge-{number % nodes:05d}"
    pod["spec"] |= {"nodeName": node, "schedulingGates": []}
    text = decision(node).model_dump_json(by_alias=True)
    pod["metadata"]["annotations"] = KEY.annotations(pod["metadata"]["uid"], f"{node}-cpu", text)
    return pod | {"status": {"phase": phase, "startTime": rfc3339(time.time())}}


def decision(node: str) -> Decision:
    """A decision with three candidates."""
    candidate = Candidate(
        device=f"{node}-cpu",
        node=node,
        latency_seconds=0.1,
        low_seconds=0.05,
        high_seconds=0.2,
        source="pcn-1",
        inferences=100,
        backlog_seconds=0.0,
        cold_start_seconds=1.0,
        transfer_seconds=0.1,
        run_seconds=600.0,
        finish_seconds=601.1,
    )
    return Decision(
        task="default/task", decided_at=time.time(), policy="fcfs-mct", candidates=[candidate] * 3
    )


def cluster(pods: int, nodes: int) -> Mapping[str, Sequence[bytes]]:
    """Every object as JSON, by the plural of its kind."""
    profiles = models()
    made, measured = fleet(nodes)
    tasks, listed = [], []
    for number in range(pods):
        share = number / pods
        ended, gated = share < ENDED_SHARE, share < ENDED_SHARE + GATED_SHARE
        pod_phase = "Succeeded" if ended else "Pending" if gated else "Running"
        task_phase = "Succeeded" if ended else "Queued" if gated else "Running"
        model = profiles[number % len(profiles)]["metadata"]["name"]
        tasks.append(task_of(number, model, task_phase))
        listed.append(pod_of(tasks[-1], number, nodes, pod_phase))
    kinds = {
        "nodes": made,
        "deviceprofiles": measured,
        "modelprofiles": profiles,
        "inferencetasks": tasks,
        "pods": listed,
    }
    return {kind: [json.dumps(item).encode() for item in items] for kind, items in kinds.items()}


def serve(port: int, objects: Mapping[str, Sequence[bytes]], answered: Connection) -> None:
    """The fake API server; sends the time at which each list was served."""

    async def answer(request: web.Request) -> web.StreamResponse:
        kind = request.path.rsplit("/", 1)[-1]
        if "watch" in request.query:
            stream = web.StreamResponse()
            await stream.prepare(request)
            await asyncio.Event().wait()
            return stream
        items = objects.get(kind, ())
        first = int(request.query.get("continue") or 0)
        limit = int(request.query.get("limit") or len(items) or 1)
        last = min(first + limit, len(items))
        more = str(last) if last < len(items) else ""
        head = json.dumps({"resourceVersion": "1", "continue": more}).encode()
        body = b'{"metadata":%s,"items":[%s]}' % (head, b",".join(items[first:last]))
        answered.send((kind, time.time()))
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=lambda *_: None)


def lines(port: int, folder: Path) -> Path:
    """A kubeconfig for the fake API server."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "fake", "user": {}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def measure(pods: int, nodes: int, folder: Path) -> Result:
    """Start the extender once, and wait until it is ready."""
    objects = cluster(pods, nodes)
    api_port, port = free_port(), free_port()
    ours, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(api_port, objects, theirs), daemon=True
    )
    server.start()
    wait_for(api_port, "/healthz")
    key = folder / "decision-key"
    key.write_bytes(KEY.secret)
    environment = {
        **os.environ,
        "ACESNIPER_KUBECONFIG": str(lines(api_port, folder)),
        "ACESNIPER_PORT": str(port),
        "ACESNIPER_DECISION_KEY": str(key),
        "ACESNIPER_PAGE": "false",
        "ACESNIPER_LOG_LEVEL": "warning",
    }
    while ours.poll():
        ours.recv()
    started_s = time.time()
    extender = subprocess.Popen([sys.executable, "-m", "acesniper.extender"], env=environment)
    try:
        wait_for(port, "/readyz")
        ready_s = time.time()
    finally:
        extender.terminate()
        extender.wait()
        server.kill()
    lists = list(drain(ours))
    listed_s = max(at for _, at in lists)
    size = sum(len(item) for items in objects.values() for item in items) / 1e6
    first_s = min(at for _, at in lists)
    return Result(
        pods,
        nodes,
        size,
        first_s - started_s,
        listed_s - started_s,
        ready_s - started_s,
        ready_s - listed_s,
    )


def drain(connection: Connection) -> Iterator[tuple[str, float]]:
    """The messages received so far."""
    while connection.poll():
        yield connection.recv()


def wait_for(port: int, path: str) -> None:
    """Send requests until the response is 200."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.02)
    raise TimeoutError(f"{path} was not ready within {PATIENCE_S:.0f} s")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options.pods, options.nodes, Path(folder))
    table = Table(
        "pods", "nodes", "MB listed", "first list s", "lists done s", "ready s", "after s"
    )
    row = list(asdict(result).values())
    table.add_row(str(row[0]), str(row[1]), *(f"{value:.2f}" for value in row[2:]))
    Console(file=sys.stdout).print(table)
    machine = {"python": platform.python_version(), "machine": platform.platform()}
    print("against a fake API server;", machine)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, **asdict(result)}, indent=2) + "\n")


if __name__ == "__main__":
    main()
