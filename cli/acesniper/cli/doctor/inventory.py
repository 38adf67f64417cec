"""The objects of an installation and its cluster, as they were when the doctor read them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from acesniper.api.objects import Json
from acesniper.cli.options import DEFAULT_NAMESPACE

COMPONENT = "app.kubernetes.io/component"
"""Label whose value is operator, scheduler or probe."""
INSTANCE = "app.kubernetes.io/instance"
VERSION = "app.kubernetes.io/version"


@dataclass(frozen=True, slots=True)
class Permission:
    """A verb on a resource for a service account; an empty namespace means all namespaces."""

    account: str
    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        """Such as `patch pods in all namespaces`."""
        name = f" {self.name}" if self.name else ""
        scope = f"namespace {self.namespace}" if self.namespace else "all namespaces"
        group = f".{self.group}" if self.group else ""
        return f"{self.verb} {self.resource}{group}{name} in {scope}"


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that the checks look at.

    Attributes:
        server_version: Version of Kubernetes, such as `v1.36.1+k3s1`.
        server_s: Time by the API server's clock, in seconds since the epoch.
        local_s: Time by the local clock, in seconds since the epoch.
        objects: Objects by the plural of their kind.
        unlisted: Kinds that this user may not list, with the API server's message.
        denied: Permissions that our service accounts lack; None if that could not be asked.
        metrics: Metrics of the extender as text; None if it could not be reached.
        unreadable: Stubs of objects that cannot be read (`acesniper.api.untrusted_json`).
    """

    server_version: str
    server_s: float
    local_s: float
    objects: Mapping[str, Sequence[Json]]
    unlisted: Mapping[str, str] = field(default_factory=dict)
    denied: Sequence[Permission] | None = ()
    metrics: str | None = None
    unreadable: Sequence[Json] = ()

    def all(self, kind: str) -> Sequence[Json]:
        """All objects of a kind, given in the plural."""
        return self.objects.get(kind, ())

    def named(self, kind: str, name: str, namespace: str | None = None) -> Json | None:
        """The object of this name; None if it does not exist."""
        for item in self.all(kind):
            metadata = item["metadata"]
            if metadata["name"] == name and namespace in (None, metadata.get("namespace")):
                return item
        return None

    def component(self, name: str) -> Json | None:
        """The Deployment or DaemonSet of a component: operator, scheduler or probe."""
        return next((item for item in self.workloads() if label(item, COMPONENT) == name), None)

    def workloads(self) -> Iterator[Json]:
        """Our Deployments and DaemonSets."""
        yield from self.all("deployments")
        yield from self.all("daemonsets")

    def age_s(self, item: Json) -> float:
        """Seconds since an object was created, by the API server's clock."""
        from acesniper.api.units import epoch_s

        return self.server_s - epoch_s(item["metadata"]["creationTimestamp"])

    @property
    def namespace(self) -> str:
        """The namespace of the installation, or the documented one if there is no installation."""
        namespaces = (item["metadata"]["namespace"] for item in self.workloads())
        return next(namespaces, DEFAULT_NAMESPACE)

    @property
    def release(self) -> str:
        """The name of the Helm release."""
        return next((label(item, INSTANCE) for item in self.workloads()), "") or "acesniper"

    @property
    def version(self) -> str:
        """The version of Ace-Sniper in the labels of the release."""
        return next((label(item, VERSION) for item in self.workloads()), "")

    @property
    def own_scheduler(self) -> bool:
        """Whether the release runs a kube-scheduler, instead of extending the cluster's own."""
        workload = self.component("scheduler")
        return workload is not None and container(workload, "kube-scheduler") is not None


def label(item: Json, name: str) -> str:
    """The value of a label; empty if it is not set."""
    return str((item["metadata"].get("labels") or {}).get(name, ""))


def identify(item: Json) -> str:
    """Kind, namespace and name of an object, such as `Deployment acesniper/operator`."""
    metadata = item["metadata"]
    path = filter(None, (metadata.get("namespace"), metadata["name"]))
    return f"{item.get('kind', 'object')} {'/'.join(path)}"


def condition(item: Json, kind: str) -> Json | None:
    """The status condition of this type; None if it is not set."""
    conditions = (item.get("status") or {}).get("conditions") or ()
    return next((entry for entry in conditions if entry["type"] == kind), None)


def containers(workload: Json) -> Sequence[Json]:
    """The containers in the pod template of a Deployment or DaemonSet."""
    listed: Sequence[Json] = workload["spec"]["template"]["spec"]["containers"]
    return listed


def container(workload: Json, name: str) -> Json | None:
    """The container of this name in a pod template."""
    return next((item for item in containers(workload) if item["name"] == name), None)


def service_account(workload: Json) -> str:
    """The user name of the service account of a workload's pods."""
    name = workload["spec"]["template"]["spec"].get("serviceAccountName", "default")
    return f"system:serviceaccount:{workload['metadata']['namespace']}:{name}"
