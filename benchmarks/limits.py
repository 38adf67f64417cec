"""Bounds of the accuracy on public tables: the error that remains when less is held out.

Each row gives the method more than a fair split does, or evaluates the best model of its form after
fitting it to everything; no figure here is an accuracy. Mean error over the cells, per cent.

    python benchmarks/limits.py DATA_FOLDER [--only NAME ...] [-k 10] [--json FILE]
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table as Shown
from tables import CASES, Case, read_case

from acesniper.predictor.accuracy import accuracy
from acesniper.predictor.tables.device_transfer import impute
from acesniper.predictor.tables.evaluate import task_outcome
from acesniper.predictor.tables.measurements import (
    FAMILY_FOLDS,
    NAME_SEPARATOR,
    MeasuredTable,
    TableSplit,
    family_folds,
    model_family,
    split_table,
)
from acesniper.predictor.tables.model_transfer import extend
from acesniper.predictor.tables.operators import ModelTraits
from acesniper.predictor.tables.predict import known_block, predict_table
from acesniper.predictor.tables.validation import fit_features

SWEEPS = 50
"""Rounds in which gaps are filled from the low-rank approximation."""

BOARD = "board"
"""The column that distinguishes two devices of the same make."""

DRAWS = 2000
"""Number of random draws."""

RIDGE = 1e-3
"""Keeps the regression solvable where readings of the references are collinear."""


def bounds(
    case: Case,
    table: MeasuredTable,
    traits: Sequence[ModelTraits] | None,
    references: Sequence[str],
) -> Iterator[tuple[str, float]]:
    """Yield each bound and the remaining error, in per cent."""
    measured = table.log_ms
    yield "noise: two boards of the same chip and unit", 100 * twins(table, case)
    for rank in (1, 3, len(references)):
        described = low_rank(measured, rank)
        yield f"P1: devices as {rank} numbers, fitted to everything", error(described, measured)
    yield (
        "P1: linear in the references' latencies, fitted to everything",
        error(regressed(table, references), measured),
    )
    yield (
        "P1: devices hidden singly, their siblings known",
        relaxed(table, traits, references, "P1"),
    )
    if traits is not None:
        yield "P2: the method's features, fitted to everything", smoothed(table, traits, references)
        yield (
            "P2: models hidden singly, their families known",
            relaxed(table, traits, references, "P2"),
        )
        yield "P3: both of these", relaxed(table, traits, references, "P3")
    for covered in (0.95, 0.98):
        for task, counts in hidden_cells(table, case, references).items():
            yield (
                f"{task}: worst device's coverage by chance, all at {100 * covered:.0f} %",
                worst_by_chance(counts, covered),
            )


def worst_by_chance(counts: np.ndarray, covered: float) -> float:
    """Return the expected coverage of the worst device, per cent, if all have equal coverage.

    `counts` are the cells of each device: with few cells, one is below by chance alone.
    """
    coverage = np.random.default_rng(0).binomial(counts, covered, (DRAWS, len(counts))) / counts
    return 100 * float(coverage.min(axis=1).mean())


def error(guess: np.ndarray, measured: np.ndarray) -> float:
    """Return the mean error over the measured cells, per cent."""
    wrong = np.abs(np.expm1(guess - measured))
    return 100 * float(np.nanmean(wrong))


def twins(table: MeasuredTable, case: Case) -> float:
    """Return the mean difference of two boards of the same chip and unit, without their level.

    The level is removed, as the references reveal it. NaN if no device is a board.
    """
    if BOARD not in case.columns.device:
        return float("nan")
    place, alike = case.columns.device.index(BOARD), defaultdict[tuple[str, ...], list[int]](list)
    for row, name in enumerate(table.devices):
        parts = name.split(NAME_SEPARATOR)
        if len(parts) == len(case.columns.device):  # else the group has several chips
            alike[(*parts[:place], *parts[place + 1 :])].append(row)
    differences = []
    for rows in alike.values():
        for first, second in combinations(rows, 2):
            difference = table.log_ms[first] - table.log_ms[second]
            if np.isfinite(difference).any():
                differences.append(np.abs(np.expm1(difference - np.nanmedian(difference))))
    return float(np.nanmean(np.concatenate(differences))) if differences else float("nan")


def low_rank(log_ms: np.ndarray, rank: int) -> np.ndarray:
    """Return the best approximation (devices, models) of a rank, plus a mean per model."""
    gaps, filled = np.isnan(log_ms), impute(log_ms)
    for _ in range(SWEEPS):
        mean = filled.mean(axis=0)
        left, values, right = np.linalg.svd(filled - mean, full_matrices=False)
        described = (left[:, :rank] * values[:rank]) @ right[:rank] + mean
        filled = np.where(gaps, described, log_ms)
    return np.asarray(described)


def regressed(table: MeasuredTable, references: Sequence[str]) -> np.ndarray:
    """Fit every model as a linear function of the references' latencies, on all devices.

    NaN for the references themselves and where there are fewer measurements than coefficients.
    """
    place = {name: i for i, name in enumerate(table.models)}
    columns = [place[name] for name in references if name in place]
    readings = np.c_[impute(table.log_ms)[:, columns], np.ones(len(table.devices))]
    fitted = np.full_like(table.log_ms, np.nan)
    for model in set(range(len(table.models))) - set(columns):
        measured = np.isfinite(table.log_ms[:, model])
        if measured.sum() > readings.shape[1]:
            known_readings = readings[measured]
            inner = known_readings.T @ known_readings + RIDGE * np.eye(readings.shape[1])
            fitted[:, model] = readings @ np.linalg.solve(
                inner, known_readings.T @ table.log_ms[measured, model]
            )
    return fitted


def smoothed(
    table: MeasuredTable, traits: Sequence[ModelTraits], references: Sequence[str]
) -> float:
    """Return the error of the best member on the cells that it was fitted to.

    The remainder is what the features cannot distinguish, as the method weighs them.
    """
    whole = split_table(table, references, set(), set())
    known = known_block(whole)
    models = fit_features(table.models, traits, known)
    everything = known.models
    middles, _ = extend(models.described, known.log_ms, everything, everything, models.members)
    return min(error(middle, known.log_ms) for middle in middles)


def relaxed(
    table: MeasuredTable, traits: Sequence[ModelTraits] | None, references: Sequence[str], task: str
) -> float:
    """Return the error where devices and models are held out regardless of families."""
    devices, models = dealt(len(table.devices)), dealt(len(table.models))
    wrong, count = 0.0, 0.0
    for turn in range(FAMILY_FOLDS):
        cut = _hidden(table, references, devices == turn, models == turn, task)
        figures = accuracy(task_outcome(cut, predict_table(cut, traits), task))
        if figures["cells"]:
            wrong, count = wrong + figures["mean"] * figures["cells"], count + figures["cells"]
    return wrong / count if count else float("nan")


def _hidden(
    table: MeasuredTable,
    references: Sequence[str],
    devices: np.ndarray,
    models: np.ndarray,
    task: str,
) -> TableSplit:
    new_models = {name for name, new in zip(table.models, models, strict=True) if new}
    new_devices = {name for name, new in zip(table.devices, devices, strict=True) if new}
    return split_table(
        table,
        references,
        set() if task == "P2" else new_devices,
        set() if task == "P1" else new_models - set(references),
    )


def hidden_cells(
    table: MeasuredTable, case: Case, references: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the number of evaluated cells of each device in `tables`, by task."""
    measured = np.isfinite(table.log_ms)
    measured[:, [name in set(references) for name in table.models]] = False
    groups = family_folds([case.groups(name) for name in table.devices], case.turns)
    families = family_folds([model_family(name) for name in table.models])
    alone = [
        measured[rows][:, families[turn % len(families)]].sum(axis=1)
        for turn, rows in enumerate(groups)
    ]
    counts_by_task = {"P1": measured.sum(axis=1), "P3": np.concatenate(alone)}
    return {task: counts[counts > 0] for task, counts in counts_by_task.items()}


def dealt(count: int) -> np.ndarray:
    """Return a random fold for each item."""
    return np.random.default_rng(0).permutation(count) % FAMILY_FOLDS


def shown(document: Mapping[str, Mapping[str, float]]) -> Shown:
    """Return a table with a row for each bound and a column for each data set."""
    rows = Shown("bound", *document, title="mean error, %")
    for row in dict.fromkeys(name for entry in document.values() for name in entry):
        values = (entry.get(row, np.nan) for entry in document.values())
        rows.add_row(row, *("" if np.isnan(value) else f"{value:.1f}" for value in values))
    return rows


def main() -> None:
    """Measure, print the figures, and write them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", choices=CASES, default=[])
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    document = {}
    for name in options.only or CASES:
        table, traits, references = read_case(CASES[name], options.folder)
        document[name] = dict(bounds(CASES[name], table, traits, references[: options.k]))
    Console(width=160).print(shown(document))
    if options.json:
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
