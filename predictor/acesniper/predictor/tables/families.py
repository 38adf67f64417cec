"""Folds of whole families, of devices and of models, for learning from one's own mistakes."""

import re
from collections.abc import Sequence

import numpy as np

from acesniper.predictor.tables.measurements import name_group

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
    place = np.array([fold[each] for each in items], dtype=int)
    return [place == i for i in range(count) if (place == i).any()]
