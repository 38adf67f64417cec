"""Outputs in a folder: there whole or not at all."""

from pathlib import Path

import numpy as np
import pytest

from acesniper.domain.errors import Unavailable
from acesniper.probe.runner import to_folder


def test_a_full_volume_is_said_and_nothing_half_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(file: object, **arrays: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    write = to_folder(tmp_path / "out")
    write(0, {"y": np.ones(3)})
    monkeypatch.setattr(np, "savez", fill)

    with pytest.raises(Unavailable, match="No space left"):
        write(1, {"y": np.ones(3)})

    assert [each.name for each in (tmp_path / "out").iterdir()] == ["batch-000000.npz"]
