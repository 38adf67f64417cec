"""A trained network is rolled out to a cluster, and rolled back."""

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from acesniper.testbed import ControlPlane
from acesniper.testbed.deployment import EXTENDER, OPERATOR
from fleet_of_five import FleetOfFive
from small_atlas import write_small


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    return write_small(tmp_path / "pcn.onnx")


class Cluster:
    """A namespace of a control plane, through the command and as a mounted volume."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.namespace = plane, namespace

    def network(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        where = ("--namespace", self.namespace, "--kubeconfig", self.plane.kubeconfig())
        argv = [sys.executable, "-m", "acesniper.cli", "network", *arguments, *where]
        return subprocess.run(
            [str(word) for word in argv], capture_output=True, text=True, check=False
        )

    def serving(self) -> str | None:
        """Return the digest of the file in the volume of the components."""
        get = ("get", "configmap", "-n", self.namespace, "--ignore-not-found", "-o", "json")
        text = self.plane.kubectl(*get, "ace-sniper-network")
        content = (json.loads(text) if text else {}).get("binaryData", {}).get("pcn.onnx")
        return hashlib.sha256(base64.b64decode(content)).hexdigest() if content else None


def test_a_network_is_rolled_out_and_rolled_back(
    control_plane: ControlPlane, namespace: str, trained: Path, tmp_path: Path
) -> None:
    cluster = Cluster(control_plane, namespace)
    digest = hashlib.sha256(trained.read_bytes()).hexdigest()
    verdict = tmp_path / "verdict.json"
    verdict.write_text(json.dumps({"verdict": "better"}))

    rolled = cluster.network("rollout", trained, "--verdict", verdict)
    serving, shown = cluster.serving(), cluster.network("status").stdout
    back = cluster.network("rollback")
    shipped = cluster.serving()
    cluster.network("rollback")

    assert rolled.returncode == 0, rolled.stderr
    assert serving == digest
    assert f"current: {digest} (better)" in shown
    assert "current: the shipped network" in back.stdout
    assert shipped is None
    assert cluster.serving() == digest, "the second rollback undoes the first"


def test_a_replaced_network_serves_without_a_restart(
    fleet: FleetOfFive, namespace: str, network_file: Path, trained: Path
) -> None:
    fleet.add_model(namespace)
    digest = hashlib.sha256(trained.read_bytes()).hexdigest()
    pids = [fleet.system.plane.children[part].pid for part in (EXTENDER, OPERATOR)]

    before = source_of(fleet, namespace, "before")
    trained.replace(network_file)
    fleet.wait_until(lambda: serves(fleet, digest))
    meanwhile = source_of(fleet, namespace, "meanwhile")
    network_file.unlink()
    fleet.wait_until(lambda: serves(fleet, "shipped"))
    after = source_of(fleet, namespace, "after")

    assert before == after
    assert meanwhile == f"{before}@{digest[:8]}"
    assert pids == [fleet.system.plane.children[part].pid for part in (EXTENDER, OPERATOR)]


def serves(fleet: FleetOfFive, digest: str) -> bool:
    return f'acesniper_network_info{{digest="{digest}"}} 1.0' in fleet.system.text("/metrics")


def source_of(fleet: FleetOfFive, namespace: str, task: str) -> str:
    """Return the source of the prediction in the decision about a task's pod."""
    fleet.apply([fleet.task(task, namespace)])
    uid = fleet.finish(namespace, task)[task]["podUid"]
    return str(fleet.system.ask(f"/explain?pod={uid}")["candidates"][0]["source"])


def test_an_invalid_network_is_not_rolled_out(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    cluster = Cluster(control_plane, namespace)
    broken = tmp_path / "pcn.onnx"
    broken.write_bytes(b"no network")

    refused = cluster.network("rollout", broken)
    nothing = cluster.network("rollback")

    assert refused.returncode != 0
    assert "cannot be rolled out" in refused.stderr
    assert nothing.returncode != 0
    assert "there is no previous network" in nothing.stderr
    assert cluster.serving() is None
