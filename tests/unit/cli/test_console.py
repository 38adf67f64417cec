import pytest
from rich.console import Console
from rich.table import Table

from acesniper.cli.console import print_table


@pytest.mark.parametrize("terminal", [True, False])
def test_a_table_is_not_truncated_on_a_narrow_terminal(
    terminal: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table("Device", "Latency", box=None)
    table.add_row("edge-1.site-a.example.com-cpu", "12.5 ms to 18.5 ms")

    print_table(table, Console(width=20, force_terminal=terminal))

    (line,) = (line for line in capsys.readouterr().out.splitlines() if "edge" in line)
    assert line.split("  ")[0].strip() == "edge-1.site-a.example.com-cpu"
    assert "12.5 ms to 18.5 ms" in line
