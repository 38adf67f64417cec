"""Latencies as each namespace may expect them: its own observations, and what others agree on.

For the models of a namespace, the prediction from the probe is shifted by what the other namespaces
agree on (`domain.evidence.shared_shift`, at most a factor of 2), and then conditioned on what the
namespace observed itself (at most a factor of 32). Namespaces without observations of their own on
a device see the shift that all namespaces agree on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from acesniper.api import convert
from acesniper.api.units import epoch_s
from acesniper.api.v1alpha1 import DeviceProfileStatus
from acesniper.domain.device import HardwareVector
from acesniper.domain.evidence import (
    OWN_BOUND,
    SHARED_BOUND,
    NamespaceHistory,
    namespace_histories,
)
from acesniper.domain.latency_history import ObservedLatency
from acesniper.domain.model import ModelFeatures
from acesniper.domain.task import ModelKey
from acesniper.predictor.base import (
    DRIFTED_SHIFT,
    PRIOR_SHIFT,
    LatencyArrays,
    LatencyPredictor,
    Observation,
)

FeaturesByModel = Mapping[ModelKey, ModelFeatures]


@dataclass(frozen=True, slots=True)
class MeasuredDevice:
    """What predictions for a device are made from.

    Attributes:
        vector: readings of the last probe.
        histories: what each namespace observed there since.
        interval_factor: factor by which the intervals of namespaces without a history are wider.
    """

    vector: HardwareVector
    histories: tuple[NamespaceHistory, ...] = ()
    interval_factor: float = 1.0

    @classmethod
    def of(cls, status: DeviceProfileStatus) -> "MeasuredDevice | None":
        """Read the status of a profile; None before the device was probed."""
        vector = convert.to_hardware_vector(status)
        if vector is None:
            return None
        measured_s = epoch_s(status.measured_at) if status.measured_at else 0.0
        states = convert.namespace_states(status)
        histories = namespace_histories(convert.observed_runs(status), states, measured_s)
        return cls(vector, histories, status.interval_factor)

    @property
    def observed_models(self) -> frozenset[ModelKey]:
        """The models that ran there."""
        return frozenset(latency.model for item in self.histories for latency in item.own)


def observations(
    history: NamespaceHistory, latencies: Sequence[ObservedLatency], known: FeaturesByModel
) -> list[Observation]:
    """Return the latencies of known models, for the predictor."""
    shift = DRIFTED_SHIFT if history.drifted else PRIOR_SHIFT
    return [
        Observation(known[latency.model], latency.latency_s, latency.variance, shift)
        for latency in latencies
        if latency.model in known
    ]


def robust_shift(shifts: Sequence[np.ndarray], size: int) -> np.ndarray:
    """`shared_shift` of each of `size` models; an unknown shift (NaN) counts as none."""
    voters = np.zeros((len(shifts) + 1, size))
    for voter, shift in zip(voters[1:], shifts, strict=True):
        voter[:] = np.clip(np.nan_to_num(shift), -SHARED_BOUND, SHARED_BOUND)
    voters.sort(axis=0)
    low, high = voters[(len(voters) - 1) // 2], voters[len(voters) // 2]
    nearer = np.where(np.abs(low) <= np.abs(high), low, high)
    return np.where(low * high > 0.0, nearer, 0.0)


@dataclass(frozen=True, slots=True)
class NamespaceView:
    """How a namespace predicts for a device.

    Attributes:
        shift: log seconds by which the other namespaces shift the prediction from the probe, per
            model.
        observed: what the namespace observed, relative to that shift.
        interval_factor: factor by which its intervals are wider than usual.
    """

    shift: np.ndarray
    observed: Sequence[Observation]
    interval_factor: float


def namespace_view(
    predictor: LatencyPredictor,
    device: MeasuredDevice,
    namespace: str,
    models: Sequence[ModelFeatures],
    known: FeaturesByModel,
) -> NamespaceView:
    """Return how a namespace predicts some models on a device."""
    evidence = _Evidence.of(predictor, models, [device], known)
    return evidence.view(0, namespace)


def namespace_table(
    predictor: LatencyPredictor,
    models: FeaturesByModel,
    devices: Sequence[MeasuredDevice],
    known: FeaturesByModel,
) -> LatencyArrays:
    """Predict each model on each device as the model's namespace may expect it.

    `known` are the features of all models that may have been observed.
    """
    features = [*models.values()]
    evidence = _Evidence.of(predictor, features, devices, known)
    log_s, spread = evidence.general()
    rows = _rows_by_namespace(models)
    again: list[tuple[int, np.ndarray, NamespaceView]] = []
    for column, device in enumerate(devices):
        for history in device.histories:
            if (own_rows := rows.get(history.namespace)) is None:
                continue
            view = evidence.view(column, history.namespace)
            if not view.observed:
                continue
            if view.shift.any():
                again.append((column, own_rows, view))
                continue
            log_s[own_rows, column] = evidence.own(column, history)[own_rows]
            spread[own_rows, column] = (
                evidence.own_spread(column, history)[own_rows] * view.interval_factor
            )
    if again:
        vectors = [devices[column].vector for column, _, _ in again]
        conditioned = predictor.table(features, vectors, [view.observed for _, _, view in again])
        for position, (column, own_rows, view) in enumerate(again):
            own_log_s = _log(conditioned.latency[own_rows, position]) + view.shift[own_rows]
            base_log_s = evidence.base(column)[own_rows]
            log_s[own_rows, column] = base_log_s + _bounded(own_log_s - base_log_s)
            spread[own_rows, column] = conditioned.spread[own_rows, position] * view.interval_factor
    return LatencyArrays(np.exp(log_s).astype(np.float32), spread.astype(np.float16)).sound()


def _rows_by_namespace(models: FeaturesByModel) -> dict[str, np.ndarray]:
    rows: dict[str, list[int]] = {}
    for row, model in enumerate(models):
        rows.setdefault(model.partition("/")[0], []).append(row)
    return {namespace: np.array(own) for namespace, own in rows.items()}


def _log(latency_s: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(latency_s.astype(np.float64)))


def _bounded(shift: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(shift, -OWN_BOUND, OWN_BOUND))


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Predictions from the probe alone, and from what each namespace observed, in one call.

    Rows of `table` are the models that are asked for, then observed ones; `columns` are the columns
    by device and observations (namespace; own or shared), with the probe's at (device, None).
    """

    devices: Sequence[MeasuredDevice]
    known: FeaturesByModel
    count: int
    row_of: Mapping[str, int]
    columns: Mapping[tuple[int, str | None, bool], int]
    table: LatencyArrays
    log_s: np.ndarray

    @classmethod
    def of(
        cls,
        predictor: LatencyPredictor,
        models: Sequence[ModelFeatures],
        devices: Sequence[MeasuredDevice],
        known: FeaturesByModel,
    ) -> "_Evidence":
        columns: dict[tuple[int, str | None, bool], int] = {}
        vectors: list[HardwareVector] = []
        observed: list[Sequence[Observation]] = []
        rows = [*models]
        row_of = {model.digest: row for row, model in enumerate(rows)}

        def add(key: tuple[int, str | None, bool], made: Sequence[Observation]) -> None:
            columns[key] = len(vectors)
            vectors.append(devices[key[0]].vector)
            observed.append(made)

        for number, device in enumerate(devices):
            add((number, None, False), ())
            for history in device.histories:
                own = observations(history, history.own, known)
                add((number, history.namespace, False), own)
                if history.shared == history.own:
                    columns[number, history.namespace, True] = len(vectors) - 1
                else:
                    shared = observations(history, history.shared, known)
                    add((number, history.namespace, True), shared)
                if len(device.histories) > 2:
                    # Own observations are shifted by what two others agree on.
                    for observation in own:
                        if observation.model_key not in row_of:
                            row_of[observation.model_key] = len(rows)
                            rows.append(observation.model)
        table = predictor.table(rows, vectors, observed)
        return cls(devices, known, len(models), row_of, columns, table, _log(table.latency))

    def base(self, device: int) -> np.ndarray:
        """Predictions from the probe alone, in log seconds."""
        return np.asarray(self.log_s[: self.count, self.columns[device, None, False]])

    def own(self, device: int, history: NamespaceHistory) -> np.ndarray:
        """Predictions from what a namespace observed, in log seconds."""
        own = self.log_s[: self.count, self.columns[device, history.namespace, False]]
        base = self.base(device)
        return np.asarray(base + _bounded(own - base))

    def own_spread(self, device: int, history: NamespaceHistory) -> np.ndarray:
        """The half widths of their intervals, in log seconds."""
        column = self.columns[device, history.namespace, False]
        return np.asarray(self.table.spread[: self.count, column])

    def general(self) -> tuple[np.ndarray, np.ndarray]:
        """Log seconds and spread for namespaces without observations (models, devices)."""
        columns = [self.columns[device, None, False] for device in range(len(self.devices))]
        log_s = self.log_s[: self.count, columns].copy()
        factors = np.array([device.interval_factor for device in self.devices])
        spread = self.table.spread[: self.count, columns].astype(np.float64) * factors
        for number, device in enumerate(self.devices):
            if len(device.histories) > 1:
                log_s[:, number] += self._agreed(number, None)[: self.count]
        return log_s, spread

    def view(self, device: int, namespace: str) -> NamespaceView:
        """How a namespace predicts for a device."""
        agreed = self._agreed(device, namespace)
        measured = self.devices[device]
        own = next((item for item in measured.histories if item.namespace == namespace), None)
        if own is None:
            return NamespaceView(agreed[: self.count], (), measured.interval_factor)
        made = observations(own, own.own, self.known)
        if agreed.any():
            made = [
                replace(
                    observation,
                    latency_s=observation.latency_s
                    / float(np.exp(agreed[self.row_of[observation.model_key]])),
                )
                for observation in made
            ]
        return NamespaceView(agreed[: self.count], made, own.interval_factor)

    def _agreed(self, device: int, namespace: str | None) -> np.ndarray:
        """What namespaces other than this one agree on, for all rows."""
        base = self.log_s[:, self.columns[device, None, False]]
        shifts = [
            self.log_s[:, self.columns[device, history.namespace, True]] - base
            for history in self.devices[device].histories
            if history.namespace != namespace and self._observed(history.shared)
        ]
        return robust_shift(shifts, len(base))

    def _observed(self, latencies: Sequence[ObservedLatency]) -> bool:
        return any(latency.model in self.known for latency in latencies)
