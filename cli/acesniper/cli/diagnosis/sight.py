"""All that the doctor looks at, as it was at one moment."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from acesniper.api.objects import Json
from acesniper.cli.options import DEFAULT_NAMESPACE

PART = "app.kubernetes.io/component"
INSTANCE = "app.kubernetes.io/instance"
VERSION = "app.kubernetes.io/version"


@dataclass(frozen=True, slots=True)
class Right:
    """Something an account must be allowed to do; `namespace` is empty for all namespaces."""

    account: str
    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        """For people: `patch pods in all namespaces`."""
        name = f" {self.name}" if self.name else ""
        where = f"namespace {self.namespace}" if self.namespace else "all namespaces"
        group = f".{self.group}" if self.group else ""
        return f"{self.verb} {self.resource}{group}{name} in {where}"


@dataclass(frozen=True, slots=True)
class Sight:
    """What the API server has, by kind in the plural.

    A kind that may not be listed is in `unseen`, with the reason, and not in `objects`. `denied`
    are rights that our accounts lack; None where that may not be asked. `metrics` is what the
    extender tells, None where it cannot be asked. Times are seconds since the epoch: `server_s` by
    the API server's clock, `local_s` by ours.
    """

    server_version: str
    server_s: float
    local_s: float
    objects: Mapping[str, Sequence[Json]]
    unseen: Mapping[str, str] = field(default_factory=dict)
    denied: Sequence[Right] | None = ()
    metrics: str | None = None

    def all(self, kind: str) -> Sequence[Json]:
        """All objects of a kind."""
        return self.objects.get(kind, ())

    def named(self, kind: str, name: str, namespace: str | None = None) -> Json | None:
        """One object."""
        for each in self.all(kind):
            metadata = each["metadata"]
            if metadata["name"] == name and namespace in (None, metadata.get("namespace")):
                return each
        return None

    def part(self, name: str) -> Json | None:
        """The Deployment or DaemonSet of a part: operator, scheduler or probe."""
        return next((each for each in self.parts() if label(each, PART) == name), None)

    def parts(self) -> Iterator[Json]:
        """Deployments and DaemonSets of ours."""
        yield from self.all("deployments")
        yield from self.all("daemonsets")

    @property
    def namespace(self) -> str:
        """Where Ace-Sniper is installed; a usual place if it is not."""
        return next((each["metadata"]["namespace"] for each in self.parts()), DEFAULT_NAMESPACE)

    @property
    def release(self) -> str:
        """The name of the Helm release."""
        return next((label(each, INSTANCE) for each in self.parts()), "") or "acesniper"

    @property
    def version(self) -> str:
        """The version of Ace-Sniper that the release says it is."""
        return next((label(each, VERSION) for each in self.parts()), "")

    @property
    def own_scheduler(self) -> bool:
        """Whether a kube-scheduler of ours runs, rather than the cluster's own asking us."""
        found = self.part("scheduler")
        return found is not None and container(found, "kube-scheduler") is not None

    def upgrade(self, *values: str) -> str:
        """The command that brings the release to the chart's version."""
        more = "".join(f" --set {each}" for each in values)
        where = f"--namespace {self.namespace} --reuse-values"
        return f"helm upgrade {self.release} charts/acesniper {where}{more}"

    def restore(self) -> str:
        """The command that puts back what the release made, whoever changed or deleted it.

        As the field manager of Helm, so that its next upgrade meets nobody else's fields.
        """
        apply = "kubectl apply --server-side --force-conflicts --field-manager=helm --filename -"
        return f"helm get manifest {self.release} --namespace {self.namespace} | {apply}"


def label(thing: Json, name: str) -> str:
    """A label's value, empty if there is none."""
    return str((thing["metadata"].get("labels") or {}).get(name, ""))


def place(thing: Json) -> str:
    """Kind, namespace and name, for people."""
    metadata = thing["metadata"]
    parts = filter(None, (metadata.get("namespace"), metadata["name"]))
    return f"{thing.get('kind', 'object')} {'/'.join(parts)}"


def containers(workload: Json) -> Sequence[Json]:
    """The containers of a Deployment's or DaemonSet's pods."""
    found: Sequence[Json] = workload["spec"]["template"]["spec"]["containers"]
    return found


def container(workload: Json, name: str) -> Json | None:
    """One of them."""
    return next((each for each in containers(workload) if each["name"] == name), None)


def account(workload: Json) -> str:
    """The service account of a workload's pods, as the API server names it to itself."""
    name = workload["spec"]["template"]["spec"].get("serviceAccountName", "default")
    return f"system:serviceaccount:{workload['metadata']['namespace']}:{name}"
