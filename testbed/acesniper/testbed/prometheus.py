"""Prometheus and promtool from Debian's package `prometheus`, and one that runs on a testbed.

The package takes seconds; compiled from its Go module it takes many minutes, since it links the
discovery client of every cloud there is.
"""

import json
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from acesniper.testbed import packages
from acesniper.testbed.cache import cache_root, ensure_folder
from acesniper.testbed.control_plane import ControlPlane
from acesniper.testbed.processes import Child, free_port, http_ok

PROGRAMS = ("prometheus", "promtool")
SCRAPE = "1s"
"""Short: a test wants rates soon."""


def fetch(folder: Path) -> None:
    """Put `prometheus` and `promtool` into `folder`. Raises BinariesMissing without apt."""
    with tempfile.TemporaryDirectory() as temporary:
        unpacked = Path(temporary)
        packages.unpack_debian(["prometheus"], unpacked, alone=True)
        for name in PROGRAMS:
            program = folder / name
            program.write_bytes((unpacked / "usr/bin" / name).read_bytes())
            program.chmod(0o755)


def cache_name() -> str:
    """The folder in the cache that holds both."""
    return f"prometheus-{packages.debian_release()}"


def ensure() -> Path:
    """The folder with both programs, fetched when it is not there."""
    return ensure_folder(cache_root() / "tools" / cache_name(), fetch)


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus."""

    process: Child
    port: int

    @classmethod
    def start(
        cls, plane: ControlPlane, targets: Mapping[str, int], rules: Path, folder: Path
    ) -> "Prometheus":
        """Scrape parts, given by name and port, every second, and evaluate the rules as often.

        It keeps its data in `folder`, and is a process of the testbed's called `prometheus`.
        """
        port = free_port()
        config = folder / "prometheus.yaml"
        config.write_text(yaml.safe_dump(_configuration(targets, rules)))
        process = plane.spawn(
            "prometheus",
            [
                ensure() / "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            ready=http_ok(port, "/-/ready"),
        )
        return cls(process, port)

    def wait_until(self, holds: Callable[[], bool], timeout_s: float = 120.0) -> None:
        """Wait for something that one of the next scrapes shows. Raises NotReady in the end."""
        self.process.wait_until(holds, timeout_s)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now."""
        found: list[dict[str, Any]] = self._ask("query", query=expression)["result"]
        return found

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        alerts = self._ask("alerts")["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    def _ask(self, what: str, **parameters: str) -> Any:  # noqa: ANN401 - whatever JSON it answers
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{query}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]


def _configuration(targets: Mapping[str, int], rules: Path) -> Mapping[str, object]:
    return {
        "global": {"scrape_interval": SCRAPE, "evaluation_interval": SCRAPE},
        "rule_files": [str(rules.resolve())],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for name, port in targets.items()
        ],
    }
