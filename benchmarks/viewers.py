"""Effect of viewers of the page on the latency of responses to kube-scheduler.

Sends requests to the extender of a fleet of N nodes, whose planner replans pending tasks
continuously, once without viewers and once with viewers who open all views; prints both.

    python benchmarks/viewers.py [--nodes 5000] [--tasks 10000] [--viewers 5] [--requests 2000]
"""

import argparse
import asyncio
import http.client
import itertools
import multiprocessing
import sys
import time
from multiprocessing.synchronize import Semaphore
from unittest.mock import Mock

import uvicorn
import uvloop
from extender import (
    Server,
    SyntheticPredictor,
    add_pending_tasks,
    body,
    fill,
    machine,
    quantile,
    report_changes,
)
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table
from starlette.applications import Starlette

from acesniper.extender.__main__ import (
    SecondaryServer,
    relax_garbage_collector,
    shorten_switch_interval,
)
from acesniper.extender.app import create_app
from acesniper.extender.wiring import Extender
from acesniper.runtime.settings import ExtenderSettings

VIEWS = ("summary", "fleet?sort=backlog", "latency?height=40", "plan", "accuracy", "tasks")
EVERY_S = 2.0
WARM = 200
"""Requests before the measurement: the server has just started."""


def server_config(app: Starlette, port: int) -> uvicorn.Config:
    """Return the configuration of both servers."""
    return uvicorn.Config(app, host="127.0.0.1", port=port, access_log=False, log_config=None)


def serve_both(port: int, nodes: int, tasks: int) -> None:
    """Serve a filled cache, and the page on the next port."""
    registry = CollectorRegistry()
    state = Extender.build(ExtenderSettings(settle_s=0.0), Mock(), SyntheticPredictor(), registry)
    fill(state, nodes)
    add_pending_tasks(state, nodes, tasks)
    assert state.page is not None  # noqa: S101
    relax_garbage_collector()
    shorten_switch_interval()
    main = uvicorn.Server(server_config(create_app(state, registry), port))
    page = SecondaryServer(server_config(state.page.app(), port + 1))

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for server in (state.planner.run(), report_changes(state), page.serve(), main.serve()):
                group.create_task(server)

    uvloop.run(run())


def view_pages(port: int, viewer: int, requested: Semaphore) -> None:
    """Request one view after the other, without end, as a browser does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for turn in itertools.count(viewer):
        started_s = time.monotonic()
        view = VIEWS[turn % len(VIEWS)]
        # A different address per viewer: no response is shared.
        connection.request("GET", f"/api/{view}{'&' if '?' in view else '?'}offset={viewer}")
        connection.getresponse().read()
        requested.release()
        time.sleep(max(EVERY_S - (time.monotonic() - started_s), 0.0))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--viewers", type=int, default=5)
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    table = Table("viewers", "verb", "p50 ms", "p99 ms")
    request = body(options.nodes)
    for viewers in (0, options.viewers):
        with Server(serve_both, options.nodes, options.tasks) as server:
            requested = context.Semaphore(0)
            processes = [
                context.Process(
                    target=view_pages, args=(server.port + 1, viewer, requested), daemon=True
                )
                for viewer in range(viewers)
            ]
            for process in processes:
                process.start()
            for _ in processes:
                requested.acquire()  # starting a process costs more than its requests
            server.times_ms("/prioritize", request, WARM)
            for verb in ("filter", "prioritize"):
                times, _ = server.times_ms(f"/{verb}", request, options.requests)
                shown = (f"{quantile(times, share):.2f}" for share in (0.5, 0.99))
                table.add_row(str(viewers), verb, *shown)
            for process in processes:
                process.terminate()
                process.join()
    console = Console(file=sys.stdout)
    console.print(table)
    console.print(f"{machine()}")


if __name__ == "__main__":
    main()
