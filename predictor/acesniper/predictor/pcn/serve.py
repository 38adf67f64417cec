"""The predictor that serves an exported network with numpy and onnxruntime.

A prediction is the network's mean, corrected by what ran on the device: the reference networks of
the probe, and the latencies observed since.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from acesniper.domain.device import HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Explanation, Prediction
from acesniper.predictor.analytical import IMPLIED_LOG_SIGMA
from acesniper.predictor.base import LatencyArrays, Observation, Observations
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.out_of_distribution import own_log_sigma
from acesniper.predictor.pcn.batching import (
    DEFAULT_LIMITS,
    BatchLimits,
    InputCache,
    device_groups,
    observed_models,
)
from acesniper.predictor.pcn.inputs import (
    PAIRS,
    DeviceInputs,
    ModelInputs,
    device_inputs,
    join,
    model_inputs,
)
from acesniper.predictor.pcn.network_file import NetworkFile, NetworkOutput
from acesniper.predictor.pcn.posterior import (
    already_run,
    next_observations,
    own_variance,
    posterior,
    repeated_models,
    usable_observations,
    widened_deviation,
)
from acesniper.predictor.probe_matrix import Suite, check_versions, known_suite

SHIPPED_FILE = Path(__file__).with_name("pcn.onnx")

NO_INDICES = np.empty(0, dtype=int)


class LatencyQuantiles(NamedTuple):
    """Latencies that are not exceeded 50, 90 and 99 times of 100, seconds (models, devices)."""

    p50: np.ndarray
    p90: np.ndarray
    p99: np.ndarray


class PredictionBlock(NamedTuple):
    """Predictions of some models on some devices: `rows` and `columns` of the table.

    `mean` (M, D) and `deviation` (M, D or 1) in log seconds, `observed` (M, D) the part of the mean
    that observations added, `novelty` (D,); `output` is the network's own.
    """

    rows: np.ndarray
    columns: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    observed: np.ndarray
    novelty: np.ndarray
    output: NetworkOutput


class PcnPredictor:
    """Predicts latency with a trained network; the arrays of models and devices are kept."""

    source = "pcn-1"

    def __init__(
        self, network: NetworkFile, suite: Suite, limits: BatchLimits = DEFAULT_LIMITS
    ) -> None:
        self._network = network
        self._suite = suite
        self._limits = limits
        self._models: InputCache[ModelFeatures, ModelInputs] = InputCache(
            lambda models: model_inputs(models, suite)
        )
        self._devices: InputCache[HardwareVector, DeviceInputs] = InputCache(
            lambda devices: device_inputs(devices, suite)
        )

    @classmethod
    def load(
        cls,
        file: Path = SHIPPED_FILE,
        suite: Suite | None = None,
        limits: BatchLimits = DEFAULT_LIMITS,
    ) -> "PcnPredictor":
        """Load a file; raises ModelMismatch if it is of other features or another suite."""
        suite = suite or known_suite()
        return cls(NetworkFile.load(file, suite), suite, limits)

    def predict(
        self,
        model: ModelFeatures,
        device: HardwareVector,
        observed: Sequence[Observation] = (),
    ) -> Prediction | None:
        """The latency, or None where the device's readings say too little."""
        check_versions(model, device, self._suite)
        return self.predict_all([model], [device], [observed])[0][0]

    def predict_all(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations = (),
    ) -> Sequence[Sequence[Prediction | None]]:
        """The table as domain objects, a row per model."""
        return self.table(models, devices, observed).predictions(self.source)

    def table(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations = (),
    ) -> LatencyArrays:
        """All pairs at once; NaN where a vector is of another version or says too little."""
        latency = np.full((len(models), len(devices)), np.nan, np.float32)
        spread = np.full(latency.shape, np.nan, np.float16)
        for block in self._blocks(models, devices, observed):
            cells = np.ix_(block.rows, block.columns)
            latency[cells] = np.exp(block.mean)
            spread[cells] = self._half_width(block, "central90")
        return LatencyArrays(latency, spread).sound()

    def quantiles(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations = (),
    ) -> LatencyQuantiles:
        """Upper bounds for deadlines; NaN as in the table."""
        shape = (len(models), len(devices))
        bounds = LatencyQuantiles(*(np.full(shape, np.nan, np.float32) for _ in range(3)))
        for block in self._blocks(models, devices, observed):
            cells = np.ix_(block.rows, block.columns)
            bounds.p50[cells] = np.exp(block.mean)
            bounds.p90[cells] = np.exp(block.mean + self._half_width(block, "upper90"))
            bounds.p99[cells] = np.exp(block.mean + self._half_width(block, "upper99"))
        return bounds

    def next_to_observe(
        self,
        models: Sequence[ModelFeatures],
        device: HardwareVector,
        count: int,
        observed: Sequence[Observation] = (),
    ) -> list[int]:
        """Positions of the models to run first on a device, to learn most about all of them."""
        current = [i for i, model in enumerate(models) if model.version == FEATURES_VERSION]
        inputs = self._devices.get([device])
        if not current or not np.isfinite(inputs.seconds).all():
            return []
        requested = self._models.get([models[i] for i in current])
        usable = usable_observations(observed, FEATURES_VERSION, self._limits.observations)
        seen = observed_models([usable])
        seen_inputs = self._observed_inputs(seen.models)
        output = self._network.run(
            join(requested, seen_inputs), inputs, join(seen_inputs, requested)
        )
        joint = output.covariance
        past, noise = self._past(inputs, 0, usable, seen.positions[0])
        outer = joint[: len(current), past]
        inner = joint[len(current) :][np.ix_(past, past)] + np.diag(noise)
        left = joint[: len(current), len(seen_inputs.work) :]
        best = next_observations(left, outer, inner, self._network.noise, count)
        return [current[i] for i in best]

    def explain(
        self,
        model: ModelFeatures,
        device: HardwareVector,
        observed: Sequence[Observation] = (),
    ) -> Explanation | None:
        """The prediction taken apart."""
        prediction = self.predict(model, device, observed)
        if prediction is None:
            return None
        block = next(self._blocks([model], [device], [observed]))
        output, seconds = block.output, self._devices.get([device]).seconds[0]
        return Explanation(
            prediction,
            _parts(output.corrected[0] * seconds),
            similarity=float(output.similarity[0, 0]),
            residual=float(output.residual[0, 0]),
            gate=float(output.gate[0, 0]),
            observed=float(block.observed[0, 0]),
            model_explained=float(output.model[0]),
            device_explained=float(output.device[0]),
            similar=model.similar,
        )

    def _blocks(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations,
    ) -> Iterator[PredictionBlock]:
        """Predictions block by block: devices with the same references go together."""
        current = [i for i, model in enumerate(models) if model.version == FEATURES_VERSION]
        if not current or not devices:
            return
        requested = self._models.get([models[i] for i in current])
        own_sigma = np.asarray([[own_log_sigma(models[i])] for i in current])
        inputs = self._devices.get(devices)
        usable = [
            usable_observations(observations, FEATURES_VERSION, self._limits.observations)
            for observations in observed
        ] or [[] for _ in devices]
        limits, rows = self._limits, min(len(current), self._limits.models)
        most = max(1, limits.cells // (rows + inputs.references.shape[1]))
        parts = np.split(np.arange(len(current)), range(rows, len(current), rows))
        for columns in device_groups(inputs, usable, most, limits.observed_models):
            group, own = inputs.take(columns), [usable[column] for column in columns]
            for part in parts:
                digests = [models[current[i]].digest for i in part]
                block = self._block(requested.take(part), digests, group, own)
                if own_sigma[part].any():
                    added = own_sigma[part] * ~already_run(digests, own)
                    block = block._replace(deviation=np.sqrt(block.deviation**2 + added**2))
                yield block._replace(rows=np.asarray(current)[part], columns=columns)

    def _block(
        self,
        requested: ModelInputs,
        digests: Sequence[str],
        inputs: DeviceInputs,
        observed: Observations,
    ) -> PredictionBlock:
        """All models on devices that have the same references, with what each observed.

        `digests` identify the requested models among the observed ones.
        """
        seen = observed_models(observed)
        seen_inputs = self._observed_inputs(seen.models)
        output = self._network.run(join(requested, seen_inputs), inputs, seen_inputs)
        count = len(requested.work)
        if seen.models:
            corrections = [
                self._corrected(output, inputs, digests, np.array([column]), own, positions)
                for column, (own, positions) in enumerate(
                    zip(observed, seen.positions, strict=True)
                )
            ]
            added, deviation = (np.hstack(arrays) for arrays in zip(*corrections, strict=True))
        else:
            columns = np.arange(len(inputs.seconds))
            added, deviation = self._corrected(output, inputs, digests, columns, [], NO_INDICES)
        corrected, total = output.corrected[:count], np.exp(output.physics[:count])
        unusual = (corrected @ (inputs.seconds * inputs.unusual).T) / total
        deviation = widened_deviation(deviation, unusual)
        if inputs.implied.any():
            filled = corrected @ (inputs.seconds * inputs.implied).T
            implied = IMPLIED_LOG_SIGMA * filled / total
            deviation = np.sqrt(deviation**2 + implied**2)
        novelty = self._network.calibration.novelty(output.device)
        mean = output.mean[:count] + added
        return PredictionBlock(NO_INDICES, NO_INDICES, mean, deviation, added, novelty, output)

    def _corrected(
        self,
        output: NetworkOutput,
        inputs: DeviceInputs,
        digests: Sequence[str],
        columns: np.ndarray,
        observed: Sequence[Observation],
        positions: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Corrections from references and observations for some columns, and deviation (M, D)."""
        count = len(digests)
        past, noise = self._past(inputs, columns[0], observed, positions)
        references = len(past) - len(observed)
        own = own_variance(self._network.noise)
        again, same = repeated_models(digests, observed, references)
        # A change since the probe is common to all models; the references do not show it.
        since = np.arange(len(past)) >= references
        shift = max((observation.shift for observation in observed), default=0.0) ** 2
        taken = inputs.references[np.ix_(columns, past[:references])].T
        log_s = np.vstack([taken, np.tile(_log_s(observed), (len(columns), 1)).T])
        added, variance, surprise = posterior(
            output.covariance[:count, past] + shift * since + own * again,
            output.covariance[count:][np.ix_(past, past)]
            + shift * np.outer(since, since)
            + own * same,
            output.variance[:count] + shift + own,
            noise,
            log_s - output.mean[count:][np.ix_(past, columns)],
            references,
        )
        deviation = np.sqrt((variance + self._network.noise - own)[:, None] * surprise[None])
        return added, deviation

    def _past(
        self,
        inputs: DeviceInputs,
        column: int,
        observed: Sequence[Observation],
        positions: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions of a device's observations among the network's inputs, and noise (O,)."""
        there = np.flatnonzero(np.isfinite(inputs.references[column]))
        past = np.r_[there, inputs.references.shape[1] + positions]
        extra = np.r_[np.zeros(len(there)), [observation.variance for observation in observed]]
        return past, self._network.noise + extra

    def _observed_inputs(self, models: Sequence[ModelFeatures]) -> ModelInputs:
        """The references, then the observed models."""
        references = self._network.references
        return join(references, self._models.get(models)) if models else references

    def _half_width(self, block: PredictionBlock, name: str) -> np.ndarray:
        """A band's factor times the deviation, which is at least the floor (M, D)."""
        calibration = self._network.calibration
        floor = calibration.factors("floor", block.novelty)
        width = calibration.factors(name, block.novelty) * np.maximum(block.deviation, floor)
        return np.asarray(width, np.float32)


def _log_s(observed: Sequence[Observation]) -> np.ndarray:
    return np.log([observation.latency_s for observation in observed], dtype=np.float32)


def _parts(seconds: np.ndarray) -> dict[str, float]:
    """Seconds per operator class from seconds per term, longest first."""
    names = [*(name for name, _ in PAIRS), "dispatch", "run"]
    parts = dict.fromkeys(names, 0.0)
    for name, term_s in zip(names, seconds.tolist(), strict=True):
        parts[name] += term_s
    return dict(sorted(((k, v) for k, v in parts.items() if v > 0), key=lambda pair: -pair[1]))
