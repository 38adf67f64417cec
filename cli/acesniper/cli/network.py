"""`acesniper network`: the trained network that the components of a cluster load.

It is in a ConfigMap that they watch; the previous one is kept in a second ConfigMap for a rollback.
"""

import base64
import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acesniper.api.objects import Json
from acesniper.cli.connection import Connection, ContextOption, KubeconfigOption
from acesniper.cli.options import DEFAULT_NAMESPACE
from acesniper.cli.retraining import list_profiles, retrain_network, training_settings
from acesniper.domain.errors import AcesniperError, InvalidInput

if TYPE_CHECKING:
    from acesniper.runtime.client import Cluster

CURRENT, PREVIOUS = "ace-sniper-network", "ace-sniper-network-before"
"""Names of the ConfigMaps."""
NETWORK_FILE, VERDICT_FILE = "pcn.onnx", "verdict.json"
MAX_BYTES = 1_000_000
"""A ConfigMap holds 1 MiB."""

app = typer.Typer(no_args_is_help=True)
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the installation.")]


@app.callback()
def group() -> None:
    """Show, roll out and roll back the network that the components of a cluster load."""


@app.command()
def status(
    namespace: Namespace = DEFAULT_NAMESPACE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Show the digest of the current network, and of the one that a rollback restores."""
    names = {"current": CURRENT, "previous": PREVIOUS}

    async def fetch(cluster: "Cluster") -> list[str]:
        return [
            f"{label}: {_description(await _get(cluster, name, namespace))}"
            for label, name in names.items()
        ]

    _print("\n".join(Connection(kubeconfig, context).run(fetch)))


@app.command()
def rollout(
    file: Annotated[Path, typer.Argument(help="A network that `acesniper train` wrote.")],
    verdict: Annotated[
        Path | None,
        typer.Option(help="The verdict of the training, which is shown and exported as metrics."),
    ] = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Replace the network: the components load it within two minutes, without a restart."""
    content = _encode_network(file)
    verdict_text = _read_verdict(verdict) if verdict is not None else None

    async def roll_out(cluster: "Cluster") -> str:
        current = await _get(cluster, CURRENT, namespace)
        if _content(current) == content:
            return f"{file} is the current network already"
        await _replace(cluster, namespace, current, content, verdict_text)
        return f"current: {_description(await _get(cluster, CURRENT, namespace))}"

    _print(Connection(kubeconfig, context).run(roll_out))


@app.command()
def retrain(
    steps: Annotated[int, typer.Option(help="Number of training steps.", min=2)] = 250,
    namespace: Namespace = DEFAULT_NAMESPACE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Train on the latencies that the devices observed, and roll out the result if it is better.

    Runs as a job in the cluster (the chart's value `retraining`) or anywhere else. Needs torch: pip
    install acesniper[train]. The verdict is printed, and kept in the cluster for metrics.
    """
    from acesniper.cli.console import print_json

    settings = training_settings(steps)

    async def train(cluster: "Cluster") -> None:
        objects, current = await list_profiles(cluster), await _get(cluster, CURRENT, namespace)
        content = _content(current)
        with tempfile.TemporaryDirectory() as folder:
            candidate, baseline = Path(folder) / NETWORK_FILE, Path(folder) / "baseline.onnx"
            if content is not None:
                baseline.write_bytes(base64.b64decode(content))
            verdict = retrain_network(objects, baseline if content else None, candidate, settings)
            text = json.dumps(verdict, indent=2)
            print_json(verdict)
            if verdict["verdict"] == "better":
                await _replace(cluster, namespace, current, _encode_network(candidate), text)
            else:
                await _put(cluster, CURRENT, namespace, content, text)

    Connection(kubeconfig, context).run(train)


@app.command()
def rollback(
    namespace: Namespace = DEFAULT_NAMESPACE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Swap the current and the previous network; a second rollback undoes the first."""

    async def roll_back(cluster: "Cluster") -> str:
        current, previous = [await _get(cluster, name, namespace) for name in (CURRENT, PREVIOUS)]
        if _content(current) is None and _content(previous) is None:
            raise InvalidInput("there is no previous network: the shipped one is in use")
        await _put(cluster, CURRENT, namespace, _content(previous), None)
        await _put(cluster, PREVIOUS, namespace, _content(current), None)
        return f"current: {_description(await _get(cluster, CURRENT, namespace))}"

    _print(Connection(kubeconfig, context).run(roll_back))


def _print(text: str) -> None:
    from acesniper.cli.console import out

    out().print(text, soft_wrap=True)


def _encode_network(file: Path) -> str:
    """The content in base64.

    Raises:
        InvalidInput: the file is not a usable network, or is larger than a ConfigMap may be.
    """
    from acesniper.predictor.pcn.serve import PcnPredictor

    try:
        PcnPredictor.load(file)
        content = file.read_bytes()
    except (AcesniperError, OSError) as error:
        raise InvalidInput(f"{file} cannot be rolled out: {error}") from error
    if len(content) > MAX_BYTES:
        raise InvalidInput(
            f"{file} has {len(content)} bytes, more than the {MAX_BYTES} of a ConfigMap; put it on"
            " a volume and set ACESNIPER_NETWORK"
        )
    return base64.b64encode(content).decode()


def _read_verdict(file: Path) -> str:
    """The text of a training's verdict.

    Raises:
        InvalidInput: the file is not such a verdict.
    """
    try:
        text = file.read_text(encoding="utf-8")
        json.loads(text)["verdict"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"--verdict {file}: not a verdict of a training: {error!r}") from error
    return text


def _content(config_map: Json) -> str | None:
    """The network in a ConfigMap, in base64; None means the shipped one."""
    content: str | None = config_map.get("binaryData", {}).get(NETWORK_FILE)
    return content


async def _get(cluster: "Cluster", name: str, namespace: str) -> Json:
    from acesniper.api.names import CONFIG_MAPS

    return await cluster.get(CONFIG_MAPS, name, namespace) or {}


async def _replace(
    cluster: "Cluster", namespace: str, current: Json, content: str, verdict: str | None
) -> None:
    """Make a network the current one, and the current one the previous one."""
    await _put(cluster, PREVIOUS, namespace, _content(current), None)
    await _put(cluster, CURRENT, namespace, content, verdict)


async def _put(
    cluster: "Cluster", name: str, namespace: str, content: str | None, verdict: str | None
) -> None:
    """Write a ConfigMap; without content the components load the shipped network."""
    from acesniper.api.names import CONFIG_MAPS

    manifest: Json = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "binaryData": {NETWORK_FILE: content} if content is not None else {},
        "data": {VERDICT_FILE: verdict} if verdict is not None else {},
    }
    await cluster.patch(CONFIG_MAPS, name, namespace, manifest, patch_type="apply")


def _description(config_map: Json) -> str:
    content = _content(config_map)
    if content is None:
        return "the shipped network"
    verdict = config_map.get("data", {}).get(VERDICT_FILE)
    suffix = f" ({json.loads(verdict)['verdict']})" if verdict else ""
    return hashlib.sha256(base64.b64decode(content)).hexdigest() + suffix
