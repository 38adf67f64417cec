"""Starts the probe of a node: settings, the way to the cluster, the measuring child."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

from acesniper.domain.errors import InvalidInput, Unavailable
from acesniper.probe import VERSION
from acesniper.probe.agent import Agent
from acesniper.runtime import logs
from acesniper.runtime.pod_api import PodApi
from acesniper.runtime.settings import ProbeSettings

PROVIDER = "cpu"
LONGEST_S = 900.0
"""A measuring child that takes longer is ended."""


def measuring(settings: ProbeSettings) -> Callable[[str | None], None]:
    """What measures in a child process and publishes."""

    def measure(reprobe: str | None) -> None:
        argv = [sys.executable, "-m", "acesniper.cli", "probe", "--publish"]
        argv += ["--node", settings.node, "--output", "json", "--file", os.devnull]
        argv += ["--reprobed", reprobe] if reprobe else []
        argv += ["--quick"] if settings.quick else []
        try:
            subprocess.run(argv, check=True, timeout=LONGEST_S)
        except subprocess.SubprocessError as error:
            raise Unavailable(f"measuring failed: {error}") from error

    return measure


def main() -> int:
    """The program; 2 if its settings are wrong."""
    try:
        settings = ProbeSettings.read(os.environ)
        api = PodApi.here()
    except InvalidInput as error:
        sys.stderr.write(f"acesniper probe: {error}\n")
        return 2
    logs.configure(settings.log_format, settings.log_level)
    path = f"/apis/acesniper.io/v1alpha1/deviceprofiles/{settings.node}-{PROVIDER}"
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
