"""Declarations are what Prometheus gets, and their number of series is known."""

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

STATED = 28_000
"""Series of a fleet of 5,000 devices and 1,000 models; docs/reference/metrics.md has the number."""
SMALL = {"device": 3, "model": 2, "provider": 2, "reason": 4}


@dataclass(frozen=True, slots=True)
class Some(Instruments):
    asked: Counter = counter("acesniper_asked", "Help.", Label.of("verb", "a", "b"))
    took: Histogram = histogram("acesniper_took_seconds", "Help.", buckets=(1, 2))
    off: Summary = summary("acesniper_off_ratio", "Help.", DEVICE)


def samples(registry: CollectorRegistry) -> list[str]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return [sample.name for family in families for sample in family.samples]


def use_up(instruments: Instruments, registry: CollectorRegistry) -> int:
    """Use every value of every label, and count the series that gives."""
    held = [getattr(instruments, field.name) for field in fields(instruments)]  # type: ignore[arg-type]  # each part's is a dataclass
    for declaration, instrument in zip(instruments.declarations(), held, strict=True):
        if declaration.labels:
            for values in product(*(every_value(label) for label in declaration.labels)):
                instrument.labels(*values)
    return len(samples(registry))


def every_value(label: Label) -> list[str]:
    return [*label.values] or [f"{label.per}-{number}" for number in range(SMALL[label.per])]


def test_fields_become_instruments_by_what_they_declare() -> None:
    registry = CollectorRegistry()

    some = Some.on(registry)
    some.asked.labels("a").inc()
    some.took.observe(1.5)
    some.off.labels("d1").observe(0.5)

    text = generate_latest(registry).decode()
    assert 'acesniper_asked_total{verb="a"} 1.0' in text
    assert 'acesniper_took_seconds_bucket{le="2.0"} 1.0' in text
    assert 'acesniper_off_ratio_sum{device="d1"} 0.5' in text
    assert "_created" not in text


@pytest.mark.parametrize("part", [Some, ExtenderMetrics, OperatorMetrics])
def test_the_number_of_series_is_the_one_that_is_stated(part: type[Instruments]) -> None:
    registry = CollectorRegistry()

    found = use_up(part.on(registry), registry)

    assert found == sum(declaration.series(SMALL) for declaration in part.declarations())


def test_a_large_fleet_makes_no_more_series_than_stated() -> None:
    found = sum(declaration.series(LARGE) for declaration in all_declarations())

    assert STATED - 1000 < found <= STATED


@pytest.mark.parametrize("each", all_declarations(), ids=lambda declaration: declaration.name)
def test_names_follow_the_rules_of_prometheus(each: Declaration) -> None:
    assert each.name.startswith("acesniper_")
    assert not each.name.endswith(("_total", "_count", "_sum", "_bucket"))
    assert each.help.endswith(".")
    assert each.unit or not each.name.endswith(("_ms", "_s", "_percent", "_minutes"))


def test_at_most_one_label_of_a_metric_is_without_bounds() -> None:
    for declaration in all_declarations():
        assert sum(label.per in ("device", "model") for label in declaration.labels) <= 1, (
            declaration.name
        )
