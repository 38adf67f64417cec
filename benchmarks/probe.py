"""Agreement of two probes of this device, idle and with a busy loop on the same core.

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
    """Relative difference of two runs by reading, largest first."""
    one, other = first.vector.readings, second.vector.readings
    differences_by_name = {
        name: abs(np.expm1(abs(np.log(one[name].seconds / other[name].seconds))))
        for name in one.keys() & other.keys()
    }
    return dict(sorted(differences_by_name.items(), key=lambda pair: -pair[1]))


def line(what: str, first: ProbeResult, second: ProbeResult) -> str:
    """The differences of two runs as text."""
    by_name = differences(first, second)
    worst = ", ".join(f"{name} {value:.0%}" for name, value in list(by_name.items())[:WORST])
    values = list(by_name.values())
    return (
        f"{what}: median {np.median(values):.1%}, 90th percentile {np.quantile(values, 0.9):.1%},"
        f" most {worst} ({first.duration_s:.1f} s and {second.duration_s:.1f} s)"
    )


@contextmanager
def busy_loop() -> Iterator[None]:
    """Run a busy loop in another process, on the first core that this one may use."""
    core = min(os.sched_getaffinity(0))
    code = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Probe three times, the third time with the busy loop, and print the differences."""
    parser = argparse.ArgumentParser(description="How well two probes of this device agree.")
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    chosen, options = runtime(asked.runtime), RuntimeOptions(asked.threads)

    def once() -> ProbeResult:
        return probe(chosen, options, effort=QUICK_PROBE if asked.quick else FULL_PROBE)

    out = Console(soft_wrap=True)
    first, second = once(), once()
    out.print(line("two runs", first, second))
    with busy_loop():
        third = once()
    out.print(line("idle and with a busy loop", second, third))


if __name__ == "__main__":
    main()
