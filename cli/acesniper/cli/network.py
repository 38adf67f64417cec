"""`acesniper network`: which trained network the parts in a cluster use."""

import base64
import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acesniper.cli.connection import Connection, ContextOption, KubeconfigOption
from acesniper.cli.console import out, print_json
from acesniper.cli.options import DEFAULT_NAMESPACE
from acesniper.cli.retraining import listed, retrained
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from acesniper.runtime.client import Cluster

NAME, BEFORE = "ace-sniper-network", "ace-sniper-network-before"
"""ConfigMaps: what serves, and what served before it."""
FILE, VERDICT = "pcn.onnx", "verdict.json"
MOST_BYTES = 1_000_000
"""A ConfigMap holds 1 MiB."""

app = typer.Typer(no_args_is_help=True)
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Where Ace-Sniper runs.")]


@app.callback()
def group() -> None:
    """Show, replace and bring back the network that predicts in a cluster."""


@app.command()
def status(
    namespace: Namespace = DEFAULT_NAMESPACE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Show which network serves, and what it would roll back to."""

    async def show(cluster: "Cluster") -> None:
        for name, what in ((NAME, "serves"), (BEFORE, "before")):
            out.print(f"{what}: {_digest(await _get(cluster, name, namespace))}", soft_wrap=True)

    Connection(kubeconfig, context).ask(show)


@app.command()
def rollout(
    file: Annotated[Path, typer.Argument(help="A network that `acesniper train` wrote.")],
    verdict: Annotated[
        Path | None, typer.Option(help="What the training said, for people and metrics.")
    ] = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Have a network served: the parts load it within a minute or two, without a restart."""
    content = _checked(file)
    said = _said(verdict) if verdict is not None else None

    async def roll_out(cluster: "Cluster") -> None:
        now = await _get(cluster, NAME, namespace)
        if now.get("binaryData", {}).get(FILE) == content:
            out.print("it serves already")
            return
        await _serve(cluster, namespace, now, content, said)
        out.print(f"serves: {_digest(await _get(cluster, NAME, namespace))}", soft_wrap=True)

    Connection(kubeconfig, context).ask(roll_out)


@app.command()
def retrain(
    steps: Annotated[int, typer.Option(help="Steps of training.", min=2)] = 250,
    namespace: Namespace = DEFAULT_NAMESPACE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Train on what the devices ran lately, and have the result served if it is better.

    Runs as a job in the cluster (the chart's `retraining`), or anywhere. Needs torch, which the
    extra `train` installs. What came out is printed, and kept for metrics either way.
    """
    try:
        from acesniper.predictor.pcn.train import TrainingSettings
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"training needs the package {error.name!r}: pip install acesniper[train]"
        ) from error

    async def train(cluster: "Cluster") -> None:
        objects, now = await listed(cluster), await _get(cluster, NAME, namespace)
        content = now.get("binaryData", {}).get(FILE)
        with tempfile.TemporaryDirectory() as folder:
            file, served = Path(folder) / FILE, Path(folder) / "served.onnx"
            if content is not None:
                served.write_bytes(base64.b64decode(content))
            found = retrained(
                objects, served if content else None, file, TrainingSettings(steps=steps)
            )
            said = json.dumps(found, indent=2)
            print_json(found)
            if found["verdict"] == "better":
                await _serve(cluster, namespace, now, _checked(file), said)
            else:
                await _put(cluster, NAME, namespace, content, said)

    Connection(kubeconfig, context).ask(train)


@app.command()
def rollback(
    namespace: Namespace = DEFAULT_NAMESPACE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Have the network before served again; a second time undoes the first."""

    async def roll_back(cluster: "Cluster") -> None:
        now, before = [await _get(cluster, name, namespace) for name in (NAME, BEFORE)]
        content = now.get("binaryData", {}).get(FILE)
        if content is None and before.get("binaryData", {}).get(FILE) is None:
            raise InvalidInput("the shipped network serves, and nothing served before it")
        await _put(cluster, NAME, namespace, before.get("binaryData", {}).get(FILE), None)
        await _put(cluster, BEFORE, namespace, content, None)
        out.print(f"serves: {_digest(await _get(cluster, NAME, namespace))}", soft_wrap=True)

    Connection(kubeconfig, context).ask(roll_back)


def _checked(file: Path) -> str:
    """The content in base64.

    Raises:
        InvalidInput: it cannot be used, or is larger than a ConfigMap takes.
    """
    from acesniper.domain.errors import AcesniperError
    from acesniper.predictor.pcn.serve import PcnPredictor

    try:
        PcnPredictor.load(file)
        content = file.read_bytes()
    except (AcesniperError, OSError) as error:
        raise InvalidInput(f"{file} is not rolled out: {error}") from error
    if len(content) > MOST_BYTES:
        raise InvalidInput(
            f"{file} has {len(content)} bytes, a ConfigMap takes {MOST_BYTES}; put it on a volume "
            "and set ACESNIPER_NETWORK"
        )
    return base64.b64encode(content).decode()


def _said(file: Path) -> str:
    """What a training said. Raises InvalidInput where it said nothing."""
    try:
        text = file.read_text(encoding="utf-8")
        json.loads(text)["verdict"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{file} is no verdict of a training: {error!r}") from error
    return text


async def _get(cluster: "Cluster", name: str, namespace: str) -> dict[str, Any]:
    from acesniper.api.names import CONFIG_MAPS

    return await cluster.get(CONFIG_MAPS, name, namespace) or {}


async def _serve(
    cluster: "Cluster", namespace: str, now: dict[str, Any], content: str, verdict: str | None
) -> None:
    """Replace what serves `now`, and keep it for a rollback."""
    await _put(cluster, BEFORE, namespace, now.get("binaryData", {}).get(FILE), None)
    await _put(cluster, NAME, namespace, content, verdict)


async def _put(
    cluster: "Cluster", name: str, namespace: str, content: str | None, verdict: str | None
) -> None:
    """Write a ConfigMap whole: without a content, the shipped network serves."""
    from acesniper.api.names import CONFIG_MAPS

    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "binaryData": {FILE: content} if content is not None else {},
        "data": {VERDICT: verdict} if verdict is not None else {},
    }
    await cluster.patch(CONFIG_MAPS, name, namespace, manifest, patch_type="apply")


def _digest(found: dict[str, Any]) -> str:
    content = found.get("binaryData", {}).get(FILE)
    if content is None:
        return "the shipped network"
    said = found.get("data", {}).get(VERDICT)
    told = f" ({json.loads(said)['verdict']})" if said else ""
    return hashlib.sha256(base64.b64decode(content)).hexdigest() + told
