"""Load time and transfer size of the page in a browser.

Serves the page of a synthetic fleet and opens each view in Chromium with an empty cache: seconds to
the first paint and to the view's data, and bytes received. As a baseline, it also loads a bare page
that only says "hello".

    python benchmarks/page.py [--fleet 5x3 --fleet 5000x1000] [--pictures docs/images] [--json FILE]

With `--pictures FOLDER` it also takes the screenshots of the documents.
"""

import argparse
import json
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from playwright.sync_api import Browser
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

from browser import VIEWS, chromium_running, served, visiting
from page_fleet import page_state

FIRST_PAINT = """new Promise((done) => new PerformanceObserver((list) => {
  const found = list.getEntriesByName("first-contentful-paint")[0];
  if (found) done(found.startTime / 1e3);
}).observe({ type: "paint", buffered: true }))"""
PICTURES = (
    ("fleet", 5, "desktop", "light"),
    ("latency", 5, "desktop", "light"),
    ("latency", 5000, "desktop", "dark"),
    ("plan", 5000, "desktop", "light"),
    ("accuracy", 5000, "desktop", "light"),
    ("task/default/night-0001", 5, "desktop", "dark"),
    ("fleet", 5000, "tablet", "dark"),
    ("plan", 5000, "tablet", "light"),
    ("fleet", 5, "phone", "light"),
    ("task/default/night-0001", 5, "phone", "light"),
    ("latency", 5000, "phone", "dark"),
)
"""View, devices, size, theme."""


@dataclass(frozen=True, slots=True)
class Result:
    """One view of one fleet."""

    fleet: str
    view: str
    first_paint_s: float
    hello_s: float
    data_s: float
    kilobytes: float


def measure(browser: Browser, address: str, fleet: str) -> list[Result]:
    """Load each view with an empty cache."""
    results = []
    for view in VIEWS:
        with visiting(browser, address) as bare:
            bare.page.goto("data:text/html,<p>hello")
            hello_s = float(bare.page.evaluate(FIRST_PAINT))
        with visiting(browser, address) as visit:
            visit.open(view)
            data_s = float(visit.page.evaluate("performance.now() / 1e3"))
            paint_s = float(visit.page.evaluate(FIRST_PAINT))
            name = view.partition("/")[0]
            results.append(
                Result(fleet, name, paint_s, hello_s, data_s, visit.bytes_received / 1e3)
            )
    return results


def take_pictures(browser: Browser, address: str, devices: int, folder: Path) -> None:
    """The screenshots of a fleet of this size."""
    for view, of, size, theme in PICTURES:
        if of != devices:
            continue
        with visiting(browser, address, size, theme) as visit:
            visit.open(view)
            name = f"page-{view.partition('/')[0]}-{of}-{size}-{theme}.png"
            visit.page.screenshot(path=folder / name)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--fleet", action="append", metavar="DEVICESxMODELS")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: list[Result] = []
    with chromium_running() as browser:
        for fleet in options.fleet or ["5x3", "5000x1000"]:
            devices, models = map(int, fleet.split("x"))
            with served(page_state(devices, models)) as address:
                results += measure(browser, address, fleet)
                if options.pictures:
                    take_pictures(browser, address, devices, options.pictures)
    table = Table("fleet", "view", "first paint s", "hello s", "data s", "kB")
    for result in results:
        seconds = (result.first_paint_s, result.hello_s, result.data_s)
        table.add_row(
            result.fleet,
            result.view,
            *(f"{value:.2f}" for value in seconds),
            f"{result.kilobytes:.0f}",
        )
    machine = {"python": platform.python_version(), "machine": platform.platform()}
    console = Console(file=sys.stdout)
    console.print(table)
    console.print(f"{machine}")
    if options.json:
        document = {"machine": machine, "results": [asdict(result) for result in results]}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
