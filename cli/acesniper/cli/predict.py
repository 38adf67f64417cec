"""`acesniper predict`: the latency of a model on devices that never ran it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from acesniper.api.units import duration_text
from acesniper.cli import prediction_inputs
from acesniper.cli.connection import (
    Connection,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
)
from acesniper.cli.console import out, print_json
from acesniper.cli.options import Batch, JsonOption, Shapes, parse_shapes
from acesniper.cli.prediction_inputs import Subject
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Explanation

if TYPE_CHECKING:
    from acesniper.predictor.base import LatencyPredictor

NEAREST = 5
LEAST_SHARE = 0.01
"""Classes that take less of the time are not worth a word."""

Rows = Sequence[tuple[str, Explanation | None]]


def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="An ONNX file, or a ModelProfile's name.")
    ],
    device: Annotated[
        list[str],
        typer.Option(
            metavar="FILE_OR_NAME",
            help="A DeviceProfile: a file, a folder of them, or its name in the cluster; "
            "default: all of the cluster.",
        ),
    ] = [],  # noqa: B006
    all_devices: Annotated[
        bool, typer.Option("--all-devices", help="All devices of the cluster, and those named.")
    ] = False,
    batch: Batch = 1,
    shape: Shapes = [],  # noqa: B006
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show where the time goes.")] = False,
    json: JsonOption = False,
) -> None:
    """Predict how long one inference takes, and the interval that holds it nine times in ten.

    Files need no cluster. For devices of a cluster, what ran on them counts as it does for the
    planner. The network is the one that comes with this command, whatever was rolled out.

    Examples:
      acesniper predict resnet50.onnx --device edge-1.yaml --explain
      acesniper predict resnet50.onnx --device profiles/
      acesniper predict resnet50 -n vision --all-devices
    """
    from acesniper.predictor.factory import default_predictor

    connection = Connection(kubeconfig, context)
    features = prediction_inputs.model(model, batch, parse_shapes(shape), namespace, connection)
    found = prediction_inputs.devices(device, connection)
    if all_devices and device:
        found |= prediction_inputs.devices([], connection)
    asked = {each: on.asked_for(features) for each, on in found.items()}
    rows = _predicted(default_predictor(), features, asked, explained=explain or json)
    name = Path(model).name
    if json:
        print_json({"model": name, "batch": batch, "devices": [_record(*row) for row in rows]})
        return
    out.print(table(name, rows))
    for device_name, each in rows if explain else ():
        if each:
            out.print(account(device_name, each))


def _predicted(
    predictor: "LatencyPredictor",
    features: ModelFeatures,
    found: Mapping[str, Subject],
    *,
    explained: bool,
) -> Rows:
    """A row per device, the fastest first; taking a prediction apart takes longer."""
    each: Sequence[Explanation | None]
    if explained:
        each = [predictor.explain(features, on.vector, on.observed) for on in found.values()]
    else:
        vectors = [on.vector for on in found.values()]
        observed = [on.observed for on in found.values()]
        (made,) = predictor.table([features], vectors, observed).predictions(predictor.source)
        each = [Explanation(one, {}) if one else None for one in made]
    rows = [
        (name, one and _widened(one, on.interval_factor))
        for (name, on), one in zip(found.items(), each, strict=True)
    ]
    return sorted(rows, key=lambda row: row[1].prediction.latency_s if row[1] else float("inf"))


def _widened(found: Explanation, factor: float) -> Explanation:
    """With the interval that the device needs, as the planner has it."""
    made = found.prediction
    low, high = (
        made.latency_s * (end / made.latency_s) ** factor for end in (made.low_s, made.high_s)
    )
    return replace(found, prediction=replace(made, low_s=low, high_s=high))


def table(name: str, rows: Rows) -> Table:
    """The predictions for people, fastest first."""
    shown = Table(title=f"Predicted latency of {name}")
    shown.add_column("Device")
    shown.add_column("Latency", justify="right")
    shown.add_column("90 % interval", justify="right")
    for device, found in rows:
        if found is None:
            shown.add_row(device, "unknown", "the device has too few readings")
        else:
            made = found.prediction
            interval = f"{duration_text(made.low_s)} to {duration_text(made.high_s)}"
            shown.add_row(device, duration_text(made.latency_s), interval)
    return shown


def account(device: str, found: Explanation) -> Table:
    """Why a prediction is what it is, line by line."""
    shown = Table(title=f"On {device}", box=None, show_header=False, pad_edge=False)
    shown.add_column(style="bold")
    shown.add_column()
    shown.add_row("Physics", f"{duration_text(found.physics_s)}: {_where(found.parts_s)}")
    learned = found.gate * (found.similarity + found.residual)
    shown.add_row(
        "Correction",
        f"{_factor(learned)}: similarity {_factor(found.similarity)}, residual"
        f" {_factor(found.residual)}, of which {found.gate:.0%} count",
    )
    shown.add_row("Observed", f"{_factor(found.observed)} from what ran on the device itself")
    made = found.prediction
    interval = f"{duration_text(made.low_s)} to {duration_text(made.high_s)}"
    shown.add_row("Prediction", f"{duration_text(made.latency_s)}, {interval} ({made.source})")
    shown.add_row(
        "Known",
        f"model explained {found.model_explained:.0%}, device {found.device_explained:.0%}",
    )
    nearest = list((found.similar or {}).items())[:NEAREST]
    names = ", ".join(f"{name} {likeness:.2f}" for name, likeness in nearest) or "none"
    shown.add_row("Nearest", f"{names}; distance from known {found.distance:.2f}")
    return shown


def _factor(log: float) -> str:
    return f"{math.expm1(log):+.0%}"


def _where(parts: Mapping[str, float]) -> str:
    total = sum(parts.values())
    largest = [(kind, value / total) for kind, value in list(parts.items())[:4]]
    return ", ".join(f"{kind} {share:.0%}" for kind, share in largest if share >= LEAST_SHARE)


def _record(name: str, found: Explanation | None) -> dict[str, object]:
    if found is None:
        return {"device": name, "latency_s": None}
    made = found.prediction
    return {
        "device": name,
        "latency_s": made.latency_s,
        "low_s": made.low_s,
        "high_s": made.high_s,
        "source": made.source,
        "parts_s": dict(found.parts_s),
        "physics_s": found.physics_s,
        "correction": {
            "similarity": found.similarity,
            "residual": found.residual,
            "gate": found.gate,
            "observed": found.observed,
        },
        "explained": {"model": found.model_explained, "device": found.device_explained},
        "similar": dict(found.similar or {}),
        "distance": found.distance,
    }
