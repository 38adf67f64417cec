"""The effect of hostile namespaces on another one, on a real control plane.

    python benchmarks/tenants.py [--tenants N ...] [--devices N] [--json FILE]

One honest namespace runs the same tasks twice: alone, and together with hostile namespaces whose
user may create tasks, ModelProfiles, ConfigMaps and pods in them, and nothing else. Each of them

- sends objects that are nested 1,500 levels deep;
- creates pods that claim devices: unbound, with a forged decision, and for another scheduler;
- runs its own containers in tasks, which report a millionth or a million times the latency;
- applies models that are expensive to read (nested functions), many batch sizes of one model, and
  a model in an OCI registry that asks for the token of an internal server;
- applies four tasks of a billion inferences, and more ordinary tasks than the honest namespace.

Printed and written for each number of hostile namespaces:

parts_ended           processes of ours that ended (operator, extender, kube-scheduler)
honest_delay_ratio    mean response of the honest tasks with the hostile namespaces, over alone
prediction_shift      largest factor between a prediction for the honest namespace before and after
foreign_pods_deleted  pods without a task in hostile namespaces that our components deleted
secrets_sent          times that the internal server's token reached the registry of a tenant

Devices are emulated with measured latencies; control plane, operator, extender and kube-scheduler
are real processes.
"""

import argparse
import base64
import hashlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import fmean
from typing import Any

import onnx
from onnx import TensorProto, helper
from rich.console import Console
from rich.table import Table

from acesniper.api.names import API_VERSION
from acesniper.api.objects import Json
from acesniper.api.units import epoch_s
from acesniper.api.v1alpha1 import FINISHED
from acesniper.testbed.control_plane import ControlPlane
from acesniper.testbed.demo import examples
from acesniper.testbed.demo.examples import EmulatedDevice, object_name, shipped_devices
from acesniper.testbed.demo.workload import latency_table
from acesniper.testbed.deployment import EXTENDER, OPERATOR, ROOT, SCHEDULER, Deployment
from acesniper.testbed.emulator import Emulator, Run
from acesniper.testbed.errors import CommandFailed, NotReady
from acesniper.testbed.kwok import make_node, start_kwok

HONEST = "honest"
HOSTILE = "hostile"
TENANT = "tenant"
"""The user of the hostile namespaces."""
MODELS = ("mobilenet_v3_small", "squeezenet1_1", "resnet18")
HONEST_TASKS = 12
ORDINARY_TASKS = 20
MONOPOLISTS = 4
GHOSTS = 5
FORGERS = 3
VARIANTS = 20
"""Batch sizes of one model, by hostile namespace."""
RUN_S = 1.0
"""Run time that a task's number of inferences aims at, on the median device."""
DEPTH = 1500
PATIENCE_S = 600.0
"""An honest task that has not finished by then counts with this response."""
PARTS = (OPERATOR, EXTENDER, SCHEDULER)
TOKEN = "token-of-an-internal-server"  # noqa: S105 - what must not leave


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures of one run with a number of hostile namespaces; see the module's description."""

    tenants: int
    parts_ended: int
    honest_delay_ratio: float
    prediction_shift: float
    foreign_pods_deleted: int
    secrets_sent: int
    honest_alone_s: float
    honest_shared_s: float
    honest_unfinished: int
    operator_peak_mib: float
    extender_peak_mib: float
    objects_refused: int


# --- the objects of a hostile namespace --------------------------------------------------------


def ghost_pods(devices: Sequence[EmulatedDevice]) -> list[Json]:
    """Pods that claim devices, for an unknown scheduler and for ours with a forged decision."""
    pods = []
    for number in range(GHOSTS):
        device = devices[number % len(devices)]
        decision = {"decidedAt": time.time(), "policy": "forged", "candidates": []}
        candidate: Json = {"device": device.node, "node": device.node, "source": "forged"}
        seconds = ("latency", "low", "high", "backlog", "coldStart", "transfer", "run", "finish")
        candidate |= {f"{name}Seconds": 1e12 for name in seconds} | {"inferences": 1}
        decision["candidates"] = [candidate]
        annotations = {
            "acesniper.io/device": device.node,
            "acesniper.io/decision": json.dumps(decision),
        }
        container = {"name": "main", "image": "example"}
        limits = {"resources": {"limits": {"acesniper.io/slot": "1"}}}
        scheduler = "unknown" if number % 2 else "ace-sniper"
        spec: Json = {"schedulerName": scheduler, "containers": [container | limits]}
        if not number % 2:
            spec["schedulingGates"] = [{"name": "example.com/never"}]
        metadata = {"name": f"ghost-{number}", "annotations": annotations}
        pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    return pods


def nested_functions(levels: int = 7, calls: int = 9) -> bytes:
    """A model of about 1 KB, whose functions call the next one `calls` times each."""
    domain, functions = "deep", []
    for level in range(levels):
        inner = f"f{level + 1}" if level + 1 < levels else "Relu"
        inner_domain = domain if level + 1 < levels else ""
        names = ["x", *(f"t{i}" for i in range(calls - 1)), "y"]
        nodes = [
            helper.make_node(inner, [names[i]], [names[i + 1]], domain=inner_domain)
            for i in range(calls)
        ]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
        functions.append(helper.make_function(domain, f"f{level}", ["x"], ["y"], nodes, opsets))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("f0", ["x"], ["y"], domain=domain)],
        "nested",
        [value("x", TensorProto.FLOAT, [1, 8])],
        [value("y", TensorProto.FLOAT, [1, 8])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    model: onnx.ModelProto = helper.make_model(
        graph, functions=functions, opset_imports=opsets, ir_version=8
    )
    return bytes(model.SerializeToString())


def task(name: str, **spec: object) -> Json:
    """An InferenceTask."""
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceTask",
        "metadata": {"name": name},
        "spec": spec,
    }


def model_profile(name: str, uri: str, sha256: str) -> Json:
    """A ModelProfile."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelProfile",
        "metadata": {"name": name},
        "spec": {"source": {"uri": uri, "sha256": sha256}},
    }


def hostile_objects(
    devices: Sequence[EmulatedDevice],
    honest_model: Json,
    inferences: Mapping[str, int],
    registry: str,
) -> list[Json]:
    """The objects that a hostile namespace applies, without the deep ones."""
    content = nested_functions()
    digest = hashlib.sha256(content).hexdigest()
    expensive = {"model.onnx": base64.b64encode(content).decode()}
    model, *_ = inferences
    own = {"spec": {"containers": [{"name": "runner", "image": "mine", "command": ["/forge"]}]}}
    first = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "deep"},
            "binaryData": expensive,
        },
        model_profile("deep", "configmap://deep/model.onnx", digest),
        model_profile("registry", f"oci+http://{registry}/model:1", "0" * 64),
        {**honest_model, "metadata": {"name": model}},
    ]
    tasks = [
        *(task(f"forger-{i}", model=model, inferences=3, template=own) for i in range(FORGERS)),
        *(task(f"monopolist-{i}", model=model, inferences=10**9) for i in range(MONOPOLISTS)),
        *(
            task(f"variant-{size}", model=model, batchSize=size, suspend=True)
            for size in range(2, VARIANTS + 2)
        ),
        *(
            task(f"ordinary-{i}", model=model, inferences=inferences[model])
            for i in range(ORDINARY_TASKS)
        ),
    ]
    return [*ghost_pods(devices), *first, *tasks]


def deep_task() -> str:
    """The JSON of a task that is nested `DEPTH` levels deep."""
    nested = '{"a":' * DEPTH + "1" + "}" * DEPTH
    head = json.dumps(task("deep", model="m", suspend=True))
    return head[:-2] + ',"resources":{"limits":' + nested + "}}}"


def forged(run: Run, report: Json) -> Json:
    """The report of a hostile container: a millionth of the latency, or a million times it."""
    if not run.namespace.startswith(HOSTILE) or not run.task.startswith("forger"):
        return report
    factor = 1e-6 if int(run.namespace.rpartition("-")[2]) % 2 else 1e6
    latency_s = report["latency_median_s"] * factor
    return {**report, "latency_median_s": latency_s, "latency_p90_s": latency_s}


# --- servers of a tenant, and one that is not the tenant's --------------------------------------


@dataclass(slots=True)
class TokenServers:
    """A tenant's registry that refers to an internal server for tokens, and that server."""

    registry: str = ""
    tokens_received: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self) -> Iterator["TokenServers"]:
        """Serve both on free ports of 127.0.0.1."""
        with _server(_InternalServer) as internal:
            servers = self

            class Registry(_QuietHandler):
                def do_GET(self) -> None:
                    servers.count(str(self.headers) + self.path)
                    self.send_response(401)
                    realm = f'Bearer realm="http://127.0.0.1:{internal}/token",service="x"'
                    self.send_header("WWW-Authenticate", realm)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            with _server(Registry) as port:
                self.registry = f"127.0.0.1:{port}"
                yield self

    def count(self, request: str) -> None:
        """Count a request if it carries the token."""
        if TOKEN in request:
            with self._lock:
                self.tokens_received += 1


class _QuietHandler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""


class _InternalServer(_QuietHandler):
    def do_GET(self) -> None:
        body = json.dumps({"token": TOKEN}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def _server(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


# --- the run -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Cluster:
    """The system under attack, and the honest namespace."""

    system: Deployment
    devices: Sequence[EmulatedDevice]
    inferences: Mapping[str, int]

    @property
    def plane(self) -> ControlPlane:
        """The control plane."""
        return self.system.plane

    def apply(
        self, namespace: str, items: Sequence[Json], *flags: str, user: str = "admin"
    ) -> None:
        """Create objects in a namespace."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
        command = ("create", "-n", namespace, *flags, "-f", "-")
        self.plane.kubectl(*command, stdin=listed, identity=user, timeout_s=300)

    def get(self, kind: str, *flags: str) -> list[Json]:
        """Objects of a kind."""
        answer = self.plane.kubectl("get", kind, *flags, "-o", "json", timeout_s=120)
        items: list[Json] = json.loads(answer)["items"]
        return items

    def run_honest(self, stem: str, count: int = HONEST_TASKS) -> tuple[float, int]:
        """Apply honest tasks; mean response in seconds, and how many have not finished."""
        models = list(self.inferences)
        tasks = [
            task(
                f"{stem}-{i}",
                model=(model := models[i % len(models)]),
                inferences=self.inferences[model],
            )
            for i in range(count)
        ]
        return self._respond(stem, tasks)

    def learn(self) -> None:
        """Run every model on every device, so that predictions match the latencies."""
        for number in range(2):
            tasks = [
                task(
                    f"learn-{number}-{device.node}-{model}",
                    model=model,
                    inferences=3,
                    nodeSelector={"kubernetes.io/hostname": device.node},
                )
                for device in self.devices
                for model in self.inferences
            ]
            self._respond(f"learn-{number}", tasks)

    def _respond(self, stem: str, tasks: Sequence[Json]) -> tuple[float, int]:
        self.apply(HONEST, tasks)
        names = [item["metadata"]["name"] for item in tasks]
        command = ("wait", "--for=condition=Finished", f"--timeout={PATIENCE_S:g}s", "-n", HONEST)
        with suppress(CommandFailed):  # unfinished tasks are counted below
            self.plane.kubectl(*command, "inferencetask", *names, timeout_s=PATIENCE_S + 30)
        responses = []
        unfinished = 0
        for item in self.get("inferencetasks", "-n", HONEST):
            if not item["metadata"]["name"].startswith(f"{stem}-"):
                continue
            status = item.get("status", {})
            if status.get("phase") != "Succeeded":
                unfinished += 1
                responses.append(PATIENCE_S)
                continue
            done = next(c for c in status["conditions"] if c["type"] == "Finished")
            created = epoch_s(item["metadata"]["creationTimestamp"])
            responses.append(
                epoch_s(status.get("finishTime") or done["lastTransitionTime"]) - created
            )
        return fmean(responses), unfinished

    def predictions(self, stem: str) -> dict[tuple[str, str], float]:
        """Predicted latency of an honest task by model and device, from the tasks' decisions."""
        found: dict[tuple[str, str], float] = {}
        for item in self.get("pods", "-n", HONEST):
            name = item["metadata"]["labels"]["acesniper.io/task"]
            if not name.startswith(f"{stem}-"):
                continue
            decision = self.system.ask(f"/explain?pod={item['metadata']['uid']}")
            for candidate in decision["candidates"]:
                model = item["metadata"]["labels"]["acesniper.io/model"]
                found[model, candidate["device"]] = candidate["latencySeconds"]
        return found

    def peak_mib(self, part: str) -> float:
        """Peak memory of a component."""
        lines = Path(f"/proc/{self.plane.children[part].pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def shift(before: Mapping[Any, float], after: Mapping[Any, float]) -> float:
    """The largest factor, at least 1, between two predictions of the same model and device."""
    both = before.keys() & after.keys()
    return max(
        (max(before[key] / after[key], after[key] / before[key]) for key in both), default=1.0
    )


def outcome(tenants: int, devices: Sequence[EmulatedDevice]) -> Outcome:
    """Run the honest tasks alone, then next to so many hostile namespaces."""
    with (
        ControlPlane() as plane,
        examples.serve_folder(ROOT / "examples/models") as url,
        TokenServers().running() as servers,
    ):
        start_kwok(plane)
        system = Deployment(plane)
        system.start()
        typical = {
            object_name(model): sorted(device.latency_s[object_name(model)] for device in devices)
            for model in MODELS
        }
        inferences = {
            model: max(1, round(RUN_S / values[len(values) // 2]))
            for model, values in typical.items()
        }
        cluster = Cluster(system, devices, inferences)
        models = register(cluster, url)
        emulator = Emulator(plane.kubeconfig("admin"), latency_table(devices), report=forged)
        with emulator:
            cluster.learn()
            alone_s, _ = cluster.run_honest("alone")
            cluster.run_honest("before", len(MODELS))
            before = cluster.predictions("before")
            pids = {part: plane.children[part].pid for part in PARTS}
            ghosts, refused = attack(cluster, tenants, models[object_name(MODELS[0])], servers)
            shared_s, unfinished = cluster.run_honest("shared")
            after = cluster.predictions("shared")
            kept = {pod["metadata"]["uid"] for pod in cluster.get("pods", "-A")}
            ended = [
                part
                for part, pid in pids.items()
                if not plane.children[part].running or plane.children[part].pid != pid
            ]
            peaks = {part: 0.0 if part in ended else cluster.peak_mib(part) for part in PARTS}
    return Outcome(
        tenants=tenants,
        parts_ended=len(ended),
        honest_delay_ratio=shared_s / alone_s,
        prediction_shift=shift(before, after),
        foreign_pods_deleted=len(ghosts - kept),
        secrets_sent=servers.tokens_received,
        honest_alone_s=alone_s,
        honest_shared_s=shared_s,
        honest_unfinished=unfinished,
        operator_peak_mib=peaks[OPERATOR],
        extender_peak_mib=peaks[EXTENDER],
        objects_refused=refused,
    )


def register(cluster: Cluster, url: str) -> dict[str, Json]:
    """Create devices and the honest namespace with its models; the ModelProfiles by name."""
    plane = cluster.plane
    plane.kubectl("create", "namespace", HONEST)
    paths = [ROOT / f"examples/models/{name}.onnx" for name in MODELS]
    listed = examples.model_profile_list(examples.model_sources(paths, url), {}, HONEST)
    profiles = [dict(device.profile) for device in cluster.devices]
    for items, flags in (
        ([make_node(device.node) for device in cluster.devices], ()),
        (profiles, ()),
        (profiles, ("--subresource=status",)),
        (listed["items"], ()),
    ):
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        plane.kubectl("apply", "--server-side", *flags, "-f", "-", stdin=text)
    for kind, condition in (("modelprofile", "Profiled"), ("deviceprofile", "Ready")):
        condition = f"--for=condition={condition}"
        plane.kubectl("wait", condition, "--timeout=60s", "-n", HONEST, kind, "--all", timeout_s=90)
    return {item["metadata"]["name"]: item for item in listed["items"]}


def attack(
    cluster: Cluster, tenants: int, honest_model: Json, servers: TokenServers
) -> tuple[set[str], int]:
    """Let the tenants create their objects; UIDs of their own pods, and how many were refused."""
    plane = cluster.plane
    rules = [
        ("pods,configmaps", ""),
        ("inferencetasks,modelprofiles", ".acesniper.io"),
    ]
    resources = ",".join(f"{name}{group}" for names, group in rules for name in names.split(","))
    verbs = "--verb=create,get,list,watch,update,patch,delete"
    plane.kubectl("create", "clusterrole", TENANT, verbs, f"--resource={resources}")
    refused = 0
    with tempfile.TemporaryDirectory() as folder:
        deep = Path(folder) / "deep.json"
        deep.write_text(deep_task())
        for number in range(tenants):
            name = f"{HOSTILE}-{number}"
            plane.kubectl("create", "namespace", name)
            binding = ("rolebinding", TENANT, f"--clusterrole={TENANT}", f"--user={TENANT}")
            plane.kubectl("create", *binding, "-n", name)
            ready = plane.api_answers(f"/api/v1/namespaces/{name}/serviceaccounts/default")
            plane.children["kube-controller-manager"].wait_until(ready)
            path = f"/apis/{API_VERSION}/namespaces/{name}/inferencetasks"
            try:
                plane.kubectl("create", "--raw", path, "-f", deep, identity=TENANT)
            except CommandFailed:
                refused += 1
            objects = hostile_objects(
                cluster.devices, honest_model, cluster.inferences, servers.registry
            )
            try:
                cluster.apply(name, objects, user=TENANT)
            except CommandFailed as error:
                refused += len(str(error).splitlines())
    wait_for_forgeries(cluster, tenants)
    pods = cluster.get("pods", "-A")
    return {
        pod["metadata"]["uid"] for pod in pods if pod["metadata"]["name"].startswith("ghost-")
    }, refused


def wait_for_forgeries(cluster: Cluster, tenants: int) -> None:
    """Wait until forged reports were written by half of the tenants, or for a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        # No JSON: one of these objects is nested too deeply for a parser.
        columns = "custom-columns=NAME:.metadata.name,PHASE:.status.phase"
        rows = cluster.plane.kubectl("get", "inferencetasks", "-A", "-o", columns).splitlines()
        finished = [
            row for row in rows if row.startswith("forger-") and row.split()[-1] in FINISHED
        ]
        if len(finished) * 2 >= tenants * FORGERS:
            return
        time.sleep(1.0)


def show(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print a table, a column per number of tenants."""
    table = Table(title="One honest namespace and hostile ones")
    table.add_column("figure")
    for found in outcomes:
        table.add_column(f"{found.tenants} hostile", justify="right")
    rows = [asdict(found) for found in outcomes]
    for name in list(rows[0])[1:]:
        table.add_row(name, *(f"{row[name]:.4g}" for row in rows))
    console.print(table)


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tenants", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--devices", type=int, default=6)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    console = Console()
    devices = shipped_devices(ROOT / "examples/devices")[: options.devices]
    outcomes = []
    for tenants in options.tenants:
        with console.status(f"{tenants} hostile namespaces"):
            try:
                outcomes.append(outcome(tenants, devices))
            except NotReady as error:
                console.print(f"[red]{tenants} hostile namespaces: {error}")
                return 1
    show(console, outcomes)
    if options.json:
        worst = {
            name: max(getattr(found, name) for found in outcomes)
            for name in (
                "parts_ended",
                "honest_delay_ratio",
                "prediction_shift",
                "foreign_pods_deleted",
                "secrets_sent",
            )
        }
        figures = {**worst, "runs": [asdict(found) for found in outcomes]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
