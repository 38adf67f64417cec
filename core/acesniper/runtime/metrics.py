"""Declaration of metrics: name, help and labels, whose values are known in advance.

Each part lists its metrics in a dataclass. The instruments, the generated reference page and the
number of series are derived from it.
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
    """A label with all its values, or with one value for each object of a type (`per`)."""

    name: str
    values: tuple[str, ...] = ()
    per: str = ""

    @classmethod
    def of(cls, name: str, *values: str) -> Self:
        """A label with a fixed set of values."""
        return cls(name, values)

    @classmethod
    def per_each(cls, per: str) -> Self:
        """A label with one value per object of a type: device, model or provider."""
        return cls(per, per=per)

    def size(self, sizes: Mapping[str, int]) -> int:
        """Number of values, given the number of objects of each type."""
        return sizes[self.per] if self.per else len(self.values)


PROVIDER = Label.per_each("provider")
DEVICE = Label.per_each("device")
MODEL = Label.per_each("model")
NAMESPACE = Label.per_each("namespace")


@dataclass(frozen=True, slots=True)
class Declaration:
    """Declaration of one metric."""

    kind: type[Counter] | type[Gauge] | type[Histogram] | type[Summary]
    name: str
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def shown(self) -> str:
        """The name in queries, without the suffixes of histograms and summaries."""
        return f"{self.name}_total" if self.kind is Counter else self.name

    @property
    def unit(self) -> str:
        """The base unit in the name; empty for a count."""
        return next((unit for unit in UNITS if f"_{unit}" in self.name), "")

    @property
    def label_names(self) -> list[str]:
        """The names of the labels."""
        return [label.name for label in self.labels]

    @property
    def series_names(self) -> tuple[str, ...]:
        """The names of the series."""
        if self.kind is Histogram:
            return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "count", "sum"))
        if self.kind is Summary:
            return f"{self.name}_count", f"{self.name}_sum"
        return (self.shown,)

    def series(self, sizes: Mapping[str, int]) -> int:
        """Maximum number of series."""
        per_label_set = 1
        if self.kind is Histogram:
            per_label_set = len(self.buckets) + 3  # +Inf, count and sum
        elif self.kind is Summary:
            per_label_set = 2
        return per_label_set * prod(label.size(sizes) for label in self.labels)

    def on(self, registry: CollectorRegistry) -> Counter | Gauge | Histogram | Summary:
        """Create the instrument in a registry."""
        if self.kind is Histogram:
            return Histogram(
                self.name,
                self.help,
                self.label_names,
                registry=registry,
                buckets=self.buckets,
            )
        return self.kind(self.name, self.help, self.label_names, registry=registry)

    def family(self, values: Sequence[tuple[str, float]]) -> GaugeMetricFamily:
        """A gauge with at most one label and the given current values."""
        family = GaugeMetricFamily(self.name, self.help, labels=self.label_names)
        for key, value in values:
            family.add_metric([key] if self.labels else [], value)
        return family


def counter(name: str, text: str, *labels: Label) -> Any:  # noqa: ANN401 - the field's type says it
    """A Counter field; Prometheus appends `_total` to the name."""
    return _field(Declaration(Counter, name, text, labels))


def gauge(name: str, text: str, *labels: Label) -> Any:  # noqa: ANN401
    """A Gauge field."""
    return _field(Declaration(Gauge, name, text, labels))


def summary(name: str, text: str, *labels: Label) -> Any:  # noqa: ANN401
    """A Summary field: a count and a sum."""
    return _field(Declaration(Summary, name, text, labels))


def histogram(name: str, text: str, *labels: Label, buckets: Sequence[float]) -> Any:  # noqa: ANN401
    """A Histogram field."""
    return _field(Declaration(Histogram, name, text, labels, tuple(map(float, buckets))))


def _field(declaration: Declaration) -> Any:  # noqa: ANN401
    return field(metadata={METRIC: declaration})


class Instruments:
    """Base class of the metrics of a part."""

    @classmethod
    def on(cls, registry: CollectorRegistry) -> Self:
        """Create all instruments in a registry."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series per metric, without use
        return cls(*(declaration.on(registry) for declaration in cls.declarations()))

    @classmethod
    def declarations(cls) -> list[Declaration]:
        """The declarations of the fields, in order."""
        return [item.metadata[METRIC] for item in fields(cls)]  # type: ignore[arg-type]
