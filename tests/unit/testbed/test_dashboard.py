"""Mistakes that Grafana would show without an error."""

import json
import re
from collections import Counter
from itertools import product
from typing import Any

import pytest

from acesniper.testbed.chart.dashboard import dashboard

COLUMNS = 24
UNITS = {"short", "s", "percentunit", "bytes"}
"""Units that Grafana knows; it appends any other text to the number."""
REPLICATED = (
    "acesniper_queue_length",
    "acesniper_queue_overdue_length",
    "acesniper_queue_age_seconds",
    "acesniper_backlog_seconds",
    "acesniper_profile_age_seconds",
    "acesniper_profile_noise_ratio",
    "acesniper_planner_down",
    "acesniper_watch_event_age_seconds",
)
"""Gauges that every replica exports."""


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(dashboard())
    return document


def expressions(board: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]


def test_panels_do_not_overlap(board: dict[str, Any]) -> None:
    cells = Counter(
        (row, column)
        for place in (panel["gridPos"] for panel in board["panels"])
        for row, column in product(
            range(place["y"], place["y"] + place["h"]), range(place["x"], place["x"] + place["w"])
        )
    )

    assert set(cells.values()) == {1}
    assert max(column for _, column in cells) < COLUMNS
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_units_are_known_to_grafana(board: dict[str, Any]) -> None:
    heats = [panel for panel in board["panels"] if panel["type"] == "heatmap"]
    others = [panel for panel in board["panels"] if panel["type"] not in ("heatmap", "row")]

    assert {panel["fieldConfig"]["defaults"]["unit"] for panel in others} <= UNITS
    for panel in heats:  # the unit of all fields would be that of the counts, too
        assert panel["options"]["yAxis"]["unit"] == "percentunit"
        assert panel["options"]["cellValues"]["unit"] == "short"
        assert "unit" not in panel.get("fieldConfig", {}).get("defaults", {})


def test_every_variable_is_defined(board: dict[str, Any]) -> None:
    chosen = {variable["name"] for variable in board["templating"]["list"]}
    text = json.dumps(board["panels"])

    used = {name for name in re.findall(r"\$\{?(\w+)", text) if not name.startswith("__")}

    assert used == chosen


def test_gauges_of_two_replicas_are_counted_once(board: dict[str, Any]) -> None:
    for text in expressions(board):
        for name in re.findall(r"acesniper_\w+", text):
            if name in REPLICATED and "process_" not in text:
                assert re.search(rf"max( by \(\w+\))? ?\({name}\)", text), text
