"""Physics: latency as a sum of non-negative costs per kind of operator.

T_d(m) = sum over kinds c of (a_dc flops + b_dc moved + w_dc weights + n_dc count), every
coefficient zero or more, fitted per device to the relative error. Coefficients that all kinds share
stand beside those of each kind: a kind that was never seen costs what others do. They also say
which operators a model's time goes to, on average over the devices: its shares.
"""

import numpy as np

from acesniper.predictor.tables.traits import SIZES, OperatorTable

SWEEPS = 150


def measures(operators: OperatorTable) -> np.ndarray:
    """What an operator is charged for: arithmetic, movement, weights, itself; (operators, 4)."""
    sizes = {name: operators.sizes[:, i] for i, name in enumerate(SIZES)}
    moved = sizes["read"] + sizes["written"]
    return np.stack([sizes["flops"], moved, sizes["weights"], np.ones(len(moved))], axis=1)


def design(operators: OperatorTable) -> np.ndarray:
    """Sums of the measures over all kinds, then per kind: shape (models, (1 + kinds) * 4)."""
    charged = measures(operators)
    kinds = int(operators.kinds.max(initial=-1)) + 1
    blocks = [operators.counts[:, at] @ charged[at] for at in _members(operators.kinds, kinds)]
    return np.concatenate([operators.counts @ charged, *blocks], axis=1)


def fit_costs(amounts: np.ndarray, log_ms: np.ndarray, ridge: float) -> np.ndarray:
    """Coefficients (devices, columns) >= 0 from amounts (models, columns) and ln ms.

    `log_ms` is (devices, models) without gaps. `ridge` pulls coefficients towards zero, in units of
    the largest column's sum of squares. Coordinate descent over all devices at once.
    """
    scale = np.maximum(amounts.max(axis=0), 1e-30)
    relative = (amounts / scale)[None] / np.exp(log_ms)[:, :, None]  # devices, models, columns
    gram = np.einsum("dmi,dmj->dij", relative, relative)
    target = relative.sum(axis=1)
    trace = np.einsum("dii->di", gram)
    step = trace + ridge * trace.max(axis=1, keepdims=True) + 1e-30
    found = np.zeros_like(target)
    for _ in range(SWEEPS):
        for i in range(target.shape[1]):
            others = np.einsum("dj,dj->d", gram[:, i], found) - trace[:, i] * found[:, i]
            found[:, i] = np.maximum((target[:, i] - others) / step[:, i], 0.0)
    return np.asarray(found / scale)


def shares(operators: OperatorTable, costs: np.ndarray) -> np.ndarray:
    """What part of a model's time each operator takes, mean over devices: (models, operators)."""
    charged = measures(operators)
    coefficients = costs.reshape(len(costs), -1, charged.shape[1])
    by_kind = coefficients[:, 1 + operators.kinds] + coefficients[:, :1]  # devices, operators, 4
    each = np.einsum("doi,oi->do", by_kind, charged)
    total = each @ operators.counts.T  # devices, models
    weight = 1.0 / np.maximum(total, 1e-12)
    mean = weight.T @ each / len(costs)
    return np.asarray(mean * operators.counts)


def _members(kinds: np.ndarray, count: int) -> list[np.ndarray]:
    return [np.flatnonzero(kinds == kind) for kind in range(count)]
