import re
import subprocess
from pathlib import Path

import pytest
import yaml

from acesniper.testbed.chart.generated import all_declarations
from acesniper.testbed.deployment import ROOT

RULES = ROOT / "charts/acesniper/files/alerts.yaml"


def rules() -> list[dict[str, str]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[str]:
    return [rule["alert"] for rule in rules() if "alert" in rule]


@pytest.mark.parametrize("command", [("check", RULES), ("test", "acesniper_rules_test.yaml")])
def test_rules_fire_during_their_fault_only(command: tuple[str, Path | str]) -> None:
    promtool = ROOT / ".venv/bin/promtool"

    done = subprocess.run(
        [promtool, command[0], "rules", command[1]],
        cwd=ROOT / "tests/alerts",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_in_a_test_that_injects_its_fault() -> None:
    run = (ROOT / "tests/e2e/test_monitoring.py").read_text()

    assert [alert for alert in alerts() if f'"{alert}"' not in run] == []


def test_every_alert_is_tested_and_has_a_section_in_the_runbook() -> None:
    tested = (ROOT / "tests/alerts/acesniper_rules_test.yaml").read_text()
    runbook = (ROOT / "docs/guide/runbook.md").read_text()

    for alert in alerts():
        assert f"alertname: {alert}" in tested
        assert f"## {alert}\n" in runbook


def test_rules_query_existing_metrics() -> None:
    series = {name for declaration in all_declarations() for name in declaration.series_names}

    asked = {name for rule in rules() for name in re.findall(r"\bacesniper_\w+", rule["expr"])}

    assert asked <= series
