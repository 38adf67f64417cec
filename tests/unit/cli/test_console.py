import pytest
from rich.console import Console
from rich.table import Table

from acesniper.cli import console
from acesniper.cli.console import print_wide


@pytest.mark.parametrize("terminal", [True, False])
def test_no_name_is_cut_however_narrow_the_terminal_is(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "out", Console(width=20, force_terminal=terminal))
    table = Table("Device", "Latency", box=None)
    table.add_row("edge-1.site-a.example.com-cpu", "12.5 ms to 18.5 ms")

    print_wide(table)

    (line,) = (each for each in capsys.readouterr().out.splitlines() if "edge" in each)
    assert line.split("  ")[0].strip() == "edge-1.site-a.example.com-cpu"
    assert "12.5 ms to 18.5 ms" in line
