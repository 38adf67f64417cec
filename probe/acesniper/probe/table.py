"""Write collected rows: CSV for people, Parquet for the atlas."""

import csv
import importlib
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from acesniper.domain.errors import InvalidInput
from acesniper.probe.collect import COLUMNS, LatencyRow


def write(rows: Sequence[LatencyRow], output: Path | None) -> None:
    """Write the rows to a file, by its ending .parquet or as CSV, or as CSV to standard output."""
    if output is not None and output.suffix == ".parquet":
        _write_parquet(rows, output)
        return
    file = sys.stdout if output is None else output.open("w", newline="", encoding="utf-8")
    try:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    finally:
        if output is not None:
            file.close()


def _write_parquet(rows: Sequence[LatencyRow], output: Path) -> None:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "Parquet needs the package pyarrow: pip install pyarrow, or name a .csv file"
        ) from error
    kinds = {str: arrow.string(), int: arrow.int32(), float: arrow.float64(), bool: arrow.bool_()}
    optional = {"disagreement": float, "isa": str, "cpu_quota": float}
    types = {**LatencyRow.__annotations__, **optional}
    schema = arrow.schema([(name, kinds[types[name]]) for name in COLUMNS])
    table = arrow.Table.from_pylist([asdict(row) for row in rows], schema=schema)
    parquet.write_table(table, output, compression="zstd")
