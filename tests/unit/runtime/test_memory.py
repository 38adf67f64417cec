"""Available memory of a container by the files of its control group."""

from pathlib import Path

import pytest

from acesniper.runtime.memory import SPARE_BYTES, available_bytes

GIB = 1 << 30


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", ""])
def test_available_memory_is_none_without_a_limit(tmp_path: Path, text: str) -> None:
    (tmp_path / "limit").write_text(text)

    assert available_bytes([tmp_path / "missing", tmp_path / "limit"]) is None


def test_available_memory_is_the_limit_minus_usage_and_reserve(tmp_path: Path) -> None:
    (tmp_path / "limit").write_text(f"{4 * GIB}\n")

    available = available_bytes([tmp_path / "missing", tmp_path / "limit"])

    assert available is not None
    assert GIB < available < 4 * GIB - SPARE_BYTES


def test_available_memory_is_never_negative(tmp_path: Path) -> None:
    (tmp_path / "limit").write_text("1000\n")

    assert available_bytes([tmp_path / "limit"]) == 0
