"""Settings of each part, read once at start from environment variables.

Every mistake is reported, not just the first. The probe imports this module and must stay small, so
that `acesniper.policies`, which loads numpy, is imported only where a policy's name is checked.
"""

import socket
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from math import inf
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from acesniper.domain.errors import InvalidInput

PREFIX = "ACESNIPER_"

Port = Annotated[int, Field(ge=0, le=65535)]
QUANTITY_PATTERN = r"^[0-9]+([.][0-9]+)?([KMGTP]i?|[mk])?$"
OptionalQuantity = Annotated[str, Field(pattern=rf"{QUANTITY_PATTERN}|^$")]
OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]


def _known_policy(name: str) -> str:
    from acesniper.policies.policy import RuleSet

    return RuleSet.named(name).name


def _parse_policy_classes(text: object) -> object:
    """`class=policy,class=policy` as a mapping."""
    if not isinstance(text, str):
        return text
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    for name, equals, policy in pairs:
        if not (name.strip() and equals):
            raise ValueError(f"not CLASS=POLICY: {name!r}")
        _known_policy(policy.strip())
    return {name.strip(): policy.strip() for name, _, policy in pairs}


def parse_numbers(text: str) -> dict[str, float]:
    """`namespace=number,namespace=number` as a mapping.

    Raises:
        ValueError: an item has another form, or its number is not positive.
    """
    numbers: dict[str, float] = {}
    for item in text.split(","):
        name, equals, number = (part.strip() for part in item.partition("="))
        if not item.strip():
            continue
        try:
            numbers[name] = float(number)
        except ValueError:
            numbers[name] = 0.0
        if not (name and equals and 0.0 < numbers[name] < inf):
            raise ValueError(f"not NAMESPACE=POSITIVE-NUMBER: {item.strip()!r}")
    return numbers


Numbers = Annotated[
    Mapping[str, float],
    BeforeValidator(lambda value: parse_numbers(value) if isinstance(value, str) else value),
]


def _parse_networks(text: object) -> object:
    """`network,network` as networks."""
    if not isinstance(text, str):
        return text
    return tuple(ip_network(item.strip()) for item in text.split(",") if item.strip())


Network = IPv4Network | IPv6Network


class EnvironmentSettings(BaseModel):
    """Settings that all parts have; each field is read from `ACESNIPER_<NAME>`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kubeconfig: OptionalPath = None
    """Kubeconfig file; empty: use the service account of this pod."""
    log_format: Literal["json", "text"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings from an environment.

        Raises:
            InvalidInput: one line for each invalid variable.
        """
        values = {
            name: environment[variable]
            for name in cls.model_fields
            if (variable := cls.variable(name)) in environment
        }
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = [
                f"{cls.variable(str(detail['loc'][0]))}={detail['input']!r}: {detail['msg']}"
                for detail in error.errors()
            ]
            raise InvalidInput("\n".join(lines)) from error

    @staticmethod
    def variable(field: str) -> str:
        """The environment variable of a field."""
        return PREFIX + field.upper()


class ProbeSettings(EnvironmentSettings):
    """Settings of the probe of one node, which runs in a DaemonSet."""

    node: Annotated[str, Field(min_length=1)]
    """Node to measure: the downward API's spec.nodeName."""
    check_s: Annotated[float, Field(gt=0)] = 60.0
    """Seconds between two checks whether the node has to be measured again."""
    quick: bool = False
    """Measure for about 3 s instead of 10 to 30 s: fewer repetitions, nothing under load."""
    published_file: Path = Path("/tmp/published")  # noqa: S108 - a volume of this pod only
    """File that exists once the profile is published; the pod's readiness probe checks it."""


class PolicySettings(EnvironmentSettings):
    """Settings that planner and operator have to agree on; defaults are those of `Policy`."""

    policy: Annotated[str, AfterValidator(_known_policy)] = "fcfs-advantage"
    """Scheduling policy: how tasks are ordered and placed."""
    policy_classes: Annotated[Mapping[str, str], BeforeValidator(_parse_policy_classes)] = Field(
        default_factory=dict
    )
    """Policies for the tasks of single priority classes, such as `batch=min-min,urgent=edf-mct`."""
    aging_s: Annotated[float, Field(gt=0)] = 600.0
    """A task that has waited this long goes before all that have not, whatever its priority."""
    learn_from_containers: bool = False
    """Learn latencies and start times also from containers other than the runner image, which may
    report anything; for predictions of their own namespace only."""
    fair_shares: bool = True
    """Divide the devices between namespaces by weight. False: the policy orders the tasks of all
    namespaces, as where Kueue decides which tasks may start."""
    namespace_weights: Numbers = Field(default_factory=dict)
    """Weights of namespaces, such as `vision=3,batch=0.5`; `*` is every other namespace, 1 by
    default."""
    namespace_limits: Numbers = Field(default_factory=dict)
    """Predicted device seconds that the running tasks of a namespace may hold at once, such as
    `batch=7200,*=14400`; its further tasks wait. Namespaces that are not named have no limit."""
    priority_scope: Literal["namespace", "cluster"] = "namespace"
    """Where a priority class counts: among the tasks of its namespace, or before all shares."""
    max_task_s: Annotated[float, Field(ge=0)] = 3600.0
    """Longest predicted run of one task, in device seconds; a longer task is refused, and a pod
    that runs longer than 1.5 times this is ended. 0: no limit."""


class PredictorSettings(PolicySettings):
    """Settings of the predictor."""

    network: OptionalPath = None
    """File of a trained network that replaces the shipped one while it exists; written by
    `acesniper network`. A changed file is loaded without a restart."""


class LeaseSettings(PredictorSettings):
    """Settings of leader election: the replica that holds the part's Lease is active."""

    lease_namespace: str = "acesniper-system"
    """Namespace of the Leases of planner and operator."""
    lease_s: Annotated[float, Field(ge=1)] = 8.0
    """Duration of a Lease that is not renewed. After the loss of its holder, another replica takes
    over within one and a half times this time."""
    lease_max_s: Annotated[float, Field(ge=1)] = 60.0
    """Longest duration of a Lease while requests to the API server are slow: it lasts eight times
    as long as the slowest recent one."""
    identity: str = Field(default_factory=socket.gethostname)
    """Identity of this replica in the Lease; by default the name of its pod."""
    decision_key: OptionalPath = None
    """File with the key that signs the planner's decisions, the same for extender and operator.
    Empty: the extender makes one up, which ends with its process, and the operator records
    decisions without a check."""
    watch_silence_s: Annotated[float, Field(gt=0)] = 90.0
    """A watch that is idle for this long is reopened, as its connection may be lost. The API server
    sends a bookmark about once a minute, at the latest after 75 s."""


class ExtenderSettings(LeaseSettings):
    """Settings of the extender and the planner."""

    host: str = "127.0.0.1"
    """Address to listen on; kube-scheduler runs in the same pod."""
    port: Port = 8780
    health_port: Port = 0
    """Port for health checks and metrics, on all addresses; 0: at `port` only."""
    page: bool = True
    """Serve the web page (docs/guide/page.md): read-only, with the tasks of all namespaces."""
    page_host: str = "127.0.0.1"
    """Address of the page; reached by `kubectl port-forward`, which the cluster's RBAC guards."""
    page_port: Port = 8783
    deadline_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Probability of meeting a task's deadline at which a device is preferred for it."""
    explore_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the tasks without a deadline that are placed on an almost equally good device whose
    prediction is less certain."""
    replan_s: Annotated[float, Field(gt=0)] = 1.0
    """Longest time between two plans while tasks wait; an event causes a new plan immediately."""
    settle_s: Annotated[float, Field(ge=0)] = 0.02
    """Events within this time share one plan."""
    bind_timeout_s: Annotated[float, Field(gt=0)] = 15.0
    """An admitted pod that is not bound within this time is withdrawn and planned again."""
    container_start_s: Annotated[float, Field(ge=0)] = 1.0
    """Initial estimate of the time from binding to the start of a container whose image is on the
    node."""
    image_pull_mb_per_s: Annotated[float, Field(gt=0)] = 8.0
    model_fetch_mb_per_s: Annotated[float, Field(gt=0)] = 10.0
    model_load_mb_per_s: Annotated[float, Field(gt=0)] = 150.0
    """Initial estimates of a node's rates, until they are learned."""
    predictions: OptionalPath = None
    """CSV file of predictions to use instead of the network; see `acesniper.predictor.csv`."""
    tls_folder: OptionalPath = None
    """Folder of tls.crt, tls.key and ca.crt, for HTTPS with client certificates of that authority.
    Empty: plain HTTP, for a kube-scheduler in the same pod."""


class OperatorSettings(LeaseSettings):
    """Settings of the operator."""

    namespace: str = ""
    """Namespace to watch; empty: all."""
    health_port: Port = 8781
    metrics_port: Port = 8782
    max_gated_pods: Annotated[int, Field(ge=1)] = 500
    """Limit of gated pods that wait for the planner. Tasks beyond have no pod yet."""
    runner_image: str = "acesniper/runner:0.1.0"
    runner_scratch: Annotated[str, Field(pattern=QUANTITY_PATTERN)] = "8Gi"
    """Size limit of the volume into which a runner fetches its model and input."""
    runner_cpu: OptionalQuantity = "100m"
    runner_memory: OptionalQuantity = "256Mi"
    """Requests of a runner whose task states none; empty: none."""
    model_cache: str = ""
    """Folder on each node where tasks' models are cached; empty: each pod fetches its own."""
    model_cache_bytes: Annotated[int, Field(ge=0)] = 4 * 1024**3
    """Size limit of the cache; models in use do not count."""
    progress_s: Annotated[float, Field(ge=0)] = 5.0
    """Shortest time between two progress requests to a running task; 0: never ask."""
    max_model_bytes: Annotated[int, Field(ge=1)] = 2 * 1024**3
    fetch_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    fetch_networks: Annotated[tuple[Network, ...], BeforeValidator(_parse_networks)] = ()
    """Networks such as `10.1.2.0/24,fd00::/8` from which the operator may fetch models, in addition
    to the public internet. Models elsewhere are read by a pod in their namespace."""
    read_cpu_s: Annotated[int, Field(ge=1)] = 30
    """CPU time for reading one model's graph; a model that takes more is unsupported."""
    profile_grace_s: Annotated[float, Field(ge=0)] = 3600.0
    """How long a ModelProfile that was made for a task is kept after the last task that uses it."""
    planner_patience_s: Annotated[float, Field(gt=0)] = 30.0
    """How long the planner's Lease may stay unchanged before tasks start without a plan, in order
    of creation. Must be longer than the Lease lasts."""
    start_patience_s: Annotated[float, Field(gt=0)] = 300.0
    """How long a container may fail to pull its image or to be created before its attempt fails."""
    run_limit_factor: Annotated[float, Field(ge=0)] = 10.0
    """Multiple of the longest predicted run of a task after which a run without progress is ended;
    0: no limit. A task's `spec.activeDeadline` takes its place."""
    run_limit_floor_s: Annotated[float, Field(ge=0)] = 1800.0
    """A run is not ended earlier than this, whatever was predicted."""
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    """Objects that are reconciled at the same time."""
