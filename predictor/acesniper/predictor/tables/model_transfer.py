"""P2 and P3: latencies of new models, from those of known models on the same device.

ln T_d(m) = base_d(m) + residual. The residual is a Gaussian process over models whose weights are
shared by all devices and found by marginal likelihood (Rasmussen and Williams, 2006, chapter 5).
The members differ in the base: operator costs with more and with less shrinking, and none at all.
Their mean is weighted per device by past errors (stacking: Wolpert, 1992).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.predictor.gaussian import (
    conditional_variance,
    conditional_weights,
    negative_log_likelihood,
)
from acesniper.predictor.tables.model_kernel import (
    INITIAL_THETA,
    ModelVectors,
    Theta,
    TraitsKernel,
    traits_kernel,
)
from acesniper.predictor.tables.operators import fit_costs

RIDGES: tuple[float | None, ...] = (1e-4, 3e-6, None)
"""How far each member's physics is shrunk; None has no physics."""

LENGTHS = (0.3, 0.5, 0.8, 1.3, 2.0, 3.5, 6.0)
"""Lengths tried for operators: few, as the kernel over all operators is kept for each."""

TUNING_ROUNDS = 4
MAX_TUNING_MODELS = 250
"""Models that the weights are found on; more only cost time."""

MAX_TUNING_SETS = 16
"""Sets of devices, each with gaps of its own, that the weights are found on at most."""

MAX_FITTED_MODELS = 700
"""Models that a member is fitted on at most: solving takes the cube of it."""


@dataclass(frozen=True, slots=True, eq=False)
class ExtensionMember:
    """One form of the method with the weights that were found for it."""

    ridge: float | None
    theta: Theta
    alike: TraitsKernel

    def covariance(self, known: np.ndarray, columns: Sequence[int]) -> np.ndarray:
        """How models vary together, as their features say: (known models, columns)."""
        return self.alike.between(known, known[list(columns)])(self.theta)


def tune(models: ModelVectors, log_ms: np.ndarray, known: np.ndarray) -> list[ExtensionMember]:
    """Find the weights of each member on ln ms (devices, known models), NaN where unknown."""
    chosen = _sample(len(known), MAX_TUNING_MODELS)
    ridges = RIDGES if models.operators.counts.shape[1] else RIDGES[-1:]
    members = []
    for ridge, (base, alike) in zip(ridges, _bases(models, log_ms, known, ridges), strict=True):
        residual = (log_ms - base[:, known])[:, chosen]
        members.append(
            ExtensionMember(ridge, _maximise_likelihood(alike, known[chosen], residual), alike)
        )
    return members


def extend(
    models: ModelVectors,
    log_ms: np.ndarray,
    known: np.ndarray,
    new: np.ndarray,
    members: Sequence[ExtensionMember],
) -> tuple[np.ndarray, np.ndarray]:
    """Latencies, ln ms, and the deviations to expect; both (members, devices, new models).

    `log_ms` is (devices, known models), NaN where unknown.
    """
    chosen = _sample(len(known), MAX_FITTED_MODELS)
    known, log_ms = known[chosen], log_ms[:, chosen]
    bases = _bases(models, log_ms, known, [member.ridge for member in members])
    found = [
        _posterior(base, alike, member.theta, log_ms, known, new)
        for member, (base, alike) in zip(members, bases, strict=True)
    ]
    return np.array([mean for mean, _ in found]), np.array([spread for _, spread in found])


def _posterior(
    base: np.ndarray,
    alike: TraitsKernel,
    theta: Theta,
    log_ms: np.ndarray,
    known: np.ndarray,
    new: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of the new models, each (devices, new models)."""
    inner = alike.between(known, known)(theta) + theta["noise"] * np.eye(len(known))
    outer = alike.between(new, known)(theta)
    prior = alike.alone(theta, new) + theta["noise"]
    mean, variance = base[:, new], np.zeros((len(log_ms), len(new)))
    for rows, there in patterns(log_ms):
        weights = conditional_weights(inner[np.ix_(there, there)], outer[:, there])
        mean[rows] += (log_ms - base[:, known])[np.ix_(rows, there)] @ weights
        variance[rows] = conditional_variance(prior, outer[:, there], weights)
    return mean, np.sqrt(np.maximum(variance, 1e-6))


def patterns(log_ms: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The rows that lack the same columns, and the columns that they have, both as indices."""
    there = np.isfinite(log_ms)
    kinds, inverse = np.unique(there, axis=0, return_inverse=True)
    return [
        (np.flatnonzero(inverse.ravel() == i), np.flatnonzero(kind)) for i, kind in enumerate(kinds)
    ]


def _bases(
    models: ModelVectors, log_ms: np.ndarray, known: np.ndarray, ridges: Sequence[float | None]
) -> list[tuple[np.ndarray, TraitsKernel]]:
    """The physical part (devices, all models) of each ridge, and the kernel that goes with it.

    Without physics the kernel takes the shares of time from the first.
    """
    amounts = models.design.amounts
    fits: dict[float, tuple[np.ndarray, TraitsKernel]] = {}
    found = []
    for ridge in ridges:
        used = ridge or RIDGES[0] or 0.0
        if used not in fits:
            costs = np.zeros((len(log_ms), amounts.shape[1]))
            if models.operators.counts.shape[1]:
                costs = fit_costs(amounts[known], log_ms, used)
            fits[used] = costs, traits_kernel(models, costs)
        costs, alike = fits[used]
        level = _device_means(log_ms)
        base = np.repeat(level[:, None], len(amounts), axis=1)
        if ridge is not None:
            least = np.where(np.isfinite(log_ms), log_ms, level[:, None]).min(axis=1)
            base = np.log(np.maximum(costs @ amounts.T, 0.1 * np.exp(least)[:, None]))
        found.append((base, alike))
    return found


def _device_means(log_ms: np.ndarray) -> np.ndarray:
    """The mean of each device; that of all where nothing of it is left: (devices,)."""
    there = np.isfinite(log_ms)
    total, count = np.where(there, log_ms, 0.0).sum(axis=1), there.sum(axis=1)
    return np.asarray(
        np.where(count > 0, total / np.maximum(count, 1), total.sum() / max(count.sum(), 1))
    )


def _maximise_likelihood(alike: TraitsKernel, known: np.ndarray, residual: np.ndarray) -> Theta:
    """Walk the weights one by one, up and down, while the likelihood grows."""
    sets, block = patterns(residual)[:MAX_TUNING_SETS], alike.between(known, known)

    def loss(theta: Theta) -> float:
        inner = block(theta) + theta["noise"] * np.eye(len(known))
        return sum(
            negative_log_likelihood(inner[np.ix_(there, there)], residual[np.ix_(rows, there)])
            for rows, there in sets
        )

    theta, least, step = dict(INITIAL_THETA), loss(INITIAL_THETA), 4.0
    for _ in range(TUNING_ROUNDS):
        for name in INITIAL_THETA:
            for factor in (step, 1 / step):
                changed = _changed(theta, name, factor)
                found = loss(changed)
                if found < least - 1e-9:
                    theta, least = changed, found
                    break
        step **= 0.7
    return theta


def _changed(theta: Theta, name: str, factor: float) -> Theta:
    if name != "operators_length":
        return {**theta, name: float(np.clip(theta[name] * factor, 1e-6, 1e4))}
    at = LENGTHS.index(theta[name]) + (1 if factor > 1 else -1)
    return {**theta, name: LENGTHS[min(max(at, 0), len(LENGTHS) - 1)]}


def _sample(count: int, most: int) -> np.ndarray:
    """Indices of at most so many of `count`, drawn alike each time."""
    return np.sort(np.random.default_rng(0).permutation(count)[:most])


WEIGHT_STEPS = 8
"""Weights are tried in eighths."""

SHRINKAGE_CELLS = 60.0
"""How many cells the mistakes on all devices weigh in the choice for one."""


def stacking_weights(tried: np.ndarray, measured: np.ndarray, judges: int) -> np.ndarray:
    """The weights (members, devices) of the mean with the least error on each device.

    `tried` (members, devices, models) are ln ms as if the models were new, `measured` (devices,
    models) the truth, NaN where unmeasured. The first `judges` devices count for the others.
    """
    options = np.array(_simplex(len(tried), WEIGHT_STEPS)) / WEIGHT_STEPS
    error = np.array(
        [_capped_error(np.tensordot(option, tried, 1), measured) for option in options]
    )
    counts = np.isfinite(measured).sum(axis=1)
    total = error[:, :judges].sum(axis=1) / max(counts[:judges].sum(), 1)
    best = (error + SHRINKAGE_CELLS * total[:, None]).argmin(axis=0)
    return np.asarray(options[best].T)


def weighted_mean(tried: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The weighted mean of the members: (devices, models)."""
    return np.asarray(np.einsum("md,mdk->dk", share, tried))


def expected_deviation(tried: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """The deviations to expect where members (members, devices, models) also disagree."""
    return np.asarray(np.sqrt((spread**2).mean(axis=0) + tried.var(axis=0)))


def _capped_error(guess: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """The sum of the errors per device, each at most 1."""
    wrong = np.expm1(np.minimum(np.abs(guess - measured), 1.0))
    return np.asarray(np.nansum(np.minimum(wrong, 1.0), axis=1))


def _simplex(parts: int, total: int) -> list[tuple[int, ...]]:
    """All ways to write `total` as a sum of so many whole numbers."""
    if parts == 1:
        return [(total,)]
    return [(i, *rest) for i in range(total + 1) for rest in _simplex(parts - 1, total - i)]
