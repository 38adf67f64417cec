# ruff: noqa: INP001 (a program and its modules, not a package)
"""Measure the example platforms: `python examples/devices/measure.py [--quick] [--only NAME ...]`.

With `--profiles` the devices are only probed, and the latencies are kept.

For each platform a child process probes it (NAME.yaml) and another measures every example model on
it (rows of latencies.csv). The predictor gets the profiles and never sees the latencies. Needs a
quiet machine and the packages of the extra `runtimes`.
"""

import argparse
import csv
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from limiter import run_limited
from platforms import PLATFORMS, Platform

HERE = Path(__file__).parent
MODELS = HERE.parent / "models"
ACESNIPER = [sys.executable, "-m", "acesniper.cli"]


def probe(platform: Platform, folder: Path, *, quick: bool) -> None:
    """Probe one platform into `folder`."""
    profile = str(folder / f"{platform.name}.yaml")
    named = ["--node", platform.name, "--name", platform.name, "-o", "yaml", "--file", profile]
    _run(platform, ["probe", *named], quick=quick)


def collect(platform: Platform, folder: Path, *, quick: bool) -> list[dict[str, str]]:
    """Measure the latencies of the models on one platform."""
    table = folder / f".{platform.name}.csv"
    named = ["--device", platform.name, "--output", str(table)]
    _run(platform, ["collect", str(MODELS), *named], quick=quick)
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table.unlink()
    return rows


def _run(platform: Platform, command: Sequence[str], *, quick: bool) -> None:
    """Run `acesniper` with a command under the limits of the platform."""
    full = [*ACESNIPER, *command, *platform.options(), *(["--quick"] if quick else [])]
    environment = {**os.environ, **platform.environment()}
    run_limited(full, environment, platform.quota, platform.threads)


def merge(path: Path, fresh: Sequence[dict[str, str]], names: Iterable[str]) -> None:
    """Replace the rows of the platforms just measured; keep the others in their order."""
    order = {platform.name: i for i, platform in enumerate(PLATFORMS)}
    kept: list[dict[str, str]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            kept = [row for row in csv.DictReader(file) if row["device"] not in set(names)]
    rows = sorted([*kept, *fresh], key=lambda row: order.get(row["device"], len(order)))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Measure all platforms, or those of --only."""
    parser = argparse.ArgumentParser(description="Measure the example platforms.")
    parser.add_argument("--quick", action="store_true", help="less precise, to try the program")
    parser.add_argument("--profiles", action="store_true", help="probe only, keep the latencies")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these platforms")
    parser.add_argument("--folder", type=Path, default=HERE, help="output folder")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    chosen = [item for item in PLATFORMS if not options.only or item.name in options.only]
    for platform in chosen:
        start = time.monotonic()
        probe(platform, options.folder, quick=options.quick)
        rows = [] if options.profiles else collect(platform, options.folder, quick=options.quick)
        if rows:
            merge(options.folder / "latencies.csv", rows, [platform.name])
        duration_s = time.monotonic() - start
        sys.stderr.write(f"{platform.name}: {len(rows)} models, {duration_s:.0f} s\n")


if __name__ == "__main__":
    main()
