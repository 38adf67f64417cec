"""Throughput and cost of ten thousand InferenceTasks that are applied at the same time.

    python benchmarks/lifecycle.py [--tasks N] [--nodes N] [--slots N] [--run-s S] [--json FILE]

Control plane, operator, extender and our kube-scheduler are real processes; devices are copies of
those in examples/devices, models those in examples/models, predictions the network's. This process
applies the tasks and runs hollow kubelets (`acesniper.testbed.hollow_kubelets`). Slots and run
times limit the rate of bindings; the limit is printed. All processes share this machine's cores,
so the processor time of each is printed, too.
"""

import argparse
import asyncio
import copy
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median, quantiles

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from acesniper.api.names import INFERENCE_TASKS
from acesniper.api.objects import Json
from acesniper.runtime.client import Cluster
from acesniper.runtime.watch import Reflector
from acesniper.testbed.control_plane import ControlPlane
from acesniper.testbed.demo import examples
from acesniper.testbed.demo.examples import object_name, shipped_devices
from acesniper.testbed.demo.workload import DemoTask
from acesniper.testbed.deployment import EXTENDER, OPERATOR, ROOT, SCHEDULER, Deployment
from acesniper.testbed.errors import NotReady
from acesniper.testbed.hollow_kubelets import HollowKubelets, ready_node

NAMESPACE = "lifecycle"
MODELS = ("mobilenet_v3_small", "squeezenet1_1", "resnet18", "shufflenet_v2")
PARTS = {OPERATOR: OPERATOR, EXTENDER: EXTENDER, SCHEDULER: "acesniper-scheduler"}
"""Our processes, and their users at the API server."""
OTHERS = ("kube-apiserver", "etcd", "kube-controller-manager")
APPLYING = 32
"""Concurrent requests that create tasks."""
PATIENCE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Result:
    """Results of one run of the benchmark.

    `tasks_per_s` from the first apply to the last binding; `sustained_per_s` between the first and
    the last tenth of the bindings. Requests are those of operator, extender and scheduler.
    """

    tasks: int
    slots: int
    run_s: float
    cap_per_s: float
    applied_per_s: float
    tasks_per_s: float
    sustained_per_s: float
    p50_bind_s: float
    p99_bind_s: float
    finished_per_min: float
    operator_mib: float
    operator_end_mib: float
    requests_per_task: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests and processor milliseconds per task, by component; requests also by kind."""

    requests: Mapping[str, float]
    cpu_ms: Mapping[str, float]
    calls: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Fleet:
    """Nodes with their profiles, models, and the inferences of a task of each model."""

    nodes: Sequence[Json]
    profiles: Sequence[Json]
    latencies: Mapping[tuple[str, str], float]
    inferences: Mapping[str, int]

    @property
    def run_s(self) -> float:
        """Mean run time over all devices and models."""
        return fmean(
            self.inferences[model] * seconds for (_, model), seconds in self.latencies.items()
        )


def fleet(nodes: int, slots: int, run_s: float) -> Fleet:
    """Copies of the example devices; on the median device every task takes `run_s`."""
    devices = shipped_devices(ROOT / "examples/devices")
    models = [object_name(model) for model in MODELS]
    profiles: list[Json] = []
    latencies: dict[tuple[str, str], float] = {}
    for number in range(nodes):
        device, name = devices[number % len(devices)], f"node-{number:03d}"
        profile = copy.deepcopy(dict(device.profile))
        profile["metadata"] = {"name": name}
        profile["spec"] |= {"node": name, "slots": slots}
        profiles.append(profile)
        latencies |= {(name, model): device.latency_s[model] for model in models}
    typical = {model: median(device.latency_s[model] for device in devices) for model in models}
    return Fleet(
        [ready_node(profile["metadata"]["name"]) for profile in profiles],
        profiles,
        latencies,
        {model: max(1, round(run_s / seconds)) for model, seconds in typical.items()},
    )


# --- what the API server and the kernel counted ------------------------------------------------


def flow_schemas() -> list[Json]:
    """A FlowSchema per component, so that its requests can be counted separately."""
    every = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
    return [
        {
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
            "kind": "FlowSchema",
            "metadata": {"name": part},
            "spec": {
                "matchingPrecedence": 1000,
                "priorityLevelConfiguration": {"name": "workload-low"},
                "distinguisherMethod": {"type": "ByUser"},
                "rules": [
                    {
                        "subjects": [{"kind": "User", "user": {"name": user}}],
                        "resourceRules": [{**every, "clusterScope": True}],
                    }
                ],
            },
        }
        for part, user in PARTS.items()
    ]


def counted(plane: ControlPlane) -> tuple[Counter[str], Counter[str]]:
    """Requests so far, by component, and by verb and resource."""
    parts: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for family in text_string_to_metric_families(plane.kubectl("get", "--raw", "/metrics")):
        for sample in family.samples:
            if sample.name == "apiserver_flowcontrol_dispatched_requests_total":
                if (part := sample.labels["flow_schema"]) in PARTS:
                    parts[part] += round(sample.value)
            elif sample.name == "apiserver_request_total":
                named = [sample.labels[label] for label in ("verb", "resource", "subresource")]
                calls[" ".join(filter(None, named))] += round(sample.value)
    return parts, calls


def cpu_s(pid: int) -> float:
    """Processor seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, what: str) -> float:
    """VmRSS or VmHWM of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))


# --- the run -----------------------------------------------------------------------------------


def register(plane: ControlPlane, made: Fleet, url: str) -> None:
    """Create namespace, nodes and profiles, and wait until all are ready."""
    plane.kubectl("create", "namespace", NAMESPACE)
    sources = examples.model_sources(
        [ROOT / f"examples/models/{name}.onnx" for name in MODELS], url
    )
    models = examples.model_profile_list(sources, {}, NAMESPACE)["items"]
    for items, flags in (
        (flow_schemas(), ()),
        (made.nodes, ()),
        (made.nodes, ("--subresource=status",)),
        (made.profiles, ()),
        (made.profiles, ("--subresource=status",)),
        (models, ()),
    ):
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        plane.kubectl("apply", "--server-side", *flags, "-f", "-", stdin=listed, timeout_s=300)
    for kind, condition in (("modelprofile", "Profiled"), ("deviceprofile", "Ready")):
        plane.kubectl(
            "wait",
            f"--for=condition={condition}",
            "--timeout=120s",
            kind,
            "--all",
            "-n",
            NAMESPACE,
            timeout_s=150,
        )
    ready = plane.api_answers(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default")
    plane.children["kube-controller-manager"].wait_until(ready)


async def live(plane: ControlPlane, made: Fleet, tasks: int) -> "Times":
    """Apply all tasks, and run the kubelets until all have finished."""
    times, changed = Times({}, {}, {}), asyncio.Event()
    async with Cluster.connect(plane.kubeconfig("admin")) as cluster:
        names = [node["metadata"]["name"] for node in made.nodes]
        kubelets = HollowKubelets(cluster, names, made.latencies, times.bound_s)

        def take(_: str, task: Json) -> None:
            phase = (task.get("status") or {}).get("phase")
            if phase == "Failed":
                raise NotReady(f"{task['metadata']['name']}: {task['status'].get('message')}")
            if phase == "Succeeded":
                times.finished_s.setdefault(task["metadata"]["name"], time.time())
                changed.set()

        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            ready = asyncio.Event()
            mirror = Reflector(cluster, INFERENCE_TASKS, take)
            playing = [group.create_task(kubelets.run(ready)), group.create_task(mirror.run())]
            await ready.wait()
            await mirror.synced.wait()
            feeding = group.create_task(apply(cluster, made, tasks, times))
            with shown(tasks) as bar:
                while len(times.finished_s) < tasks:
                    changed.clear()
                    await changed.wait()
                    bar.update(bar.task_ids[0], completed=len(times.finished_s))
            await feeding
            for job in playing:
                job.cancel()
    return times


def shown(tasks: int) -> Progress:
    """A bar of finished tasks."""
    columns = (TextColumn("finished"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    bar.add_task("finished", total=tasks)
    return bar


@dataclass(frozen=True, slots=True)
class Times:
    """When each task was created, bound and observed to have succeeded; seconds since the epoch."""

    applied_s: dict[str, float]
    bound_s: dict[str, float]
    finished_s: dict[str, float]


async def apply(cluster: Cluster, made: Fleet, tasks: int, times: Times) -> None:
    """Create all tasks as fast as the API server accepts them."""
    models = list(made.inferences)
    waiting = iter(range(tasks))

    async def lane() -> None:
        for number in waiting:
            model = models[number % len(models)]
            task = DemoTask(f"t{number:05d}", model, made.inferences[model])
            times.applied_s[task.name] = time.time()
            await cluster.create(INFERENCE_TASKS, task.manifest(NAMESPACE), NAMESPACE)

    async with asyncio.TaskGroup() as group:
        for _ in range(APPLYING):
            group.create_task(lane())


def measure(given: argparse.Namespace) -> tuple[Result, Cost]:
    """One run of the benchmark."""
    made = fleet(given.nodes, given.slots, given.run_s)
    with ControlPlane() as plane, examples.serve_folder(ROOT / "examples/models") as url:
        Deployment(plane, {"ACESNIPER_LOG_LEVEL": "warning"}).start()
        register(plane, made, url)
        pids = {name: plane.children[name].pid for name in (*PARTS, *OTHERS)} | {
            "this": os.getpid()
        }
        parts, calls = counted(plane)
        used = {name: cpu_s(pid) for name, pid in pids.items()}
        times = asyncio.run(live(plane, made, given.tasks))
        used = {name: cpu_s(pid) - used[name] for name, pid in pids.items()}
        parts_after, calls_after = counted(plane)
        memory = [memory_mib(pids[OPERATOR], what) for what in ("VmHWM", "VmRSS")]
    requests = {part: (parts_after[part] - parts[part]) / given.tasks for part in PARTS}
    cost = Cost(
        requests,
        {name: 1e3 * seconds / given.tasks for name, seconds in used.items()},
        {name: (calls_after[name] - calls[name]) / given.tasks for name in calls_after},
    )
    return summarised(given, made, times, memory, sum(requests.values())), cost


def summarised(
    given: argparse.Namespace, made: Fleet, times: Times, memory: Sequence[float], requests: float
) -> Result:
    """The figures of a run."""
    first_s = min(times.applied_s.values())
    bound = sorted(times.bound_s.values())
    tenth = len(bound) // 10
    delays = [times.bound_s[name] - applied for name, applied in times.applied_s.items()]
    slots = given.nodes * given.slots
    return Result(
        tasks=given.tasks,
        slots=slots,
        run_s=made.run_s,
        cap_per_s=slots / made.run_s,
        applied_per_s=given.tasks / (max(times.applied_s.values()) - first_s),
        tasks_per_s=given.tasks / (bound[-1] - first_s),
        sustained_per_s=(len(bound) - 2 * tenth) / (bound[-1 - tenth] - bound[tenth]),
        p50_bind_s=median(delays),
        p99_bind_s=quantiles(delays, n=100)[-1],
        finished_per_min=60 * given.tasks / (max(times.finished_s.values()) - first_s),
        operator_mib=memory[0],
        operator_end_mib=memory[1],
        requests_per_task=requests,
    )


def tables(result: Result, cost: Cost) -> list[Table]:
    """The results as tables."""
    figures = Table("figure", "value", title=f"{result.tasks} tasks")
    for name, value in asdict(result).items():
        figures.add_row(name, f"{value:,.1f}" if isinstance(value, float) else f"{value:,}")
    parts = Table("process", "requests a task", "processor ms a task")
    for name, spent in cost.cpu_ms.items():
        made = cost.requests.get(name)
        parts.add_row(name, "" if made is None else f"{made:.2f}", f"{spent:.1f}")
    calls = Table("request", "a task")
    for name, count in sorted(cost.calls.items(), key=lambda pair: -pair[1]):
        if count >= 0.01:
            calls.add_row(name, f"{count:.2f}")
    return [figures, parts, calls]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--slots", type=int, default=8, help="per node")
    parser.add_argument("--run-s", type=float, default=1.0, help="on the median device")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    result, cost = measure(given)
    console = Console(file=sys.stdout)
    for table in tables(result, cost):
        console.print(table)
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    print("everything on this machine:", machine)
    if given.json:
        document = {"machine": machine, **asdict(result), "cost": asdict(cost)}
        given.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
