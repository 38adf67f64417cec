"""Input values for a model: random, or read from files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from acesniper.domain.errors import InvalidInput
from acesniper.probe.runtimes import Input

SEED = 20230917
ID_VALUE = 1
"""Value of int32 and int64 inputs: valid as the row of any embedding table (segments have two), as
a mask that hides nothing, and as a non-zero length."""
MAX_PIXEL = 100
"""Upper bound of narrow integers, which are pixels."""


def random_feeds(inputs: Sequence[Input], seed: int = SEED) -> dict[str, np.ndarray]:
    """Random values in [0.1, 1), or ids that are valid for any model; the same every time."""
    source = np.random.default_rng(seed)
    return {model_input.name: _random(model_input, source) for model_input in inputs}


def _random(model_input: Input, source: np.random.Generator) -> np.ndarray:
    if np.issubdtype(model_input.dtype, np.floating):
        return source.uniform(0.1, 1.0, model_input.shape).astype(model_input.dtype)
    if model_input.dtype in (np.int32, np.int64):
        return np.full(model_input.shape, ID_VALUE, model_input.dtype)
    most = 2 if model_input.dtype == np.bool_ else MAX_PIXEL
    return source.integers(0, most, model_input.shape).astype(model_input.dtype)


def file_feeds(path: Path, inputs: Sequence[Input]) -> dict[str, np.ndarray]:
    """Arrays of a .npy (one input) or .npz file. Raises InvalidInput if they do not match."""
    arrays = _load(path, inputs)
    for model_input in inputs:
        if model_input.name not in arrays:
            raise InvalidInput(
                f"{path.name} lacks an array for the model's input {model_input.name!r}"
            )
        if arrays[model_input.name].shape != model_input.shape:
            raise InvalidInput(
                f"{path.name}: {model_input.name!r} has shape {arrays[model_input.name].shape},"
                f" the model expects {model_input.shape}"
            )
    return {
        model_input.name: arrays[model_input.name].astype(model_input.dtype)
        for model_input in inputs
    }


def _load(path: Path, inputs: Sequence[Input]) -> Mapping[str, np.ndarray]:
    try:
        content = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInput(f"cannot read {path} as .npy or .npz: {error}") from error
    if isinstance(content, np.ndarray):
        if len(inputs) != 1:
            raise InvalidInput(
                f"{path.name} contains one array, the model has {len(inputs)} inputs; use .npz"
            )
        return {inputs[0].name: content}
    with content:
        return {name: content[name] for name in content.files}
