from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from acesniper.cli.probe import ProbeOutput, reading_table, write_result
from acesniper.domain.device import HardwareVector, ProbeResult, Reading
from acesniper.probe.profiles import read_profile
from acesniper.probe.suite import LOAD, SUITE, VERSION


def test_the_table_shows_slowdown_under_load_and_transfer_rates() -> None:
    readings = {
        "matmul": Reading(0.002, 0.01, sustained_s=0.003, loaded_s=0.0022),
        "norm": Reading(0.001, 0.02),
        LOAD: Reading((16 << 20) / 1e9, 0.0),
    }
    text = printed(measured(readings))

    assert row(text, "matmul") == ["2", "ms", "1.0%", "+50.0%", "+10.0%"]
    assert row(text, "norm") == ["1", "ms", "2.0%"]
    assert row(text, LOAD)[-2:] == ["1", "GB/s"]
    assert "21.0 s" in text
    assert "no reading: recurrent" in text


@pytest.mark.parametrize("output", list(ProbeOutput))
def test_a_file_gets_a_profile_in_every_output_format(output: ProbeOutput, tmp_path: Path) -> None:
    result = measured({"matmul": Reading(0.002, 0.01)})

    write_result("edge-1-cpu", "edge-1", result, output, tmp_path / "edge-1.yaml")

    assert read_profile(tmp_path / "edge-1.yaml").vector == result.vector


def measured(readings: Mapping[str, Reading]) -> ProbeResult:
    return ProbeResult(
        vector=HardwareVector(SUITE, VERSION, readings),
        provider="cpu",
        runtime="onnxruntime",
        runtime_version="1",
        architecture="arm64",
        cpu_model="Cortex-A72",
        cores=4,
        threads=4,
        cpu_quota=None,
        memory_bytes=1 << 32,
        measured_at="2026-01-01T00:00:00+00:00",
        duration_s=21.0,
        missing=("recurrent",),
    )


def printed(result: ProbeResult) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(reading_table(result))
    return capture.get()


def row(text: str, name: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if name in line.split())
    return [word for word in line.split() if word not in ("│", name)]
