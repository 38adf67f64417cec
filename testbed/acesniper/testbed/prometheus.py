"""A Prometheus that scrapes the parts of a testbed and evaluates the chart's rules."""

import json
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from acesniper.testbed.control_plane import ControlPlane
from acesniper.testbed.packages import ensure_prometheus
from acesniper.testbed.processes import Child, free_port, http_ok

SCRAPE_S = 1
"""Short, so that a test soon has rates."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus."""

    process: Child
    port: int

    @classmethod
    def start(
        cls, plane: ControlPlane, targets: Mapping[str, int], rules: Path, folder: Path
    ) -> "Prometheus":
        """Start the process `prometheus`, which scrapes targets, given by name and port.

        It scrapes and evaluates the rules every second, and keeps its data in `folder`.
        """
        port = free_port()
        config = folder / "prometheus.yaml"
        config.write_text(yaml.safe_dump(_configuration(targets, rules)))
        process = plane.spawn(
            "prometheus",
            [
                ensure_prometheus() / "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            ready=http_ok(port, "/-/ready"),
        )
        return cls(process, port)

    def wait_until(self, holds: Callable[[], bool], timeout_s: float = 120.0) -> None:
        """Wait until a condition holds that depends on scraped data. Raises NotReady on timeout."""
        self.process.wait_until(holds, timeout_s, poll_s=SCRAPE_S / 2)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The current series of an expression."""
        result: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return result

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        alerts = self._get("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def _get(self, endpoint: str, **parameters: str) -> Any:  # noqa: ANN401 - any JSON
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self.port}/api/v1/{endpoint}?{query}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]


def _configuration(targets: Mapping[str, int], rules: Path) -> Mapping[str, object]:
    return {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
        "rule_files": [str(rules.resolve())],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for name, port in targets.items()
        ],
    }
