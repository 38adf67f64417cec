"""How a part declares its metrics: once, with help and labels whose values are known beforehand.

A dataclass per part lists them; its instruments, the generated reference page and the number of
series all follow from the same lines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import prod
from typing import Any, Self

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily

METRIC = "metric"
UNITS = ("seconds", "ratio", "bytes")


@dataclass(frozen=True, slots=True)
class Label:
    """A label and all its values; or none of them, but what there is one value of for each."""

    name: str
    values: tuple[str, ...] = ()
    per: str = ""

    @classmethod
    def of(cls, name: str, *values: str) -> Self:
        """A label with these values only."""
        return cls(name, values)

    @classmethod
    def per_each(cls, per: str) -> Self:
        """A label named for what there is one value of for each: device, model, provider."""
        return cls(per, per=per)

    def size(self, sizes: Mapping[str, int]) -> int:
        """How many values it has where there are so many of each thing."""
        return sizes[self.per] if self.per else len(self.values)


PROVIDER = Label.per_each("provider")
DEVICE = Label.per_each("device")
MODEL = Label.per_each("model")


@dataclass(frozen=True, slots=True)
class Declaration:
    """One metric, as Prometheus shows it."""

    kind: type[Counter] | type[Gauge] | type[Histogram] | type[Summary]
    name: str
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def shown(self) -> str:
        """Its name in queries, less what a histogram or summary adds."""
        return f"{self.name}_total" if self.kind is Counter else self.name

    @property
    def unit(self) -> str:
        """The base unit that the name ends with; empty for a plain number."""
        return next((each for each in UNITS if f"_{each}" in self.name), "")

    @property
    def label_names(self) -> list[str]:
        """The names of the labels."""
        return [each.name for each in self.labels]

    @property
    def series_names(self) -> tuple[str, ...]:
        """The names of the series that can be asked for."""
        if self.kind is Histogram:
            return tuple(f"{self.name}_{each}" for each in ("bucket", "count", "sum"))
        if self.kind is Summary:
            return f"{self.name}_count", f"{self.name}_sum"
        return (self.shown,)

    def series(self, sizes: Mapping[str, int]) -> int:
        """How many series there are at most."""
        each = 1
        if self.kind is Histogram:
            each = len(self.buckets) + 3  # +Inf, count and sum
        elif self.kind is Summary:
            each = 2
        return each * prod(label.size(sizes) for label in self.labels)

    def on(self, registry: CollectorRegistry) -> Counter | Gauge | Histogram | Summary:
        """The instrument, on a registry."""
        if self.kind is Histogram:
            return Histogram(
                *(self.name, self.help, self.label_names), registry=registry, buckets=self.buckets
            )
        return self.kind(self.name, self.help, self.label_names, registry=registry)

    def family(self, values: Sequence[tuple[str, float]]) -> GaugeMetricFamily:
        """A gauge with one label or none, with values that were read just now."""
        family = GaugeMetricFamily(self.name, self.help, labels=self.label_names)
        for key, value in values:
            family.add_metric([key] if self.labels else [], value)
        return family


def counter(name: str, text: str, *labels: Label) -> Any:  # noqa: ANN401 - the field's type says it
    """A field that is a Counter; Prometheus shows the name with `_total` behind it."""
    return _field(Declaration(Counter, name, text, labels))


def gauge(name: str, text: str, *labels: Label) -> Any:  # noqa: ANN401
    """A field that is a Gauge."""
    return _field(Declaration(Gauge, name, text, labels))


def summary(name: str, text: str, *labels: Label) -> Any:  # noqa: ANN401
    """A field that is a Summary: a count and a sum."""
    return _field(Declaration(Summary, name, text, labels))


def histogram(name: str, text: str, *labels: Label, buckets: Sequence[float]) -> Any:  # noqa: ANN401
    """A field that is a Histogram."""
    return _field(Declaration(Histogram, name, text, labels, tuple(map(float, buckets))))


def _field(declaration: Declaration) -> Any:  # noqa: ANN401
    return field(metadata={METRIC: declaration})


class Instruments:
    """Base of a part's dataclass of metrics."""

    @classmethod
    def on(cls, registry: CollectorRegistry) -> Self:
        """All instruments, on a registry."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, which nobody asks for
        return cls(*(each.on(registry) for each in cls.declarations()))

    @classmethod
    def declarations(cls) -> list[Declaration]:
        """What the fields declare, in their order."""
        return [each.metadata[METRIC] for each in fields(cls)]  # type: ignore[arg-type]
