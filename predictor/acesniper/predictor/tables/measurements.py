"""A table of measured latencies, devices by models, and which of its cells are held out.

Latencies are natural logarithms of milliseconds. Folds hold out whole groups of devices or whole
families of models.
"""

import csv
import gzip
import io
import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
        lines = io.StringIO(text, newline="")  # csv handles line ends in quotes
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


FAMILY_FOLDS = 5


def model_family(name: str) -> str:
    """The letters a model's name starts with."""
    found = re.match(r"[a-z]+", name.lower())
    return found.group() if found else name


def device_group(name: str) -> str:
    """What is new together with a device: its name to the first `|`, less a number at its end.

    So the units of a phone go together, and a chip at several batch sizes.
    """
    return re.sub(r"[_ ]\d+$", "", name_group(name))


def family_folds(families: Sequence[str], count: int = FAMILY_FOLDS) -> list[np.ndarray]:
    """Disjoint masks that together cover all, no family in two of them.

    There are as many folds as families if these are few; with one family each item stands alone.
    """
    names = sorted(set(families))
    items = list(families)
    if len(names) < 2:
        items = [str(i) for i in range(len(items))]
        names = list(items)
    count = min(count, len(names))
    order = np.random.default_rng(0).permutation(len(names))
    fold = {names[at]: i % count for i, at in enumerate(order)}
    place = np.array([fold[item] for item in items], dtype=int)
    return [place == i for i in range(count) if (place == i).any()]


TASKS = ("P1", "P2", "P3")
"""Known models on new devices; new models on known devices; new models on new devices."""


@dataclass(frozen=True, slots=True, eq=False)
class TableSplit:
    """What a prediction may see, and what it must predict.

    `known` has shape (devices, models), ln ms: NaN wherever a latency is held out, so that nothing
    behind it can be reached. `new_device` (devices,) and `new_model` (models,) are masks;
    `references` are the columns that stand for a new device.
    """

    table: MeasuredTable
    known: np.ndarray
    new_device: np.ndarray
    new_model: np.ndarray
    references: tuple[int, ...]

    def wanted(self, task: str) -> np.ndarray:
        """The measured cells of P1, P2 or P3, as a mask of shape (devices, models)."""
        devices = self.new_device if task in ("P1", "P3") else ~self.new_device
        models = self.new_model if task in ("P2", "P3") else ~self.new_model
        measured = np.isfinite(self.table.log_ms)
        hidden = np.isnan(self.known)
        return np.asarray(measured & hidden & devices[:, None] & models[None, :])


def split_table(
    table: MeasuredTable,
    references: Sequence[str],
    new_devices: Collection[str],
    new_models: Collection[str],
) -> TableSplit:
    """Hold out devices and models; of a new device reveal the references only.

    A reference that is itself held out is not revealed: there are then fewer of them. Raises
    InvalidInput where nothing is left to learn from.
    """
    new_device = np.array([name in new_devices for name in table.devices])
    new_model = np.array([name in new_models for name in table.models])
    place = {name: i for i, name in enumerate(table.models)}
    shown = tuple(place[n] for n in references if n in place and n not in new_models)
    if new_device.all() or new_model.all():
        raise InvalidInput("every device or every model is held out: nothing is left to fit on")
    if new_device.any() and not shown:
        raise InvalidInput("none of the reference models is known in the table")
    known = table.log_ms.copy()
    known[:, new_model] = np.nan
    hidden = np.repeat(new_device[:, None], len(table.models), axis=1)
    hidden[:, list(shown)] = False
    known[hidden] = np.nan
    return TableSplit(table, known, new_device, new_model, shown)


def with_observed(split: TableSplit, models: Sequence[int]) -> TableSplit:
    """The same with the latencies of these known models revealed on every new device."""
    rows, columns = np.flatnonzero(split.new_device), np.array(models, dtype=int)
    known = split.known.copy()
    known[np.ix_(rows, columns)] = split.table.log_ms[np.ix_(rows, columns)]
    return replace(split, known=known, references=(*split.references, *models))
