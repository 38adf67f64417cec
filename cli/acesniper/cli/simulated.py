"""The lines of `acesniper simulate`, for people and for machines."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.table import Table

from acesniper.api.units import duration_text
from acesniper.simulator.comparison import ComparisonRow


def records(lines: Sequence[ComparisonRow]) -> list[Mapping[str, object]]:
    """One record per policy, for machines."""
    return [
        {
            "policy": line.policy,
            "predictor": line.predictor,
            "load": line.load,
            **asdict(line.statistics),
            "response_over_oracle": line.response_over_oracle,
        }
        for line in lines
    ]


def shown(lines: Sequence[ComparisonRow], title: str, *, due: bool) -> Table:
    """The policies side by side; `due` says that tasks had deadlines."""
    table = Table("policy", title=title, box=None, pad_edge=False)
    headings = ["wait", "p95", "response", "p95", "tasks/s", "/ oracle"]
    for heading in [*headings, *(["late"] if due else [])]:
        table.add_column(heading, justify="right", no_wrap=True)
    for line in lines:
        found = line.statistics
        times = (
            *(found.mean_wait_s, found.p95_wait_s),
            *(found.mean_response_s, found.p95_response_s),
        )
        values = [*map(duration_text, times), f"{found.throughput_per_s:.3g}"]
        values.append(f"{line.response_over_oracle:.3f}")
        table.add_row(line.policy, *values, *([f"{found.deadline_misses:.0f}"] if due else []))
    return table
