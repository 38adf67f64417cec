"""Where a run's outputs go: one .npz a batch, there whole or not at all."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from acesniper.domain.errors import Unavailable
from acesniper.runtime.artifacts import Bucket

Outputs = Callable[[int, Mapping[str, np.ndarray]], None]
"""Takes the number of a batch, from 0, and its arrays. Writing a batch again replaces it."""


def to_folder(folder: Path) -> Outputs:
    """Files in a folder, which is made. Raises Unavailable where it cannot be written."""

    def write(number: int, arrays: Mapping[str, np.ndarray]) -> None:
        target = folder / _name(number)
        partial = target.with_suffix(".part")
        try:
            with partial.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)  # of a full volume it would keep the last bytes
            raise Unavailable(f"{target} cannot be written: {error}") from error

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"{folder} cannot be made: {error}") from error
    return write


def to_bucket(bucket: Bucket) -> Outputs:
    """Objects of an S3-compatible store."""

    def write(number: int, arrays: Mapping[str, np.ndarray]) -> None:
        content = io.BytesIO()
        np.savez(content, **arrays)  # type: ignore[arg-type]
        bucket.put(_name(number), content.getvalue())

    return write


def _name(number: int) -> str:
    return f"batch-{number:06d}.npz"
