"""Which cells are known, and which are to be predicted."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from acesniper.domain.errors import InvalidInput
from acesniper.predictor.tables.measurements import MeasuredTable

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
    rows, columns = np.flatnonzero(split_table.new_device), np.array(models, dtype=int)
    known = split_table.known.copy()
    known[np.ix_(rows, columns)] = split_table.table.log_ms[np.ix_(rows, columns)]
    return replace(split_table, known=known, references=(*split_table.references, *models))
