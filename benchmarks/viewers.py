"""Effect of the page's viewers on the response time of the extender.

Sends requests to the extender of a fleet of N nodes, whose planner plans queued tasks without a
pause, first without viewers and then with viewers who cycle through the page; prints both.

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

import uvloop
from extender import Guess, Server, body, fill, let_wait, machine, quantile, stir
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from acesniper.extender.__main__ import listen, relax_garbage_collector, shorten_switch_interval
from acesniper.extender.app import create_app
from acesniper.extender.http_server import PAGE_LIMITS, SCHEDULER_LIMITS, LimitedServer
from acesniper.extender.wiring import Extender
from acesniper.runtime.settings import ExtenderSettings

VIEWS = ("summary", "fleet?sort=backlog", "latency?height=40", "plan", "accuracy", "tasks")
EVERY_S = 2.0
WARM = 200
"""Number of warm-up requests."""


def serve_both(port: int, nodes: int, tasks: int) -> None:
    """Serve a filled cache, and the page on the next port."""
    registry = CollectorRegistry()
    state = Extender.build(ExtenderSettings(settle_s=0.0), Mock(), Guess(), registry)
    fill(state, nodes)
    let_wait(state, nodes, tasks)
    assert state.page is not None  # noqa: S101
    relax_garbage_collector()
    shorten_switch_interval()
    app, page_app, host = create_app(state, registry), state.page.app(), "127.0.0.1"

    async def run() -> None:
        main = LimitedServer(app, listen(host, port), SCHEDULER_LIMITS, handles_signals=True)
        page = LimitedServer(page_app, listen(host, port + 1), PAGE_LIMITS)
        async with asyncio.TaskGroup() as group:
            for job in (state.planner.run(), stir(state), page.serve(), main.serve()):
                group.create_task(job)

    uvloop.run(run())


def look(port: int, viewer: int, looks: Semaphore) -> None:
    """Load one view after the other until terminated, as a browser does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for turn in itertools.count(viewer):
        began_s = time.monotonic()
        view = VIEWS[turn % len(VIEWS)]
        # An address of its own: nothing is shared with the other viewers.
        connection.request("GET", f"/api/{view}{'&' if '?' in view else '?'}offset={viewer}")
        connection.getresponse().read()
        looks.release()
        time.sleep(max(EVERY_S - (time.monotonic() - began_s), 0.0))


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
    asked = body(options.nodes)
    for viewers in (0, options.viewers):
        with Server(serve_both, options.nodes, options.tasks) as server:
            looks = context.Semaphore(0)
            looking = [
                context.Process(target=look, args=(server.port + 1, number, looks), daemon=True)
                for number in range(viewers)
            ]
            for viewer in looking:
                viewer.start()
            for _ in looking:
                looks.acquire()  # starting takes the machine more than looking does
            server.times_ms("/prioritize", asked, WARM)
            for verb in ("filter", "prioritize"):
                times, _ = server.times_ms(f"/{verb}", asked, options.requests)
                shown = (f"{quantile(times, share):.2f}" for share in (0.5, 0.99))
                table.add_row(str(viewers), verb, *shown)
            for viewer in looking:
                viewer.terminate()
                viewer.join()
    console = Console(file=sys.stdout)
    console.print(table)
    console.print(f"{machine()}")


if __name__ == "__main__":
    main()
