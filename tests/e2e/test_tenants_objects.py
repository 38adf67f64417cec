"""Objects that cannot be read, of one tenant: operator and extender serve all others."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from acesniper.api.untrusted_json import UNREADABLE
from acesniper.testbed.deployment import EXTENDER, OPERATOR, ROOT
from acesniper.testbed.errors import CommandFailed
from fleet_of_five import FleetOfFive

TASKS = "/apis/acesniper.io/v1alpha1/namespaces/{}/inferencetasks"
CRD = "crd/inferencetasks.acesniper.io"
SPEC = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
ARRAYS = "[" * 1200 + "]" * 1200
OBJECTS = '{"x":' * 3000 + "1" + "}" * 3000
MANAGED = '{"f:x":' * 2000 + "{}" + "}" * 2000


@dataclass(frozen=True, slots=True)
class Tenant:
    """The author of the objects, in a namespace of its own."""

    fleet: FleetOfFive
    namespace: str

    def create(self, name: str, spec: str) -> None:
        """Create a suspended task with raw JSON in its spec."""
        header = '"apiVersion":"acesniper.io/v1alpha1","kind":"InferenceTask"'
        common = '"model":"m","suspend":true'
        text = f'{{{header},"metadata":{{"name":"{name}"}},"spec":{{{common},{spec}}}}}'
        self._send("create", TASKS.format(self.namespace), text)

    def nest_managed_fields(self, kind: str, path: str) -> None:
        """Write deep managed fields into an object that exists."""
        text = self.fleet.system.plane.kubectl("get", "-n", self.namespace, kind, "-o", "json")
        obj = json.loads(text)
        version = obj["apiVersion"]
        obj["metadata"]["managedFields"] = [
            {
                "manager": "tenant",
                "operation": "Update",
                "apiVersion": version,
                "fieldsType": "FieldsV1",
                "time": "2026-01-01T00:00:00Z",
                "fieldsV1": "DEEP",
            }
        ]
        self._send("replace", path, json.dumps(obj).replace('"DEEP"', MANAGED))
        assert MANAGED in self.raw(path)

    def raw(self, path: str) -> str:
        """An object as the API server sends it."""
        return self.fleet.system.plane.kubectl("get", "--raw", path)

    def delete_tasks(self) -> None:
        """Delete all tasks of the namespace."""
        self.fleet.system.plane.kubectl("delete", "-n", self.namespace, "inferencetask", "--all")

    def skipped(self) -> float:
        """Number of tasks that the operator skips."""
        url = f"http://127.0.0.1:{self.fleet.system.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as response:
            return sample(
                response.read().decode(), 'acesniper_operator_skipped_objects{kind="InferenceTask"}'
            )

    def _send(self, verb: str, path: str, text: str) -> None:
        self.fleet.system.plane.kubectl(verb, "--raw", path, "-f", "-", stdin=text)


def sample(metrics: str, name: str) -> float:
    lines = (line.rpartition(" ") for line in metrics.splitlines())
    return next(float(value) for series, _, value in lines if series == name)


@pytest.fixture
def tenant(fleet: FleetOfFive, namespace: str) -> Iterator[Tenant]:
    """A tenant on a cluster whose definition of tasks is still open, as in an older version."""
    plane = fleet.system.plane
    patch = [
        {"op": "replace", "path": f"{SPEC}/{field}", "value": value}
        for field, value in (
            ("template", OPEN),
            ("resources", OPEN),
            ("tolerations", {"type": "array", "items": OPEN}),
        )
    ]
    made = Tenant(fleet, namespace)
    plane.kubectl("patch", CRD, "--type=json", "--patch", json.dumps(patch))

    def is_open() -> bool:
        made.create("first", '"resources":{"x":{"y":1}}')
        stored = made.raw(f"{TASKS.format(namespace)}/first")
        made.delete_tasks()
        return '"y":1' in stored

    plane.children["kube-apiserver"].wait_until(is_open)
    yield made
    made.delete_tasks()
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", ROOT / "crds")
    plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", CRD)


@pytest.fixture
def honest(fleet: FleetOfFive) -> Iterator[str]:
    """The namespace of another tenant, with a model."""
    plane = fleet.system.plane
    plane.kubectl("create", "namespace", "honest-tenant")
    ready = plane.api_answers("/api/v1/namespaces/honest-tenant/serviceaccounts/default")
    plane.children["kube-controller-manager"].wait_until(ready)
    yield "honest-tenant"
    plane.kubectl("delete", "namespace", "honest-tenant", "--wait=false")


def run_task(fleet: FleetOfFive, namespace: str, name: str) -> None:
    fleet.apply([fleet.task(name, namespace, inferences=1)])

    assert fleet.finish(namespace, name)[name]["phase"] == "Succeeded"


def test_unreadable_objects_stop_no_part_also_not_after_a_restart(
    fleet: FleetOfFive, tenant: Tenant, honest: str
) -> None:
    plane = fleet.system.plane
    fleet.add_model(honest)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "deep", "namespace": tenant.namespace},
        "spec": {"schedulerName": "none", "containers": [{"name": "c", "image": "x"}]},
    }
    fleet.apply([pod])
    fleet.add_model(tenant.namespace)

    tenant.create("arrays", f'"tolerations":[{{"x":{ARRAYS}}}]')
    tenant.create("objects", f'"template":{OBJECTS}')
    tenant.create("quantities", f'"resources":{{"limits":{OBJECTS}}}')
    tenant.nest_managed_fields("pod/deep", f"/api/v1/namespaces/{tenant.namespace}/pods/deep")
    for model in fleet.get("modelprofiles", tenant.namespace):
        name = model["metadata"]["name"]
        path = f"/apis/acesniper.io/v1alpha1/namespaces/{tenant.namespace}/modelprofiles/{name}"
        tenant.nest_managed_fields(f"modelprofile/{name}", path)
    plane.children[OPERATOR].wait_until(lambda: tenant.skipped() == 3)
    run_task(fleet, honest, "while-running")
    for part in (OPERATOR, EXTENDER):
        plane.kill(part)
        plane.children[part].exited_within(10)
        plane.start(part)
    run_task(fleet, honest, "after-the-restart")

    plane.children[OPERATOR].wait_until(lambda: tenant.skipped() == 3)
    extender = 'acesniper_extender_skipped_objects{kind="inferencetasks"}'
    assert sample(fleet.system.text("/metrics"), extender) == 3
    fleet.wait_until(
        lambda: all(
            "Unreadable" in fleet.events(tenant.namespace, name)
            for name in ("arrays", "objects", "quantities")
        )
    )
    tenant.delete_tasks()
    plane.children[OPERATOR].wait_until(lambda: tenant.skipped() == 0)


def test_the_definition_of_tasks_stores_no_value_of_unlimited_depth(
    fleet: FleetOfFive, namespace: str
) -> None:
    tenant = Tenant(fleet, namespace)
    specs = {
        "tolerations": f'"tolerations":[{{"x":{ARRAYS}}}]',
        "template": f'"template":{OBJECTS}',
        "affinity": f'"template":{{"spec":{{"containers":[],"affinity":{OBJECTS}}}}}',
    }
    for name, spec in specs.items():
        tenant.create(name, spec)
        # An unknown field is dropped; the structure of the rest is limited.
        stored = json.loads(tenant.raw(f"{TASKS.format(namespace)}/{name}"))
        assert UNREADABLE not in stored
    with pytest.raises(CommandFailed, match="template"):
        tenant.create("value", f'"template":{ARRAYS}')
