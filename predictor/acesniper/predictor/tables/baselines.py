"""The simple methods that a prediction must beat."""

from collections.abc import Sequence

import numpy as np

from acesniper.predictor.tables.operators import ModelTraits


def by_ratio(known: np.ndarray, readings: np.ndarray, columns: list[int]) -> np.ndarray:
    """The median device, scaled by the references. ln ms (new devices, models)."""
    shape = np.median(known - known[:, columns].mean(axis=1)[:, None], axis=0)
    return np.asarray(readings.mean(axis=1)[:, None] + shape)


def by_nearest(known: np.ndarray, readings: np.ndarray, columns: list[int]) -> np.ndarray:
    """The known device with the most constant ratio over the references, scaled by it."""
    apart = readings[:, None] - known[None][:, :, columns]
    best = apart.std(axis=2).argmin(axis=1)
    return np.asarray(known[best] + apart[np.arange(len(best)), best].mean(axis=1)[:, None])


def by_gaussian(
    known: np.ndarray, readings: np.ndarray, columns: list[int], noise: float = 0.002
) -> np.ndarray:
    """The joint Gaussian of the models over known devices, conditioned on the references."""
    mean = known.mean(axis=0)
    covariance = (known - mean).T @ (known - mean)[:, columns] / len(known)
    inner = covariance[columns] + noise * np.eye(len(columns))
    return np.asarray(mean + (readings - mean[columns]) @ np.linalg.solve(inner, covariance.T))


BASELINES = {"ratio": by_ratio, "nearest": by_nearest, "gaussian": by_gaussian}


def by_work(
    log_ms: np.ndarray, traits: Sequence[ModelTraits], known: np.ndarray, new: np.ndarray
) -> np.ndarray:
    """A line per device through ln of all arithmetic; ln ms (devices, new models).

    `log_ms` is (devices, known models). Where no arithmetic is stated, the device's mean.
    """
    work = np.array([np.log(_work(each) + 1.0) for each in traits])
    x = work[known] - work[known].mean()
    slope = (log_ms - log_ms.mean(axis=1)[:, None]) @ x / (x @ x + 1e-9)
    asked = work[new] - work[known].mean()
    return np.asarray(log_ms.mean(axis=1)[:, None] + slope[:, None] * asked)


def _work(traits: ModelTraits) -> float:
    listed = sum(each.count * each.sizes[0] for each in traits.operators)
    return listed or traits.values.get("flops", 0.0) or 1e9 * traits.values.get("gmacs", 0.0)
