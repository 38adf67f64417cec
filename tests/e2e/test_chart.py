"""The chart on a real control plane: install, upgrade, uninstall, admission policies."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from acesniper.testbed import ControlPlane
from helm_release import CHART, VALUES, HelmRelease, template

NAMESPACE = "acesniper"
NOISE = ("events", "events.events.k8s.io", "bindings")
"""Kinds whose objects appear and expire by themselves."""
STATUS = "--subresource=status"


@pytest.fixture(scope="module")
def plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """A control plane without our CRDs."""
    with ControlPlane() as plane:
        yield plane
        plane.keep_logs = request.session.testsfailed > 0


@pytest.fixture
def release(plane: ControlPlane) -> Iterator[HelmRelease]:
    """A namespace for restricted pods only, with no release in it yet."""
    release = HelmRelease(plane, NAMESPACE)
    release.make_namespace()
    yield release
    # There is no kubelet that would finish their termination.
    plane.kubectl("delete", "pods", "--all", "-n", NAMESPACE, "--force", "--grace-period=0")
    plane.kubectl("delete", "namespace", NAMESPACE)


def objects(plane: ControlPlane) -> set[str]:
    """Every object of the cluster by kind, namespace and name."""
    kinds = plane.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    expected = ",".join(sorted(set(kinds) - set(NOISE)))
    shown = r'jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\n"}{end}'
    return set(plane.kubectl("get", expected, "--all-namespaces", "-o", shown).splitlines())


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
def test_the_api_server_accepts_every_object_for_all_values(
    plane: ControlPlane, release: HelmRelease, values: tuple[str, ...]
) -> None:
    manifests = [
        manifest
        for manifest in template(*values, namespace=NAMESPACE)
        # The first is of the Prometheus operator, which is not installed; the second names a
        # priority class that a dry run does not create.
        if manifest["kind"] not in ("PodMonitor", "PrometheusRule", "Pod")
    ]

    answer = plane.kubectl(
        "apply",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
        stdin=yaml.safe_dump_all(manifests),
    )

    assert len(answer.splitlines()) == len(manifests)


def test_uninstalling_removes_every_object(plane: ControlPlane, release: HelmRelease) -> None:
    before = objects(plane)

    release.install("crds.keep=false")
    installed = objects(plane)
    release.upgrade(
        "crds.keep=false", "scheduling.settings.policy=edf-mct", "networkPolicy.enabled=false"
    )
    upgraded = objects(plane)
    release.uninstall()
    plane.kubectl("wait", "--for=delete", "pods", "--all", "-n", NAMESPACE, "--timeout=60s")

    assert len(installed - before) > 30
    assert not [name for name in upgraded if name.startswith("NetworkPolicy")]
    assert objects(plane) == before


def test_crds_are_upgraded_with_the_release_and_kept_on_uninstall(
    plane: ControlPlane, release: HelmRelease, tmp_path: Path
) -> None:
    old = tmp_path / "acesniper"
    shutil.copytree(CHART, old)
    path = old / "files/crds/acesniper.io_deviceprofiles.yaml"
    crd = yaml.safe_load(path.read_text())
    columns = crd["spec"]["versions"][0]["additionalPrinterColumns"]
    crd["spec"]["versions"][0]["additionalPrinterColumns"] = columns[:1]
    path.write_text(yaml.safe_dump(crd))
    profile = {
        "apiVersion": "acesniper.io/v1alpha1",
        "kind": "DeviceProfile",
        "metadata": {"name": "kept-cpu"},
        "spec": {"node": "kept"},
    }

    release.install(chart=old)
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(profile))
    few = plane.kubectl("get", "dprof")
    release.upgrade()
    many = plane.kubectl("get", "dprof")
    release.uninstall()
    kept = plane.kubectl("get", "dprof")
    plane.kubectl("delete", "crd", "-l", "app.kubernetes.io/part-of=acesniper")

    assert "PROVIDER" not in few
    assert "PROVIDER" in many
    assert "kept-cpu" in kept


def test_a_second_release_in_the_cluster_is_refused(
    plane: ControlPlane, release: HelmRelease
) -> None:
    release.install("crds.keep=false")

    error = release.refused_install("second", "crds.install=false")
    release.uninstall()

    assert f"release acesniper in namespace {NAMESPACE} runs Ace-Sniper" in error


class Node:
    """The probe of a node, authenticated by a token bound to a pod on that node."""

    def __init__(self, plane: ControlPlane, name: str) -> None:
        self._plane = plane
        self.name = name
        account = "acesniper-probe"
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        container = {
            "name": "probe",
            "image": "acesniper/probe:0.1.0",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"probe-{name}", "namespace": NAMESPACE},
            "spec": {
                "nodeName": name,
                "serviceAccountName": account,
                "securityContext": {
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [container],
            },
        }
        plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([node, pod]))
        bound = ("--bound-object-kind=Pod", f"--bound-object-name=probe-{name}")
        self._token = plane.kubectl("create", "token", account, "-n", NAMESPACE, *bound)

    def apply(self, name: str, node: str, *flags: str, provider: str = "cpu") -> str:
        """Write a profile as the probe does; returns the error of the API server."""
        spec = {"node": node, "provider": provider}
        part = {"status": {"text": "mine"}} if STATUS in flags else {"spec": spec}
        profile = {
            "apiVersion": "acesniper.io/v1alpha1",
            "kind": "DeviceProfile",
            "metadata": {"name": name},
            **part,
        }
        argv: list[str | Path] = [self._plane.program("kubectl"), "--server", self._plane.url]
        argv += ["--certificate-authority", self._plane.authority.ca.cert, "--token", self._token]
        argv += ["apply", "--server-side", "--validate=false", "-f", "-", *flags]
        done = subprocess.run(
            [str(word) for word in argv],
            env={**os.environ, "KUBECONFIG": os.devnull},
            input=json.dumps(profile),
            capture_output=True,
            text=True,
        )
        return done.stderr.strip() if done.returncode else ""


def test_the_probe_of_a_node_writes_its_own_profile_only(
    plane: ControlPlane, release: HelmRelease
) -> None:
    release.install("crds.keep=false")
    a, b = Node(plane, "a"), Node(plane, "b")

    # The API server enforces a policy some time after it has stored it.
    manager = plane.children["kube-controller-manager"]
    manager.wait_until(lambda: bool(a.apply("b-cuda", "b", "--dry-run=server", provider="cuda")))

    own = [node.apply(f"{node.name}-cpu", node.name) for node in (a, b)]
    own += [node.apply(f"{node.name}-cpu", node.name, STATUS) for node in (a, b)]
    status_of_another = a.apply("b-cpu", "b", STATUS)
    profile_of_another = a.apply("b-cuda", "b", provider="cuda")
    name_of_another = a.apply("b-npu", "a", provider="npu")
    name_of_a_node_to_come = a.apply("a-2-cpu", "a", provider="2-cpu")
    written = plane.kubectl("get", "dprof", "-o", "name").split()
    plane.kubectl("delete", "node", "a", "b")
    release.uninstall()

    assert own == ["", "", "", ""]
    assert "the probe on node a may not write the profile of node b" in status_of_another
    assert "the probe on node a may not write the profile of node b" in profile_of_another
    assert "the probe on node a may write profiles named a-PROVIDER only" in name_of_another
    assert "may write profiles named a-PROVIDER only" in name_of_a_node_to_come
    assert [name.split("/")[1] for name in written] == ["a-cpu", "b-cpu"]


def test_the_planner_removes_gates_and_cannot_change_containers(
    plane: ControlPlane, release: HelmRelease
) -> None:
    release.install("crds.keep=false")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "foreign", "labels": {"app": "web"}},
        "spec": {
            "schedulingGates": [{"name": "acesniper.io/plan"}],
            "initContainers": [{"name": "first", "image": "first:1"}],
            "containers": [{"name": "web", "image": "web:1"}],
        },
    }
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(pod))

    def patch(change: object, *flags: str) -> str:
        """Return the error of the API server when the planner's account changes the pod."""
        account = f"--as=system:serviceaccount:{NAMESPACE}:acesniper-scheduler"
        argv = [plane.program("kubectl"), "--kubeconfig", plane.kubeconfig(), account, *flags]
        done = subprocess.run(
            [str(word) for word in (*argv, "patch", "pod", "foreign", "-p", json.dumps(change))],
            capture_output=True,
            text=True,
        )
        return done.stderr.strip() if done.returncode else ""

    image = {"spec": {"containers": [{"name": "web", "image": "evil:1"}]}}
    manager = plane.children["kube-controller-manager"]
    manager.wait_until(lambda: bool(patch(image, "--dry-run=server")))
    other_image = patch(image)
    other_first = patch({"spec": {"initContainers": [{"name": "first", "image": "evil:1"}]}})
    other_label = patch({"metadata": {"labels": {"app": "bank"}}})
    no_label = patch({"metadata": {"labels": None}})
    opened = patch({"metadata": {"annotations": {"x": "y"}}, "spec": {"schedulingGates": None}})
    plane.kubectl("set", "image", "pod/foreign", "web=web:2")
    policies = json.loads(plane.kubectl("get", "validatingadmissionpolicies", "-o", "json"))
    plane.kubectl("delete", "pod", "foreign", "--force", "--grace-period=0")
    release.uninstall()

    assert "the planner may not change what a pod runs" in other_image
    assert "the planner may not change what a pod runs" in other_first
    assert "the planner may not change a pod's labels" in other_label
    assert "the planner may not change a pod's labels" in no_label
    assert opened == ""
    warnings = [policy["status"].get("typeChecking") for policy in policies["items"]]
    assert warnings == [{}] * 3
