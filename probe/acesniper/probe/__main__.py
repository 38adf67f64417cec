"""Probe DaemonSet: reads settings, connects to the API server, measures in a child process."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

from acesniper.api.names import DEVICE_PROFILES
from acesniper.domain.errors import InvalidInput, Unavailable
from acesniper.probe import VERSION
from acesniper.probe.agent import Agent
from acesniper.runtime import logs
from acesniper.runtime.pod_api import PodApi
from acesniper.runtime.settings import ProbeSettings

PROVIDER = "cpu"
MEASURE_TIMEOUT_S = 900.0
"""A measurement that takes longer is killed."""


def measuring(settings: ProbeSettings) -> Callable[[str | None, int | None], None]:
    """Function that measures this node in a child process, which publishes the result."""

    def measure(reprobe: str | None, threads: int | None) -> None:
        argv = [sys.executable, "-m", "acesniper.cli", "probe", "--publish"]
        argv += ["--node", settings.node, "--output", "json", "--file", os.devnull]
        argv += ["--reprobed", reprobe] if reprobe else []
        argv += ["--threads", str(threads)] if threads else []
        argv += ["--quick"] if settings.quick else []
        try:
            subprocess.run(argv, check=True, timeout=MEASURE_TIMEOUT_S)
        except subprocess.SubprocessError as error:
            raise Unavailable(f"the measurement failed: {error}") from error

    return measure


def main() -> int:
    """Run the agent; returns 2 if the settings are invalid."""
    try:
        settings = ProbeSettings.read(os.environ)
        api = PodApi.here()
    except InvalidInput as error:
        sys.stderr.write(f"acesniper probe: {error}\n")
        return 2
    logs.configure(settings.log_format, settings.log_level)
    path = DEVICE_PROFILES.path(name=f"{settings.node}-{PROVIDER}")
    agent = Agent(
        suite_version=VERSION,
        profile=lambda: api.get(path),
        measure=measuring(settings),
        published=settings.published_file.touch,
        check_s=settings.check_s,
    )
    agent.run(time.sleep)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
