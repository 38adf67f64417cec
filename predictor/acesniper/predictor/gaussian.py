"""Conditional Gaussian distributions in numpy: weights, what is left, likelihood, next observation.

Of a joint Gaussian, O variables are observed and M requested. `inner` (O, O) is the covariance of
the observed ones with the noise of their observations on the diagonal, `outer` (M, O) that of the
requested with the observed ones (Rasmussen and Williams, 2006, chapter 2). `predictor.pcn.gp` is
the same in torch, for training.
"""

import numpy as np


def conditional_weights(inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Weights (O, M) of the observed deviations from the mean in the requested ones."""
    return np.asarray(np.linalg.solve(inner, outer.T))


def conditional_variance(
    prior: np.ndarray | float, outer: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Variances (M,) of the requested variables after the observations, at least 0.

    `prior` are the variances before them, `weights` (O, M) those of `conditional_weights`.
    """
    return np.asarray(np.maximum(prior - (outer * weights.T).sum(axis=1), 0.0))


def negative_log_likelihood(inner: np.ndarray, deviations: np.ndarray) -> float:
    """That of independent deviations (N, O) from the mean, without constants; inf if singular."""
    try:
        root = np.linalg.cholesky(inner)
    except np.linalg.LinAlgError:
        return float("inf")
    white = np.linalg.solve(root, deviations.T)
    determinant = np.log(np.diag(root)).sum()
    return float((white**2).sum() / 2 + len(deviations) * determinant)


def most_informative(covariance: np.ndarray, noise: float, count: int) -> list[int]:
    """Variables to observe so that the least variance is left over all of them, best first.

    Greedy, as the gain falls with every further observation (Krause et al., 2008). `covariance`
    (M, M) is that after what was observed already; `noise` is the variance of an observation.
    """
    left = covariance.astype(np.float64)
    chosen: list[int] = []
    for _ in range(min(count, len(left))):
        certain = np.diagonal(left) + noise
        gain = (left**2).sum(axis=0) / certain
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        chosen.append(best)
        left = left - np.outer(left[:, best], left[best]) / certain[best]
    return chosen
