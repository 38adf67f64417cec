"""`acesniper predict`: the predicted latency of a model on devices that never ran it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acesniper.cli.connection import (
    Connection,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
)
from acesniper.cli.options import Batch, JsonOption, Shapes, parse_shapes
from acesniper.cli.prediction_inputs import PredictionDevice, load_devices, load_model

if TYPE_CHECKING:
    from rich.table import Table

    from acesniper.domain.model import ModelFeatures
    from acesniper.domain.prediction import Explanation, Prediction
    from acesniper.predictor.base import LatencyPredictor
    from acesniper.predictor.namespaces import NamespaceView

MAX_SIMILAR = 5
MAX_CLASSES = 4
MIN_SHARE = 0.01
"""Operator classes with a smaller share of the time are not listed."""

Rows = Sequence[tuple[str, "Explanation | None"]]


def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="An ONNX file, or the name of a ModelProfile.")
    ],
    device: Annotated[
        list[str],
        typer.Option(
            metavar="FILE_OR_NAME",
            help="A DeviceProfile: a file, a folder of files, or a name in the cluster; may be"
            " repeated; default: all devices of the cluster.",
        ),
    ] = [],  # noqa: B006
    all_devices: Annotated[
        bool,
        typer.Option("--all-devices", help="All devices of the cluster in addition to --device."),
    ] = False,
    batch: Batch = 1,
    shape: Shapes = [],  # noqa: B006
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the terms of each prediction.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Predict the latency of one inference, with a 90 % interval.

    Files need no cluster. For devices of a cluster, the latencies of tasks that ran on them are
    used as the planner uses them for this namespace. The predictions are made by the network that
    is shipped with this command, even if another one was rolled out to the cluster.

    Examples:
      acesniper predict resnet50.onnx --device edge-1.yaml --explain
      acesniper predict resnet50.onnx --device profiles/
      acesniper predict resnet50 -n vision --all-devices
    """
    connection = Connection(kubeconfig, context)
    features = load_model(model, batch, parse_shapes(shape), namespace, connection)
    devices = load_devices(device, connection, namespace)
    if all_devices and device:
        devices |= load_devices([], connection, namespace)

    from acesniper.cli.console import out, print_json
    from acesniper.predictor.factory import default_predictor

    rows = _predictions(default_predictor(), features, devices, explain=explain or json)
    name = Path(model).name
    if json:
        records = [_record(device_name, prediction) for device_name, prediction in rows]
        print_json({"model": name, "batch": batch, "devices": records})
        return
    out().print(prediction_table(name, rows))
    for device_name, explanation in rows if explain else ():
        if explanation:
            out().print(explanation_table(device_name, explanation))


def _predictions(
    predictor: "LatencyPredictor",
    features: "ModelFeatures",
    devices: Mapping[str, PredictionDevice],
    *,
    explain: bool,
) -> Rows:
    """A row per device, from fastest to slowest; explanations take longer than predictions."""
    from acesniper.domain.prediction import Explanation

    views = [device.view(predictor, features) for device in devices.values()]
    explanations: Sequence[Explanation | None]
    if explain:
        explanations = [
            predictor.explain(features, device.vector, view.observed)
            for device, view in zip(devices.values(), views, strict=True)
        ]
    else:
        vectors = [device.vector for device in devices.values()]
        observed = [view.observed for view in views]
        (row,) = predictor.table([features], vectors, observed).predictions(predictor.source)
        explanations = [Explanation(cell, {}) if cell else None for cell in row]
    rows = [
        (name, explanation and _viewed(explanation, view))
        for name, explanation, view in zip(devices, explanations, views, strict=True)
    ]
    return sorted(rows, key=lambda row: row[1].prediction.latency_s if row[1] else float("inf"))


def _viewed(explanation: "Explanation", view: "NamespaceView") -> "Explanation":
    """The explanation with the shift and interval of the namespace, as the planner uses them."""
    prediction, shift = explanation.prediction, float(view.shift[0])
    latency_s = prediction.latency_s * math.exp(shift)
    low_s, high_s = (
        latency_s * (limit_s / prediction.latency_s) ** view.interval_factor
        for limit_s in (prediction.low_s, prediction.high_s)
    )
    return replace(
        explanation,
        prediction=replace(prediction, latency_s=latency_s, low_s=low_s, high_s=high_s),
        observed=explanation.observed + shift,
    )


def prediction_table(name: str, rows: Rows) -> "Table":
    """The predictions as a table."""
    from rich.table import Table

    from acesniper.api.units import duration_text

    table = Table(title=f"Predicted latency of {name}")
    table.add_column("Device")
    table.add_column("Latency", justify="right")
    table.add_column("90 % interval", justify="right")
    for device, explanation in rows:
        if explanation is None:
            table.add_row(device, "unknown", "too few readings")
        else:
            prediction = explanation.prediction
            latency = duration_text(prediction.latency_s)
            table.add_row(device, latency, _interval_text(prediction))
    return table


def explanation_table(device: str, explanation: "Explanation") -> "Table":
    """The terms of a prediction, one a line."""
    from rich.table import Table

    from acesniper.api.units import duration_text

    table = Table(title=f"On {device}", box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    shares = _shares_text(explanation.parts_s)
    table.add_row("Physics", f"{duration_text(explanation.physics_s)}: {shares}")
    correction = explanation.gate * (explanation.similarity + explanation.residual)
    table.add_row(
        "Correction",
        f"{_percent(correction)}: similarity {_percent(explanation.similarity)}, residual"
        f" {_percent(explanation.residual)}, weighted by {explanation.gate:.0%}",
    )
    table.add_row("Observed", f"{_percent(explanation.observed)} from tasks on this device")
    prediction = explanation.prediction
    latency = duration_text(prediction.latency_s)
    table.add_row("Prediction", f"{latency}, {_interval_text(prediction)} ({prediction.source})")
    table.add_row(
        "Explained",
        f"model {explanation.model_explained:.0%}, device {explanation.device_explained:.0%}",
    )
    similar = list((explanation.similar or {}).items())[:MAX_SIMILAR]
    names = ", ".join(f"{name} {score:.2f}" for name, score in similar) or "none"
    table.add_row("Similar", f"{names}; distance from known models {explanation.distance:.2f}")
    return table


def _interval_text(prediction: "Prediction") -> str:
    from acesniper.api.units import duration_text

    return f"{duration_text(prediction.low_s)} to {duration_text(prediction.high_s)}"


def _percent(log_factor: float) -> str:
    return f"{math.expm1(log_factor):+.0%}"


def _shares_text(parts_s: Mapping[str, float]) -> str:
    total_s = sum(parts_s.values())
    shares = [(kind, part_s / total_s) for kind, part_s in list(parts_s.items())[:MAX_CLASSES]]
    return ", ".join(f"{kind} {share:.0%}" for kind, share in shares if share >= MIN_SHARE)


def _record(name: str, explanation: "Explanation | None") -> dict[str, object]:
    if explanation is None:
        return {"device": name, "latency_s": None}
    prediction = explanation.prediction
    return {
        "device": name,
        "latency_s": prediction.latency_s,
        "low_s": prediction.low_s,
        "high_s": prediction.high_s,
        "source": prediction.source,
        "parts_s": dict(explanation.parts_s),
        "physics_s": explanation.physics_s,
        "correction": {
            "similarity": explanation.similarity,
            "residual": explanation.residual,
            "gate": explanation.gate,
            "observed": explanation.observed,
        },
        "explained": {
            "model": explanation.model_explained,
            "device": explanation.device_explained,
        },
        "similar": dict(explanation.similar or {}),
        "distance": explanation.distance,
    }
