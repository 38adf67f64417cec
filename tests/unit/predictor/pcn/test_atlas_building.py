"""Raw passes become an atlas: the quietest counts, and the difference is the noise."""

import runpy
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

ATLAS = Path(__file__).parents[4] / "atlas"


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(ATLAS))
    return runpy.run_path(str(ATLAS / "build.py"))


def write_pass(folder: Path, number: int, latencies: dict[str, float]) -> None:
    how = {"runtime": "ncnn", "threads": 2, "precision": "bf16", "optimised": False}
    where = {"isa": "AVX2", "cpu_quota": 0.5}
    rows = [{"model": name, "latency_ms": ms, **how, **where} for name, ms in latencies.items()]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"edge-{number}.parquet")


def test_the_fastest_pass_counts_and_the_spread_is_recorded(
    build: dict[str, Any], tmp_path: Path
) -> None:
    write_pass(tmp_path, 1, {"resnet18": 10.0, "resnet34": 20.0})
    write_pass(tmp_path, 2, {"resnet18": 12.0})
    (edge,) = build["devices"](tmp_path)

    result = {name: build["merged"](rows) for name, rows in build["passes"](tmp_path, edge).items()}

    assert result["resnet18"]["latency_ms"] == 10.0
    assert result["resnet18"]["spread"] == pytest.approx(0.2)
    assert (result["resnet34"]["passes"], result["resnet34"]["spread"]) == (1, None)


def test_networks_that_do_not_ship_are_left_out(build: dict[str, Any], tmp_path: Path) -> None:
    write_pass(tmp_path, 1, {"resnet18": 10.0, "somebodys_own": 20.0})
    (edge,) = build["devices"](tmp_path)

    assert set(build["passes"](tmp_path, edge)) == {"resnet18"}


def test_a_users_own_device_is_described_by_its_rows(build: dict[str, Any], tmp_path: Path) -> None:
    write_pass(tmp_path, 1, {"resnet18": 10.0})

    (edge,) = build["devices"](tmp_path)

    assert (edge.name, edge.runtime, edge.threads, edge.precision) == ("edge", "ncnn", 2, "bf16")
    assert (edge.optimise, edge.quota) == (False, 0.5)
    assert list(edge.environment.values()) == ["AVX2"]
