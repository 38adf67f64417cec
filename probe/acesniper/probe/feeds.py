"""Inputs for a model: random by shape, or from files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from acesniper.domain.errors import InvalidInput
from acesniper.probe.runtimes import Input

SEED = 20230917
FIRST_WORDS = 100
"""Random ids stay below this: every real vocabulary is larger."""


def random_feeds(inputs: Sequence[Input], seed: int = SEED) -> dict[str, np.ndarray]:
    """Values in [0.1, 1) (none denormal), or small ids for integer inputs; the same every time."""
    source = np.random.default_rng(seed)
    return {each.name: _random(each, source) for each in inputs}


def _random(each: Input, source: np.random.Generator) -> np.ndarray:
    if np.issubdtype(each.dtype, np.floating):
        return source.uniform(0.1, 1.0, each.shape).astype(each.dtype)
    most = 2 if each.dtype == np.bool_ else FIRST_WORDS
    return source.integers(0, most, each.shape).astype(each.dtype)


def file_feeds(path: Path, inputs: Sequence[Input]) -> dict[str, np.ndarray]:
    """The arrays of a .npy (one input) or .npz file. Raises InvalidInput where they do not fit."""
    arrays = _load(path, inputs)
    for each in inputs:
        if each.name not in arrays:
            raise InvalidInput(f"{path.name} has no array {each.name!r}, an input of the model")
        if arrays[each.name].shape != each.shape:
            raise InvalidInput(
                f"{path.name}: {each.name!r} has shape {arrays[each.name].shape}, the model wants"
                f" {each.shape}"
            )
    return {each.name: arrays[each.name].astype(each.dtype) for each in inputs}


def _load(path: Path, inputs: Sequence[Input]) -> Mapping[str, np.ndarray]:
    try:
        content = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInput(f"{path} cannot be read as .npy or .npz: {error}") from error
    if isinstance(content, np.ndarray):
        if len(inputs) != 1:
            raise InvalidInput(f"{path.name} holds one array, the model has {len(inputs)} inputs")
        return {inputs[0].name: content}
    with content:
        return {name: content[name] for name in content.files}
