import csv
import json
from pathlib import Path

import numpy as np
import pytest

from acesniper.cli.__main__ import main
from synthetic_tables import KINDS, synthetic


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table, traits = synthetic(devices=12, models=20)
    with (tmp_path / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("board", "unit", "model", "latency_ms"))
        for device, row in zip(table.devices, table.log_ms, strict=True):
            writer.writerows(
                (*device.split("|"), model, np.exp(value))
                for model, value in zip(table.models, row, strict=True)
            )
    with (tmp_path / "features.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("model", *KINDS))
        for model, trait in zip(table.models, traits, strict=True):
            writer.writerow((model, *(part.sizes[0] for part in trait.operators)))
    (tmp_path / "references.json").write_text(json.dumps({"mine": list(table.models[:10])}))
    (tmp_path / "devices.txt").write_text("\n".join((*table.devices[-3:], "unknown|cpu")) + "\n")
    (tmp_path / "models.txt").write_text("\n".join(table.models[-4:]))
    return tmp_path


def call(folder: Path, *more: str, references: str = "references.json:mine") -> int:
    with pytest.raises(SystemExit) as caught:
        main(
            (
                "evaluate",
                "table",
                str(folder / "table.csv"),
                "-k",
                "5",
                "--references",
                str(folder / references),
                "--device-column",
                "board|unit",
                "--held-out-devices",
                str(folder / "devices.txt"),
                "--held-out-models",
                str(folder / "models.txt"),
                *more,
            )
        )
    return int(caught.value.code or 0)


def test_figures_are_printed_and_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = call(
        folder, "--features", str(folder / "features.csv"), "--json", str(folder / "out.json")
    )

    shown, document = capsys.readouterr(), json.loads((folder / "out.json").read_text())
    assert done == 0
    assert "P3" in shown.out
    assert "1 of 4 names" in shown.err
    assert document["P1"]["cells"] == 3 * (16 - 5)
    assert document["P2"]["cells"] == 9 * 4
    assert document["P3"]["cells"] == 3 * 4
    assert {"mean", "median", "within10", "within20", "spearman", "coverage90"} <= set(
        document["P3"]
    )
    assert set(document["devices"]["board11|cpu"]) == {"P1", "P3"}


def test_lists_may_start_with_a_byte_order_mark(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("devices.txt", "references.json"):
        (folder / name).write_text((folder / name).read_text(), encoding="utf-8-sig")

    assert call(folder) == 0

    assert "1 of 4 names" in capsys.readouterr().err


def test_without_features_new_models_are_not_predicted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(folder, "--each") == 0

    assert "need --features" in capsys.readouterr().err


@pytest.mark.parametrize("references", ["references.json", "missing.json", "references.json:x"])
def test_invalid_references_are_refused(
    folder: Path, references: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(folder, references=references) == 2

    assert "error" in capsys.readouterr().err


def test_the_table_itself_cannot_be_a_feature(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(folder, "--features", str(folder / "table.csv")) == 2

    assert "cannot be a feature" in capsys.readouterr().err


def test_a_list_of_unknown_names_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "devices.txt").write_text("board1\n")

    assert call(folder) == 2

    assert "'board0|cpu'" in capsys.readouterr().err


def test_observations_and_models_to_run_first_are_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        call(folder, "--observations", "2", "--choose", "3", "--json", str(folder / "out.json"))
        == 0
    )

    shown, document = capsys.readouterr().out, json.loads((folder / "out.json").read_text())
    assert "P1 +2" in shown
    assert [step["observations"] for step in document["observations"]] == [0, 1, 2]
    assert len(document["choose"]) == 3
    assert all(name in shown for name in document["choose"])


def test_observations_leave_models_for_testing(folder: Path) -> None:
    assert call(folder, "--observations", "99", "--json", str(folder / "out.json")) == 0

    steps = json.loads((folder / "out.json").read_text())["observations"]
    assert steps[-1]["observations"] == (16 - 5) // 2
    assert {step["P1"]["cells"] for step in steps} == {3 * 6}
