"""A table of measured latencies: devices by models, in log milliseconds."""

import csv
import gzip
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acesniper.domain.errors import InvalidInput

NAME_SEPARATOR = "|"
"""Between the values of several columns that together name one device or model."""


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredTable:
    """`log_ms` has shape (devices, models): ln of milliseconds, NaN where nothing was measured."""

    devices: tuple[str, ...]
    models: tuple[str, ...]
    log_ms: np.ndarray


@dataclass(frozen=True, slots=True)
class TableColumns:
    """Which columns name the device, the model and the latency."""

    device: tuple[str, ...] = ("device",)
    model: tuple[str, ...] = ("model",)
    latency: str = "latency_ms"


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, packed by gzip or not. Raises InvalidInput."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode("utf-8-sig")
        lines = io.StringIO(text, newline="")  # csv itself tells a line's end from one in quotes
        return list(csv.DictReader(lines, restval="", strict=True))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path} is not a readable CSV file: {error}") from error


def read_table(path: Path, columns: TableColumns) -> MeasuredTable:
    """The table in a CSV file. Raises InvalidInput where a column is missing or nothing is left."""
    rows = read_rows(path)
    wanted = (*columns.device, *columns.model, columns.latency)
    if not rows:
        raise InvalidInput(f"{path} has no row")
    missing = [name for name in wanted if name not in rows[0]]
    if missing:
        known = ", ".join(filter(None, rows[0]))
        raise InvalidInput(f"{path} has no column {', '.join(missing)}, but {known}")
    return from_rows(rows, columns)


def from_rows(rows: Iterable[Mapping[str, str]], columns: TableColumns) -> MeasuredTable:
    """The median of each cell's readings; what is no positive number was not measured."""
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        value = _latency(row[columns.latency])
        if value is not None:
            cells[joined_name(row, columns.device), joined_name(row, columns.model)].append(value)
    if not cells:
        raise InvalidInput(f"no row has a latency in the column {columns.latency}")
    devices = tuple(dict.fromkeys(device for device, _ in cells))
    models = tuple(dict.fromkeys(model for _, model in cells))
    log_ms = np.full((len(devices), len(models)), np.nan)
    places = ({name: i for i, name in enumerate(names)} for names in (devices, models))
    device_at, model_at = places
    for (device, model), values in cells.items():
        log_ms[device_at[device], model_at[model]] = math.log(float(np.median(values)))
    return MeasuredTable(devices, models, log_ms)


def joined_name(row: Mapping[str, str], columns: Sequence[str]) -> str:
    """The values of several columns as one name."""
    return NAME_SEPARATOR.join(row[name] for name in columns)


def name_group(name: str) -> str:
    """What a device or model belongs to: the part of its name before the first `|`."""
    return name.split(NAME_SEPARATOR)[0].strip()


def _latency(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None
