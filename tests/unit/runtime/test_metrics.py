"""Metric declarations, their names and their number of series."""

from dataclasses import dataclass, fields
from itertools import product

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, Summary, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from acesniper.extender.metrics import ExtenderMetrics
from acesniper.operator.metrics import OperatorMetrics
from acesniper.runtime.metrics import (
    DEVICE,
    Declaration,
    Instruments,
    Label,
    counter,
    histogram,
    summary,
)
from acesniper.testbed.chart.generated import LARGE, all_declarations

DOCUMENTED_SERIES = 28_100
"""Series of a fleet of 5,000 devices and 1,000 models, as stated in docs/reference/metrics.md."""
SMALL = {"device": 3, "namespace": 2, "model": 2, "provider": 2, "reason": 4}


@dataclass(frozen=True, slots=True)
class ExampleMetrics(Instruments):
    asked: Counter = counter("acesniper_asked", "Help.", Label.of("verb", "a", "b"))
    took: Histogram = histogram("acesniper_took_seconds", "Help.", buckets=(1, 2))
    off: Summary = summary("acesniper_off_ratio", "Help.", DEVICE)


def samples(registry: CollectorRegistry) -> list[str]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return [sample.name for family in families for sample in family.samples]


def count_series(instruments: Instruments, registry: CollectorRegistry) -> int:
    """Use every value of every label; returns the number of series."""
    created = [getattr(instruments, field.name) for field in fields(instruments)]  # type: ignore[arg-type]  # a dataclass in every part
    for declaration, instrument in zip(instruments.declarations(), created, strict=True):
        if declaration.labels:
            for values in product(*(every_value(label) for label in declaration.labels)):
                instrument.labels(*values)
    return len(samples(registry))


def every_value(label: Label) -> list[str]:
    return [*label.values] or [f"{label.per}-{number}" for number in range(SMALL[label.per])]


def test_declared_fields_become_instruments_on_a_registry() -> None:
    registry = CollectorRegistry()

    metrics = ExampleMetrics.on(registry)
    metrics.asked.labels("a").inc()
    metrics.took.observe(1.5)
    metrics.off.labels("d1").observe(0.5)

    text = generate_latest(registry).decode()
    assert 'acesniper_asked_total{verb="a"} 1.0' in text
    assert 'acesniper_took_seconds_bucket{le="2.0"} 1.0' in text
    assert 'acesniper_off_ratio_sum{device="d1"} 0.5' in text
    assert "_created" not in text


@pytest.mark.parametrize("part", [ExampleMetrics, ExtenderMetrics, OperatorMetrics])
def test_the_number_of_series_matches_the_declarations(part: type[Instruments]) -> None:
    registry = CollectorRegistry()

    series = count_series(part.on(registry), registry)

    assert series == sum(declaration.series(SMALL) for declaration in part.declarations())


def test_a_large_fleet_stays_within_the_documented_number_of_series() -> None:
    series = sum(declaration.series(LARGE) for declaration in all_declarations())

    assert DOCUMENTED_SERIES - 1000 < series <= DOCUMENTED_SERIES


@pytest.mark.parametrize(
    "declaration", all_declarations(), ids=lambda declaration: declaration.name
)
def test_metric_names_follow_the_prometheus_conventions(declaration: Declaration) -> None:
    assert declaration.name.startswith("acesniper_")
    assert not declaration.name.endswith(("_total", "_count", "_sum", "_bucket"))
    assert declaration.help.endswith(".")
    assert declaration.unit or not declaration.name.endswith(("_ms", "_s", "_percent", "_minutes"))


def test_a_metric_has_at_most_one_unbounded_label() -> None:
    for declaration in all_declarations():
        assert sum(label.per in ("device", "model") for label in declaration.labels) <= 1, (
            declaration.name
        )
