from pathlib import Path

import pytest

from acesniper.cli.__main__ import main


@pytest.mark.parametrize("index", [None, "no JSON", "[]", '{"model": {}}'])
def test_a_folder_without_an_index_of_models_is_named(
    index: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if index is not None:
        (tmp_path / "index.json").write_text(index)

    with pytest.raises(SystemExit) as ended:
        main(["collect", str(tmp_path)])

    assert ended.value.code == 2
    assert "index.json is no index of models" in capsys.readouterr().err
