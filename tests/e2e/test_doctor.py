"""`acesniper doctor` on an installed chart, healthy and broken in many ways.

A case breaks one thing, expects the finding, and fixes it with the finding's command, or by other
means if the finding has none; afterwards there must be no finding.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from acesniper.cli.connection import Connection
from acesniper.cli.doctor.checks import run_checks
from acesniper.cli.doctor.findings import Finding, Severity
from acesniper.cli.doctor.reader import read_inventory
from acesniper.testbed.deployment import EXTENDER, OPERATOR, SCHEDULER
from installed import FreshFleet, Installed

NAMESPACE = "acesniper"


@pytest.fixture(scope="module")
def fleet(installed: FreshFleet) -> FreshFleet:
    assert isinstance(installed.system, Installed)
    installed.system.wait_rolled_out()
    return installed


def diagnose(fleet: FreshFleet) -> list[Finding]:
    connection = Connection(fleet.system.plane.kubeconfig())
    return run_checks(connection.run(read_inventory))


def kubectl(*arguments: str) -> Callable[[FreshFleet], None]:
    def run(fleet: FreshFleet) -> None:
        fleet.system.plane.kubectl(*arguments)

    return run


def patch(kind: str, name: str, change: object, *flags: str) -> Callable[[FreshFleet], None]:
    return kubectl("patch", kind, name, "-p", json.dumps(change), *flags)


def applied(*flags: str, **thing: object) -> Callable[[FreshFleet], None]:
    def run(fleet: FreshFleet) -> None:
        fleet.system.plane.kubectl("apply", *flags, "-f", "-", stdin=json.dumps(thing))

    return run


def measured_again(fleet: FreshFleet) -> None:
    fleet.apply([device.profile for device in fleet.devices])
    profiles = [device.profile for device in fleet.devices]
    fleet.apply(profiles, "--subresource=status", "--force-conflicts")


def model_of_another_digest(fleet: FreshFleet) -> None:
    source = {"uri": f"{fleet.url}/resnet18.onnx", "sha256": "0" * 64}
    applied(
        apiVersion="acesniper.io/v1alpha1",
        kind="ModelProfile",
        metadata={"name": "swapped", "namespace": "default"},
        spec={"source": source},
    )(fleet)


def stop(part: str) -> Callable[[FreshFleet], None]:
    return lambda fleet: fleet.system.plane.stop(part)


def start(part: str) -> Callable[[FreshFleet], None]:
    return lambda fleet: fleet.system.restart(part)


@dataclass(frozen=True, slots=True)
class Case:
    """A way to break an installation, the expected finding, and the fix if it has no command."""

    breaks: Callable[[FreshFleet], None]
    check: str
    says: str
    fix: Callable[[FreshFleet], None] | None = None


NS = ("-n", NAMESPACE)
DEVICE = "ort-1t-plain"
OLD = (datetime.now(UTC) - timedelta(days=40)).strftime("%Y-%m-%dT%H:%M:%SZ")
AHEAD = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
FIELD = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/retries"
SCHEDULER_FILE = "kind: KubeSchedulerConfiguration\nprofiles: [{schedulerName: %s}]\nextenders: %s"

CASES = {
    "operator stopped": Case(
        kubectl("scale", "deployment", "acesniper-operator", "--replicas=0", *NS),
        "parts",
        "scaled to zero",
    ),
    "scheduler deleted": Case(
        kubectl("delete", "deployment", "acesniper-scheduler", *NS),
        "parts",
        "there is no scheduler",
    ),
    "operator of another version": Case(
        kubectl("set", "image", "deployment/acesniper-operator", "operator=x/operator:0.0.9", *NS),
        "versions",
        "operator 0.0.9",
    ),
    "kube-scheduler too new": Case(
        kubectl(
            "set", "image", "deployment/acesniper-scheduler", "kube-scheduler=x/y:v1.99.0", *NS
        ),
        "versions",
        "kube-scheduler is v1.99.0",
    ),
    "old definition": Case(
        patch(
            "crd",
            "inferencetasks.acesniper.io",
            [{"op": "remove", "path": FIELD}],
            "--type=json",
        ),
        "definitions",
        "drops spec.retries",
    ),
    "operator lost a right": Case(
        patch(
            "clusterrole",
            "acesniper-operator",
            [{"op": "remove", "path": "/rules/4"}],
            "--type=json",
        ),
        "rights",
        "patch inferencetasks/status.acesniper.io in all namespaces",
    ),
    "extender's binding deleted": Case(
        kubectl("delete", "clusterrolebinding", "acesniper-extender"),
        "rights",
        "patch pods in all namespaces",
    ),
    "kube-scheduler's binding deleted": Case(
        kubectl("delete", "clusterrolebinding", "acesniper-kube-scheduler"),
        "rights",
        "create pods/binding in all namespaces",
    ),
    "no extender in the configuration": Case(
        patch(
            "configmap",
            "acesniper-scheduler",
            {"data": {"scheduler.yaml": SCHEDULER_FILE % ("ace-sniper", "[]")}},
            *NS,
        ),
        "configuration",
        "no extender is configured",
    ),
    "another profile, another port": Case(
        patch(
            "configmap",
            "acesniper-scheduler",
            {
                "data": {
                    "scheduler.yaml": SCHEDULER_FILE
                    % ("other", "[{urlPrefix: 'http://127.0.0.1:9', weight: 1}]")
                }
            },
            *NS,
        ),
        "configuration",
        "there is no profile for pods with schedulerName ace-sniper",
    ),
    "planner away": Case(stop(EXTENDER), "leases", "the planner is down", fix=start(EXTENDER)),
    "kube-scheduler away": Case(
        stop(SCHEDULER), "leases", "our kube-scheduler is down", fix=start(SCHEDULER)
    ),
    "operator away": Case(stop(OPERATOR), "leases", "the operator is down", fix=start(OPERATOR)),
    "every node cordoned": Case(
        kubectl("cordon", "--selector", "kubernetes.io/os=linux"),
        "devices",
        "no device can take a task",
        fix=kubectl("uncordon", "--selector", "kubernetes.io/os=linux"),
    ),
    "probe's account deleted": Case(
        kubectl("delete", "serviceaccount", "acesniper-probe", *NS),
        "rights",
        "ServiceAccount acesniper-probe does not exist",
    ),
    "priority class deleted": Case(
        kubectl("delete", "priorityclass", "acesniper-control"),
        "priorities",
        "PriorityClass acesniper-control does not exist",
    ),
    "admission policy not bound": Case(
        kubectl("delete", "validatingadmissionpolicybinding", "acesniper-own-profile"),
        "admission",
        "no binding with the action Deny",
    ),
    "admission policy deleted": Case(
        kubectl("delete", "validatingadmissionpolicy", "acesniper-own-profile"),
        "admission",
        "there is no admission policy for the probe",
    ),
    "node not measured": Case(
        kubectl("delete", "deviceprofile", DEVICE),
        "devices",
        "it has no device profile and gets no tasks",
        fix=measured_again,
    ),
    "measured long ago": Case(
        patch(
            "deviceprofile",
            DEVICE,
            {"status": {"measuredAt": OLD}},
            "--type=merge",
            "--subresource=status",
        ),
        "devices",
        "it was measured 40d ago",
        fix=measured_again,
    ),
    "another probe suite": Case(
        patch(
            "deviceprofile",
            DEVICE,
            {"status": {"suiteVersion": "1"}},
            "--type=merge",
            "--subresource=status",
        ),
        "devices",
        "it was measured with hrm 1, predictions need hrm 2",
        fix=measured_again,
    ),
    "profile without a node": Case(
        applied(
            apiVersion="acesniper.io/v1alpha1",
            kind="DeviceProfile",
            metadata={"name": "gone-cpu"},
            spec={"node": "gone"},
        ),
        "devices",
        "its node gone does not exist",
    ),
    "model of another digest": Case(
        model_of_another_digest,
        "models",
        "it cannot be used (DigestMismatch)",
        fix=kubectl("delete", "modelprofile", "swapped", "-n", "default"),
    ),
    "clock ahead": Case(
        applied(
            apiVersion="coordination.k8s.io/v1",
            kind="Lease",
            metadata={"name": "fast-clock", "namespace": "kube-node-lease"},
            spec={"holderIdentity": "fast-clock", "renewTime": AHEAD},
        ),
        "clocks",
        "ahead of the API server's",
        fix=kubectl("delete", "lease", "fast-clock", "-n", "kube-node-lease"),
    ),
}


def test_a_healthy_installation_has_no_findings(fleet: FreshFleet) -> None:
    assert isinstance(fleet.system, Installed)

    done = fleet.system.shell("acesniper doctor")

    assert diagnose(fleet) == []
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no problems" in done.stdout


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_fault_is_reported_and_its_fix_resolves_it(fleet: FreshFleet, case: Case) -> None:
    assert isinstance(fleet.system, Installed)

    case.breaks(fleet)
    try:
        finding = wait_for_finding(fleet, case)
        if case.fix is None:
            done = fleet.system.shell(finding.command)
            assert done.returncode == 0, done.stderr
    finally:
        if case.fix is not None:
            case.fix(fleet)
    fleet.system.wait_rolled_out()

    assert finding.fix
    assert_fixed(fleet)


def wait_for_finding(fleet: FreshFleet, case: Case) -> Finding:
    """The finding of a case: some appear immediately, others after a lease expired."""
    matching: list[Finding] = []

    def seen() -> bool:
        matching[:] = [
            finding
            for finding in diagnose(fleet)
            if finding.check == case.check and case.says in finding.what
        ]
        return bool(matching)

    fleet.wait_until(seen)
    return matching[0]


def assert_fixed(fleet: FreshFleet) -> None:
    """Wait until there is no finding: leases and slots recover within seconds."""
    left: list[Finding] = []

    def healthy() -> bool:
        left[:] = diagnose(fleet)
        return not left

    try:
        fleet.wait_until(healthy)
    except TimeoutError:
        pytest.fail(f"still found: {left}")


def test_findings_set_the_exit_code_and_are_printed_as_json(fleet: FreshFleet) -> None:
    assert isinstance(fleet.system, Installed)
    kubectl("delete", "clusterrolebinding", "acesniper-probe")(fleet)

    case = Case(lambda _: None, "rights", "deviceprofiles")
    finding = wait_for_finding(fleet, case)

    done = fleet.system.shell("acesniper doctor --json")
    findings = json.loads(done.stdout)
    fixed = fleet.system.shell(finding.command)

    assert done.returncode == 1
    assert findings[0]["severity"] == Severity.ERROR
    assert "acesniper/acesniper-probe" in findings[0]["where"]
    assert fixed.returncode == 0
    assert_fixed(fleet)


def test_checks_without_permission_are_reported_as_skipped(fleet: FreshFleet) -> None:
    connection = Connection(fleet.system.plane.kubeconfig("no-rights"))

    seen = run_checks(connection.run(read_inventory))

    assert {finding.severity for finding in seen} == {Severity.WARNING}
    assert all(finding.what.startswith("not checked") for finding in seen)
