from pathlib import Path

import pytest

from acesniper.cli.__main__ import main
from acesniper.predictor.pcn.serve import SHIPPED_FILE


@pytest.mark.parametrize("content", [None, "no JSON", "[]", "{}"])
def test_an_invalid_verdict_is_refused_before_the_rollout(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = tmp_path / "verdict.json"
    if content is not None:
        verdict.write_text(content)

    with pytest.raises(SystemExit) as ended:
        main(["network", "rollout", str(SHIPPED_FILE), "--verdict", str(verdict)])

    assert ended.value.code == 2
    assert "verdict.json: not a verdict of a training" in capsys.readouterr().err
