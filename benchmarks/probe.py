"""Agreement of two probes of this device, on an idle core and next to a busy loop.

    python benchmarks/probe.py [--runtime NAME] [--threads N] [--quick]

Prints the relative difference of two runs over all readings: the median, the 90th percentile and
the readings that differ most.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from rich.console import Console

from acesniper.domain.device import ProbeResult
from acesniper.probe.measure import FULL_PROBE, QUICK_PROBE
from acesniper.probe.platform_probe import probe
from acesniper.probe.runtimes import RuntimeOptions, runtime

WORST = 3


def differences(first: ProbeResult, second: ProbeResult) -> Mapping[str, float]:
    """Return the relative difference of two runs by reading, the largest first."""
    readings, other_readings = first.vector.readings, second.vector.readings
    by_reading = {
        name: abs(np.expm1(abs(np.log(readings[name].seconds / other_readings[name].seconds))))
        for name in readings.keys() & other_readings.keys()
    }
    return dict(sorted(by_reading.items(), key=lambda pair: -pair[1]))


def line(title: str, first: ProbeResult, second: ProbeResult) -> str:
    """Return the differences of two runs in a sentence."""
    by_reading = differences(first, second)
    worst = ", ".join(
        f"{name} {difference:.0%}" for name, difference in list(by_reading.items())[:WORST]
    )
    values = list(by_reading.values())
    return (
        f"{title}: median {np.median(values):.1%}, 90th percentile {np.quantile(values, 0.9):.1%},"
        f" most {worst} ({first.duration_s:.1f} s and {second.duration_s:.1f} s)"
    )


@contextmanager
def busy_loop() -> Iterator[None]:
    """Run a process that never pauses on the first core of this process."""
    core = min(os.sched_getaffinity(0))
    code = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Probe three times, the third time next to the loop, and print the differences."""
    parser = argparse.ArgumentParser(description="Agreement of two probes of this device.")
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    chosen_runtime, options = runtime(arguments.runtime), RuntimeOptions(arguments.threads)

    def probe_once() -> ProbeResult:
        return probe(chosen_runtime, options, effort=QUICK_PROBE if arguments.quick else FULL_PROBE)

    out = Console(soft_wrap=True)
    first, second = probe_once(), probe_once()
    out.print(line("two runs", first, second))
    with busy_loop():
        third = probe_once()
    out.print(line("idle and next to a busy loop", second, third))


if __name__ == "__main__":
    main()
