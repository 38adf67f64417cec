"""`acesniper predict`: the latency of a model on devices that never ran it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from acesniper.cli.console import out, print_json, seconds
from acesniper.cli.options import AsJson, Batch, ModelFile, Shapes, parse_shapes
from acesniper.domain.device import HardwareVector
from acesniper.domain.errors import InvalidInput
from acesniper.domain.prediction import Explanation

NEAREST = 5
LEAST_SHARE = 0.01
"""Classes that take less of the time are not worth a word."""

Rows = Sequence[tuple[str, Explanation | None]]


def command(
    model: ModelFile,
    device: Annotated[
        list[str],
        typer.Option(
            metavar="FILE_OR_NAME",
            help="A DeviceProfile: a file, a folder of them, or its name in the cluster.",
        ),
    ],
    batch: Batch = 1,
    shape: Shapes = [],  # noqa: B006
    kubeconfig: Annotated[
        Path | None,
        typer.Option(envvar="KUBECONFIG", help="The cluster that names are looked up in."),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show where the time goes.")] = False,
    json: AsJson = False,
) -> None:
    """Predict how long one inference takes, and the interval that holds it nine times in ten.

    Examples:
      acesniper predict resnet50.onnx --device edge-1.yaml --explain
      acesniper predict resnet50.onnx --device profiles/
    """
    from acesniper.predictor.default import default_predictor
    from acesniper.predictor.reader import read_model

    vectors = _vectors(device, kubeconfig)
    features = read_model(model, batch=batch, shapes=parse_shapes(shape))
    predictor = default_predictor()
    rows = [(name, predictor.explain(features, each)) for name, each in vectors.items()]
    rows.sort(key=lambda row: row[1].prediction.latency_s if row[1] else float("inf"))
    if json:
        print_json(
            {"model": model.name, "batch": batch, "devices": [_record(*row) for row in rows]}
        )
    else:
        out.print(table(model.name, rows))
        for name, found in rows if explain else ():
            if found:
                out.print(account(name, found))


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
            interval = f"{seconds(made.low_s)} to {seconds(made.high_s)}"
            shown.add_row(device, seconds(made.latency_s), interval)
    return shown


def account(device: str, found: Explanation) -> Table:
    """Why a prediction is what it is, line by line."""
    shown = Table(title=f"On {device}", box=None, show_header=False, pad_edge=False)
    shown.add_column(style="bold")
    shown.add_column()
    shown.add_row("Physics", f"{seconds(found.physics_s)}: {_where(found.parts_s)}")
    learned = found.gate * (found.similarity + found.residual)
    shown.add_row(
        "Correction",
        f"{_factor(learned)}: similarity {_factor(found.similarity)}, residual"
        f" {_factor(found.residual)}, of which {found.gate:.0%} count",
    )
    shown.add_row("Observed", f"{_factor(found.observed)} from what ran on the device itself")
    made = found.prediction
    interval = f"{seconds(made.low_s)} to {seconds(made.high_s)}"
    shown.add_row("Prediction", f"{seconds(made.latency_s)}, {interval} ({made.source})")
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


def _vectors(names: Sequence[str], kubeconfig: Path | None) -> dict[str, HardwareVector]:
    """The vectors of profiles by name; those not found as files are asked of the cluster."""
    from acesniper.probe.profiles import read_profile

    found: dict[str, HardwareVector] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            found |= {each.stem: read_profile(each).vector for each in sorted(path.glob("*.yaml"))}
        elif path.is_file():
            found[path.stem] = read_profile(path).vector
        elif "/" in name or path.suffix:
            raise InvalidInput(f"there is no file {name}")
        else:
            found[name] = _from_cluster(name, kubeconfig)
    if not found:
        raise InvalidInput(f"no DeviceProfile in {', '.join(names)}")
    return found


def _from_cluster(name: str, kubeconfig: Path | None) -> HardwareVector:
    """The vector of a DeviceProfile in the cluster that the kubeconfig names."""
    import asyncio

    from acesniper.api.convert import probe_result
    from acesniper.runtime.kube import DEVICE_PROFILES, Cluster

    async def fetch() -> dict[str, object] | None:
        async with Cluster.connect(kubeconfig) as cluster:
            return await cluster.get(DEVICE_PROFILES, name)

    manifest = asyncio.run(fetch())
    if manifest is None:
        raise InvalidInput(f"there is neither a file {name} nor a DeviceProfile of that name")
    try:
        return probe_result(manifest).vector
    except ValueError as error:
        raise InvalidInput(str(error)) from error
