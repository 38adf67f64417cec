"""The chart's alerts with shorter ranges: an hour in a cluster is half a minute here."""

import re
from pathlib import Path

import yaml

from acesniper.testbed.deployment import ROOT

SHIPPED = ROOT / "charts/acesniper/files/alerts.yaml"
PACE = 120
SECONDS = {"s": 1, "m": 60, "h": 3600}


def fast_rules(folder: Path) -> Path:
    """Write the rules with all ranges and `for` durations divided by `PACE`; returns the file."""
    groups = yaml.safe_load(SHIPPED.read_text())
    for group in groups["groups"]:
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[(\d+)([smh])\]", _shorter_range, rule["expr"])
            if "for" in rule:
                rule["for"] = _shorter(rule["for"][:-1], rule["for"][-1])
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump(groups))
    return path


def _shorter_range(result: "re.Match[str]") -> str:
    return f"[{_shorter(result[1], result[2], least_s=5)}]"


def _shorter(number: str, unit: str, least_s: int = 1) -> str:
    return f"{max(least_s, int(number) * SECONDS[unit] // PACE)}s"
