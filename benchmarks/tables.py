"""Accuracy of predictions on public tables of latencies, next to simple methods.

Holds out whole groups of devices and whole families of models in five folds of public tables, and
predicts P1 (known model, new device), P2 (new model, known device) and P3 (both new) from the first
k reference models. The simple methods use the same folds. A fold of devices is combined with one
fold of models; with --cross with every one, which takes as many times as long. With --folds 99 each
family is held out alone.

    python benchmarks/tables.py DATA_FOLDER [--only NAME ...] [-k 10] [--cross] [--json FILE]
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table as Shown

from acesniper.predictor.accuracy import PredictionOutcome
from acesniper.predictor.tables.device_transfer import impute
from acesniper.predictor.tables.evaluate import BASELINES, by_work, task_outcome, with_worst_device
from acesniper.predictor.tables.measurements import (
    FAMILY_FOLDS,
    TASKS,
    MeasuredTable,
    TableColumns,
    TableSplit,
    family_folds,
    from_rows,
    model_family,
    name_group,
    read_rows,
    split_table,
)
from acesniper.predictor.tables.model_sources import aligned, read_features
from acesniper.predictor.tables.operators import ModelTraits
from acesniper.predictor.tables.predict import TablePrediction, predict_table

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """A public table: its file, columns, key of the references, features, and rows to keep."""

    file: str
    columns: TableColumns
    references: str
    features: tuple[str, ...]
    keep: Callable[[Row], bool] = lambda _: True
    turns: int = FAMILY_FOLDS
    groups: Callable[[str], str] = name_group


USC = ("mobile_usc_cnn_real.csv.gz", TableColumns(("phone", "unit", "precision", "runtime")))
OPERATORS = {name: f"mobile_usc_ops_{name}_structure.csv.gz" for name in ("tflite", "torch")}


def chip(device: str) -> str:
    """Return a device name of NAS-Bench-201 without its batch size."""
    return device.rstrip("0123456789").rstrip("_")


CASES: Mapping[str, Case] = {
    "usc": Case(*USC, "mobile_usc_cnn_real", tuple(OPERATORS.values())),
    "usc tflite": Case(
        *USC, "mobile_usc_cnn_real", (OPERATORS["tflite"],), lambda row: row["runtime"] == "tflite"
    ),
    "usc torch": Case(
        *USC, "mobile_usc_cnn_real", (OPERATORS["torch"],), lambda row: row["runtime"] == "torch"
    ),
    "ncnn cpu": Case(
        "ncnn.csv.gz",
        TableColumns(("soc_group", "board", "unit"), latency="min_ms"),
        "ncnn",
        ("ncnn_param",),
        lambda row: row["unit"].startswith("cpu"),
    ),
    "nasbench201": Case(
        "nasbench201.csv.gz",
        TableColumns(),
        "nasbench201",
        ("nasbench201_archs.csv.gz",),
        groups=chip,
    ),
    "help": Case(
        "nasbench201.csv.gz",
        TableColumns(),
        "nasbench201",
        ("nasbench201_archs.csv.gz",),
        lambda row: row["runtime"] == "HELP",
        groups=chip,
    ),
    "timm": Case(
        "timm.csv.gz",
        TableColumns(("device", "runtime"), ("model", "img_size"), "per_sample_ms"),
        "timm (model@img)",
        ("timm_models.csv.gz",),
    ),
}


def read_case(
    case: Case, folder: Path
) -> tuple[MeasuredTable, list[ModelTraits] | None, list[str]]:
    """Return the table, the features of its models if there are any, and its references."""
    rows = [row for row in read_rows(folder / case.file) if case.keep(row)]
    features: dict[str, ModelTraits] = {}
    for path in case.features:
        for name, traits in read_features(folder / path, case.columns.model).items():
            features[name] = features[name] | traits if name in features else traits
    if case.references == "nasbench201":
        archs = read_rows(folder / "nasbench201_archs.csv.gz")
        connected = {row["model"] for row in archs if _connected(row)}
        rows = [row for row in rows if row["model"] in connected]
    table = from_rows(rows, case.columns)
    references = json.loads((folder / "reference_models.json").read_text())[case.references]
    described = aligned(features, table.models) if features else None
    return table, described, [name.replace("@", "|") for name in references]


def _connected(row: Row) -> bool:
    return row["output_connected"] == "1"


def simple(cut: TableSplit, traits: list[ModelTraits] | None) -> dict[str, np.ndarray]:
    """Return ln ms (devices, models) by simple method."""
    devices, models = np.flatnonzero(~cut.new_device), np.flatnonzero(~cut.new_model)
    filled = impute(cut.known[np.ix_(devices, models)])
    new, unseen = np.flatnonzero(cut.new_device), np.flatnonzero(cut.new_model)
    place = {int(model): i for i, model in enumerate(models)}
    methods = {name: np.full_like(cut.known, np.nan) for name in (*BASELINES, "work")}
    for row in new:
        shown = [model for model in cut.references if np.isfinite(cut.known[row, model])]
        if shown:
            columns = [place[model] for model in shown]
            readings = cut.known[row, shown][None]
            for name, method in BASELINES.items():
                methods[name][row, models] = method(filled, readings, columns)[0]
    if traits is not None:
        rows = methods["gaussian"][:, models]
        rows[devices] = filled
        methods["work"][:, unseen] = by_work(rows, traits, models, unseen)
    return methods


def run(
    case: Case, folder: Path, k: int, *, cross: bool, count: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures per method and task, over all folds."""
    table, traits, references = read_case(case, folder)
    device_folds = family_folds([case.groups(name) for name in table.devices], case.turns)
    model_folds = family_folds([model_family(name) for name in table.models], count)
    parts: dict[str, dict[str, list[PredictionOutcome]]] = {}
    for fold, new_devices in enumerate(device_folds):
        folds = model_folds if cross else [model_folds[fold % len(model_folds)]]
        for new_models in (
            folds if traits is not None else [np.zeros(len(table.models), dtype=bool)]
        ):
            cut = split_table(
                table,
                references[:k],
                {name for name, new in zip(table.devices, new_devices, strict=True) if new},
                {n for n, new in zip(table.models, new_models, strict=True) if new}
                - set(references[:k]),
            )
            for method, prediction in predictions(cut, traits).items():
                for task in TASKS:
                    outcome = task_outcome(cut, prediction, task)
                    parts.setdefault(method, {}).setdefault(task, []).append(outcome)
    return {
        method: {task: summary(outcomes) for task, outcomes in tasks.items()}
        for method, tasks in parts.items()
    }


def predictions(cut: TableSplit, traits: list[ModelTraits] | None) -> dict[str, TablePrediction]:
    """Return our prediction and those of the simple methods, on one split."""
    plain = {
        name: TablePrediction(prediction, prediction, prediction)
        for name, prediction in simple(cut, traits).items()
    }
    return {"ours": predict_table(cut, traits), **plain}


def summary(outcomes: list[PredictionOutcome]) -> dict[str, float]:
    """Return the figures of all folds: a row per device, with the models of each fold."""
    names = ("measured", "predicted", "low", "high", "wanted")
    return with_worst_device(
        PredictionOutcome(
            *(np.concatenate([getattr(o, n) for o in outcomes], axis=1) for n in names)
        )
    )


COLUMNS = (
    "mean",
    "median",
    "within10",
    "within20",
    "spearman",
    "regret",
    "coverage90",
    "width90",
    "worst_device_mean",
    "worst_device_coverage90",
)


def main() -> None:
    """Measure, print the figures, and write them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", choices=CASES, default=[])
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--cross", action="store_true", help="every fold with every other")
    parser.add_argument("--folds", type=int, default=FAMILY_FOLDS, help="of models, at most")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console, document = Console(file=sys.stdout, width=160), {}
    for name in options.only or CASES:
        started = time.perf_counter()
        turns = {"cross": options.cross, "count": options.folds}
        document[name] = run(CASES[name], options.folder, options.k, **turns)
        took = time.perf_counter() - started
        shown = Shown("task", "method", *COLUMNS, title=f"{name}, k={options.k}, {took:.0f} s, %")
        for task in TASKS:
            for method, tasks in document[name].items():
                if tasks[task].get("cells"):
                    ours = method == "ours"
                    values = (tasks[task][c] if ours or "90" not in c else np.nan for c in COLUMNS)
                    shown.add_row(task, method, *(f"{v:.1f}" if v == v else "" for v in values))
        console.print(shown)
    if options.json:
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
