"""Predict with the exported network: numpy and onnxruntime, nothing else.

Prediction on a device = the network's mean, corrected by what ran there: the suite's own networks,
which the probe ran, and whatever was observed since.
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
from acesniper.predictor.pcn.batching import InputCache, device_groups, observed_models
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
    most_informative,
    own_variance,
    posterior,
    repeated_models,
    usable_observations,
    widened_deviation,
)
from acesniper.predictor.probe_matrix import Suite, check_versions, known_suite

SHIPPED_FILE = Path(__file__).with_name("pcn.onnx")

NO_INDICES = np.empty(0, dtype=int)
CELLS, ROWS = 2**16, 256
"""Pairs and models in one run of the graph, so that its arrays stay small."""


class LatencyQuantiles(NamedTuple):
    """Latencies that are not exceeded 50, 90 and 99 times of 100, seconds (models, devices)."""

    p50: np.ndarray
    p90: np.ndarray
    p99: np.ndarray


class PredictionBlock(NamedTuple):
    """Predictions of all models on some devices: `rows`, `columns` say where in the table.

    `mean` (M, D) and `deviation` (M, D or 1) in log seconds, `observed` (M, D) the part of the mean
    that observations added, `novelty` (D,); `answer` is the graph's own.
    """

    rows: np.ndarray
    columns: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    observed: np.ndarray
    novelty: np.ndarray
    answer: NetworkOutput


class PcnPredictor:
    """Predicts latency with a trained network; the arrays of models and devices are kept."""

    source = "pcn-1"

    def __init__(self, exported: NetworkFile, suite: Suite) -> None:
        self._exported = exported
        self._suite = suite
        self._models: InputCache[ModelFeatures, ModelInputs] = InputCache(
            lambda models: model_inputs(models, suite)
        )
        self._devices: InputCache[HardwareVector, DeviceInputs] = InputCache(
            lambda devices: device_inputs(devices, suite)
        )

    @classmethod
    def load(cls, file: Path = SHIPPED_FILE, suite: Suite | None = None) -> "PcnPredictor":
        """From a file; raises ModelMismatch unless it was made for these features and suite."""
        suite = suite or known_suite()
        return cls(NetworkFile.load(file, suite), suite)

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
            where = np.ix_(block.rows, block.columns)
            latency[where] = np.exp(block.mean)
            spread[where] = self._reach(block, "central90")
        return LatencyArrays(latency, spread).sound()

    def quantiles(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations = (),
    ) -> LatencyQuantiles:
        """Upper bounds, for promises to keep; NaN as in the table."""
        found = LatencyQuantiles(
            *(np.full((len(models), len(devices)), np.nan, np.float32) for _ in range(3))
        )
        for block in self._blocks(models, devices, observed):
            where = np.ix_(block.rows, block.columns)
            found.p50[where] = np.exp(block.mean)
            found.p90[where] = np.exp(block.mean + self._reach(block, "upper90"))
            found.p99[where] = np.exp(block.mean + self._reach(block, "upper99"))
        return found

    def next_to_observe(
        self,
        models: Sequence[ModelFeatures],
        device: HardwareVector,
        count: int,
        observed: Sequence[Observation] = (),
    ) -> list[int]:
        """Which of the models to run first on a device to learn most about all, as positions."""
        known = [i for i, model in enumerate(models) if model.version == FEATURES_VERSION]
        found = self._devices.of([device])
        if not known or not np.isfinite(found.seconds).all():
            return []
        asked = self._models.of([models[i] for i in known])
        made = usable_observations(observed, FEATURES_VERSION)
        who = observed_models([made])
        seen = self._seen(who.models)
        answer = self._exported.run(join(asked, seen), found, join(seen, asked))
        joint, count_known = answer.covariance, len(known)
        past, noise = self._past(found, 0, made, who.places[0])
        outer = joint[:count_known, past]
        inner = joint[count_known:][np.ix_(past, past)] + np.diag(noise)
        left = joint[:count_known, len(seen.work) :] - outer @ np.linalg.solve(inner, outer.T)
        return [known[i] for i in most_informative(left, self._exported.noise, count)]

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
        answer, seconds = block.answer, self._devices.of([device]).seconds[0]
        return Explanation(
            prediction,
            _parts(answer.corrected[0] * seconds),
            similarity=float(answer.similarity[0, 0]),
            residual=float(answer.residual[0, 0]),
            gate=float(answer.gate[0, 0]),
            observed=float(block.observed[0, 0]),
            model_explained=float(answer.model[0]),
            device_explained=float(answer.device[0]),
            similar=model.similar,
        )

    def _blocks(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations,
    ) -> Iterator[PredictionBlock]:
        """Devices with the same observations go together, in runs of at most CELLS pairs."""
        current = [i for i, model in enumerate(models) if model.version == FEATURES_VERSION]
        if not current or not devices:
            return
        asked = self._models.of([models[i] for i in current])
        doubt = np.asarray([[own_log_sigma(models[i])] for i in current])
        parts = np.split(np.arange(len(current)), range(ROWS, len(current), ROWS))
        found = self._devices.of(devices)
        made = [usable_observations(each, FEATURES_VERSION) for each in observed] or [
            [] for _ in devices
        ]
        room = max(1, CELLS // (min(len(current), ROWS) + found.references.shape[1]))
        for columns in device_groups(found, made, room):
            some, own = found.take(columns), [made[column] for column in columns]
            for part in parts:
                named = [models[current[i]].digest for i in part]
                block = self._block(asked.take(part), named, some, own)
                if doubt[part].any():
                    unsure = doubt[part] * ~already_run(named, own)
                    block = block._replace(deviation=np.sqrt(block.deviation**2 + unsure**2))
                yield block._replace(rows=np.asarray(current)[part], columns=columns)

    def _block(
        self, asked: ModelInputs, named: Sequence[str], found: DeviceInputs, made: Observations
    ) -> PredictionBlock:
        """All models on devices that have the same references, and what each observed.

        `named` are the digests of the models asked for, by which observed ones are recognised.
        """
        who = observed_models(made)
        seen = self._seen(who.models)
        answer = self._exported.run(join(asked, seen), found, seen)
        count = len(asked.work)
        if who.models:
            found_one = [
                self._corrected(answer, found, named, np.array([column]), own, places)
                for column, (own, places) in enumerate(zip(made, who.places, strict=True))
            ]
            added, deviation = (np.hstack(each) for each in zip(*found_one, strict=True))
        else:
            everyone = np.arange(len(found.seconds))
            added, deviation = self._corrected(answer, found, named, everyone, [], NO_INDICES)
        corrected, total = answer.corrected[:count], np.exp(answer.physics[:count])
        unusual = (corrected @ (found.seconds * found.unusual).T) / total
        deviation = widened_deviation(deviation, unusual)
        if found.implied.any():
            filled = corrected @ (found.seconds * found.implied).T
            implied = IMPLIED_LOG_SIGMA * filled / total
            deviation = np.sqrt(deviation**2 + implied**2)
        novelty = self._exported.calibration.novelty(answer.device)
        mean = answer.mean[:count] + added
        return PredictionBlock(NO_INDICES, NO_INDICES, mean, deviation, added, novelty, answer)

    def _corrected(
        self,
        answer: NetworkOutput,
        found: DeviceInputs,
        named: Sequence[str],
        columns: np.ndarray,
        made: Sequence[Observation],
        places: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What references and observations add to some columns, and the deviation left (M, D)."""
        count = len(named)
        past, noise = self._past(found, columns[0], made, places)
        references = len(past) - len(made)
        own = own_variance(self._exported.noise)
        again, twice = repeated_models(named, made, references)
        # What changed since the probe is common to all models, and no reference tells of it.
        since = np.arange(len(past)) >= references
        shift = max((each.shift for each in made), default=0.0) ** 2
        taken = found.references[np.ix_(columns, past[:references])].T
        log_s = np.vstack([taken, np.tile(_log_s(made), (len(columns), 1)).T])
        added, variance, strange = posterior(
            answer.covariance[:count, past] + shift * since + own * again,
            answer.covariance[count:][np.ix_(past, past)]
            + shift * np.outer(since, since)
            + own * twice,
            answer.variance[:count] + shift + own,
            noise,
            log_s - answer.mean[count:][np.ix_(past, columns)],
            references,
        )
        deviation = np.sqrt((variance + self._exported.noise - own)[:, None] * strange[None])
        return added, deviation

    def _past(
        self,
        found: DeviceInputs,
        column: int,
        made: Sequence[Observation],
        places: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where what a device saw stands among what the graph was given, and its noise (O,)."""
        there = np.flatnonzero(np.isfinite(found.references[column]))
        past = np.r_[there, found.references.shape[1] + places]
        extra = np.r_[np.zeros(len(there)), [each.variance for each in made]]
        return past, self._exported.noise + extra

    def _seen(self, models: Sequence[ModelFeatures]) -> ModelInputs:
        """The references, then the models observed."""
        references = self._exported.references
        return join(references, self._models.of(models)) if models else references

    def _reach(self, block: PredictionBlock, name: str) -> np.ndarray:
        """A band's factor times the deviation, which is at least the floor (M, D)."""
        calibration = self._exported.calibration
        floor = calibration.factors("floor", block.novelty)
        reach = calibration.factors(name, block.novelty) * np.maximum(block.deviation, floor)
        return np.asarray(reach, np.float32)


def _log_s(made: Sequence[Observation]) -> np.ndarray:
    return np.log([each.latency_s for each in made], dtype=np.float32)


def _parts(seconds: np.ndarray) -> dict[str, float]:
    """Seconds of the terms as seconds per operator class, longest first."""
    names = [*(name for name, _ in PAIRS), "dispatch", "run"]
    parts = dict.fromkeys(names, 0.0)
    for name, each in zip(names, seconds.tolist(), strict=True):
        parts[name] += each
    return dict(sorted(((k, v) for k, v in parts.items() if v > 0), key=lambda pair: -pair[1]))
