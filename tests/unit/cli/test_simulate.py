import json
from pathlib import Path

import numpy as np
import pytest

from acesniper.cli.__main__ import main
from acesniper.cli.options import parse_integers, parse_range
from acesniper.domain.errors import InvalidInput
from acesniper.simulator.comparison import compared_policies
from synthetic_tables import synthetic


@pytest.fixture
def table(tmp_path: Path) -> Path:
    result, _ = synthetic(devices=6, models=8)
    rows = [
        f"{device},{model},{np.exp(value)}"
        for device, line in zip(result.devices, result.log_ms, strict=True)
        for model, value in zip(result.models, line, strict=True)
    ]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["board,net,ms", *rows]))
    return path


def call(table: Path, *more: str) -> int:
    columns = ("--device-column", "board", "--model-column", "net", "--latency-column", "ms")
    with pytest.raises(SystemExit) as caught:
        main(("simulate", "--latencies", str(table), *columns, "--jobs", "1", *more))
    return int(caught.value.code or 0)


def test_all_policies_are_shown_side_by_side(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = call(table, "--compare", "--tasks", "40", "--predictor", "noise:0.2")

    shown = capsys.readouterr().out
    assert done == 0
    assert all(name in shown for name in compared_policies())
    assert "missed" not in shown


def test_json_has_one_record_per_policy(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(
        table,
        "--policy",
        "hrrn-mct",
        "--policy",
        "any-free",
        "--predictor",
        "trained",
        "-k",
        "3",
        "--tasks",
        "40",
        "--seeds",
        "1..2",
        "--deadlines",
        "0.1..0.2",
        "--load",
        "1.2",
        "--json",
    )

    records = json.loads(capsys.readouterr().out)
    assert [record["policy"] for record in records] == ["hrrn-mct", "any-free"]
    assert set(records[0]) == {
        "policy",
        "predictor",
        "load",
        "mean_wait_s",
        "p95_wait_s",
        "mean_response_s",
        "p95_response_s",
        "throughput_per_s",
        "deadline_misses",
        "response_over_oracle",
    }
    assert records[0]["predictor"] == "trained"
    assert records[0]["load"] == 1.2
    assert records[1]["deadline_misses"] > 0


@pytest.mark.parametrize(
    ("options", "learns"),
    [
        pytest.param(("trained",), True, id="by default"),
        pytest.param(("trained", "--no-learn"), False, id="unless disabled"),
        pytest.param(("noise:0.2",), False, id="not with injected errors"),
        pytest.param(("noise:0.2", "--learn"), True, id="unless enabled"),
    ],
)
def test_a_trained_predictor_learns(
    table: Path, options: tuple[str, ...], learns: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    call(table, "--tasks", "10", "-k", "3", "--predictor", *options)

    assert ("with learning" in capsys.readouterr().out) is learns


def test_a_trace_and_faults_are_simulated_and_plotted(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace, figure = tmp_path / "trace.csv", tmp_path / "figure.svg"
    trace.write_text("arrival_s\n" + "\n".join(str(i) for i in range(30)))

    done = call(
        table,
        "--arrivals",
        str(trace),
        "--plot",
        str(figure),
        "--lose",
        "0.2",
        "--slow",
        "0.2",
        "--deadlines",
        "2..8",
    )

    assert done == 0
    assert "missed" in capsys.readouterr().out
    assert figure.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        pytest.param(("--policy", "best"), "policy 'best' is unknown", id="policy"),
        pytest.param(("--predictor", "magic"), "'magic'", id="predictor"),
        pytest.param(("--arrivals", "never.csv"), "never.csv", id="arrivals"),
        pytest.param(("--inferences", "9..2"), "--inferences", id="inferences"),
        pytest.param(("--seeds", "x"), "--seeds", id="seeds"),
        pytest.param(("--plot", "figure.txt"), "figure.txt", id="plot"),
        pytest.param(("--plot", "none/figure.svg"), "folder none does not exist", id="folder"),
        pytest.param(("--latency-column", "no"), "no column no", id="column"),
    ],
)
def test_an_invalid_option_value_is_named(
    table: Path, more: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = call(table, "--tasks", "10", *more)

    assert done == 2
    assert message in capsys.readouterr().err


def test_ranges_and_lists_of_numbers() -> None:
    assert parse_integers("--seeds", "2..4") == [2, 3, 4]
    assert parse_integers("--seeds", "5,1") == [5, 1]
    assert parse_range("--deadlines", "2.5") == (2.5, 2.5)
    assert parse_range("--deadlines", "2..8") == (2.0, 8.0)
    with pytest.raises(InvalidInput, match=r"1\.\.10"):
        parse_integers("--seeds", "4..2")
