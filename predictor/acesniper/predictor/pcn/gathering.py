"""Which devices are predicted in one run of the graph, and where their observations stand in it.

The graph is what costs: thousands of devices that each observed something share its runs, and only
the small regression is done for each by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.domain.model import ModelFeatures
from acesniper.predictor.base import Observation
from acesniper.predictor.pcn.inputs import DeviceInputs

MAX_OBSERVED_MODELS = 64
"""Different models that the devices of one run may have observed, or those of one device."""


@dataclass(frozen=True, slots=True, eq=False)
class ObservedModels:
    """The models that some devices observed, and for each device where its observations stand."""

    models: Sequence[ModelFeatures]
    places: Sequence[np.ndarray]


def observed_models(made: Sequence[Sequence[Observation]]) -> ObservedModels:
    """What these devices observed; each model counts once."""
    models = {each.model.digest: each.model for own in made for each in own}
    place = {key: number for number, key in enumerate(models)}
    places = [np.array([place[each.model.digest] for each in own], int) for own in made]
    return ObservedModels(list(models.values()), places)


def device_groups(
    found: DeviceInputs, made: Sequence[Sequence[Observation]], room: int
) -> Iterator[np.ndarray]:
    """Columns that go together: the same references, none observed or few different models.

    At most `room` in one group; devices of which too little was read are left out.
    """
    pattern = _pattern(found)
    own = np.array([bool(each) for each in made], bool)
    for each in sorted(set(pattern[pattern >= 0].tolist())):  # np.unique loads 9 MiB of modules
        plain = np.flatnonzero((pattern == each) & ~own)
        if len(plain):
            yield from np.split(plain, range(room, len(plain), room))
        yield from _few_models(np.flatnonzero((pattern == each) & own), made, room)


def _pattern(found: DeviceInputs) -> np.ndarray:
    """Which references were taken, as a number per device; -1 where too little was read (D,)."""
    known = np.isfinite(found.seconds).all(axis=1) & np.isfinite(found.shape).all(axis=1)
    there = np.isfinite(found.references)
    return np.where(known, there @ 2 ** np.arange(there.shape[1]), -1)


def _few_models(
    columns: np.ndarray, made: Sequence[Sequence[Observation]], room: int
) -> Iterator[np.ndarray]:
    some: list[int] = []
    models: set[str] = set()
    for column in columns.tolist():
        new = {each.model.digest for each in made[column]}
        if some and (len(models | new) > MAX_OBSERVED_MODELS or len(some) == room):
            yield np.array(some)
            some, models = [], set()
        some.append(column)
        models |= new
    if some:
        yield np.array(some)
