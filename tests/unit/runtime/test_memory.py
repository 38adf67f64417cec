"""What is left in a container, by the files that its control group shows."""

from pathlib import Path

import pytest

from acesniper.runtime.memory import SPARE_BYTES, available_bytes

GIB = 1 << 30


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", ""])
def test_without_a_limit_nothing_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "limit").write_text(text)

    assert available_bytes([tmp_path / "missing", tmp_path / "limit"]) is None


def test_what_is_left_is_less_than_the_limit_by_what_is_used(tmp_path: Path) -> None:
    (tmp_path / "limit").write_text(f"{4 * GIB}\n")

    room = available_bytes([tmp_path / "missing", tmp_path / "limit"])

    assert room is not None
    assert GIB < room < 4 * GIB - SPARE_BYTES


def test_where_nothing_is_left_there_is_no_less_than_nothing(tmp_path: Path) -> None:
    (tmp_path / "limit").write_text("1000\n")

    assert available_bytes([tmp_path / "limit"]) == 0
