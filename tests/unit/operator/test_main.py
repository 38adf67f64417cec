from pathlib import Path

import pytest

from acesniper.operator.__main__ import main


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        pytest.param("ACESNIPER_WORKERS", "0", "ACESNIPER_WORKERS='0'", id="settings"),
        pytest.param(
            "ACESNIPER_KUBECONFIG", "missing", "cannot connect to a cluster", id="cluster"
        ),
    ],
)
def test_a_configuration_error_is_reported_in_one_line(
    variable: str,
    value: str,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", "")  # set by the program itself
    monkeypatch.setenv("ACESNIPER_METRICS_PORT", "0")
    monkeypatch.setenv(variable, value)

    assert main() == 2
    assert f"acesniper operator: {why}" in capsys.readouterr().err
