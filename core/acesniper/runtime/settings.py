"""Settings in general: read once at start, from a mapping, all mistakes shown at once."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from acesniper.domain.errors import InvalidInput
from acesniper.policies.policy import DEFAULT_POLICY, RuleSet

PREFIX = "ACESNIPER_"

Port = Annotated[int, Field(ge=0, le=65535)]
OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]


class EnvironmentSettings(BaseModel):
    """Base: every field is read from `ACESNIPER_<NAME>`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kubeconfig: OptionalPath = None
    """Empty: the service account of the pod we run in."""
    log_format: Literal["json", "text"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Settings from an environment.

        Raises:
            InvalidInput: one line for each variable that is wrong.
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
                f"{cls.variable(str(each['loc'][0]))}={each['input']!r}: {each['msg']}"
                for each in error.errors()
            ]
            raise InvalidInput("\n".join(lines)) from error

    @staticmethod
    def variable(field: str) -> str:
        """The environment variable of a field."""
        return PREFIX + field.upper()


# TODO merge docstring of acesniper.runtime.settings:
# Settings of the probe, which loads nothing large while it waits: no policies, no numpy.


class ProbeSettings(EnvironmentSettings):
    """The probe of a node, as a DaemonSet runs it."""

    node: Annotated[str, Field(min_length=1)]
    """The node it measures: the downward API's spec.nodeName."""
    check_s: Annotated[float, Field(gt=0)] = 60.0
    """Pause between two looks at whether the node should be measured anew."""
    quick: bool = False
    """About 3 s instead of 10 to 30: fewer rounds, nothing under load."""
    published_file: Path = Path("/tmp/published")  # noqa: S108 - a volume of the pod's own
    """Exists once the profile is in the cluster: the pod's readiness."""


# TODO merge docstring of acesniper.runtime.settings:
# Settings of the operator and the extender.


def _known_policy(name: str) -> str:
    return RuleSet.named(name).name


def _parse_policy_classes(text: object) -> object:
    """`class=policy,class=policy` as a mapping."""
    if not isinstance(text, str):
        return text
    pairs = [each.partition("=") for each in text.split(",") if each.strip()]
    for name, equals, policy in pairs:
        if not (name.strip() and equals):
            raise ValueError(f"not CLASS=POLICY: {name!r}")
        RuleSet.named(policy.strip())
    return {name.strip(): policy.strip() for name, _, policy in pairs}


def _host_name() -> str:
    """The name of the pod we run in."""
    return socket.gethostname()


class PolicySettings(EnvironmentSettings):
    """What planner and operator have to agree on."""

    policy: Annotated[str, AfterValidator(_known_policy)] = DEFAULT_POLICY.name
    """How tasks are ordered and placed, by name."""
    policy_classes: Annotated[Mapping[str, str], BeforeValidator(_parse_policy_classes)] = Field(
        default_factory=dict
    )
    """Other policies for the tasks of some priority classes: `batch=min-min,urgent=edf-mct`."""
    aging_s: Annotated[float, Field(gt=0)] = DEFAULT_POLICY.aging_s
    """A task that has waited for so long goes before all that have not, whatever its priority."""


class PredictorSettings(PolicySettings):
    """What predicts."""

    network: OptionalPath = None
    """The file of a network to use instead of the shipped one, whenever and as long as there is
    one: `acesniper network` writes it. A file that is replaced is loaded anew."""


class LeaseSettings(PredictorSettings):
    """Which of several replicas acts: who holds the part's Lease."""

    lease_namespace: str = "acesniper-system"
    """Where the Leases of planner and operator are."""
    lease_s: Annotated[float, Field(ge=1)] = 8.0
    """How long a Lease lasts without being renewed: another replica acts one and a half times as
    long after the holder is gone, at the latest."""
    identity: str = Field(default_factory=_host_name)
    """Who holds it."""
    watch_silence_s: Annotated[float, Field(gt=0)] = 90.0
    """A watch that has been silent for so long is opened anew: it may have been cut without a word.
    The API server writes something about once a minute, at the latest after 75 s."""


class ExtenderSettings(LeaseSettings):
    """The extender and the planner."""

    host: str = "127.0.0.1"
    """kube-scheduler runs in the same pod, so nothing else needs to reach us."""
    port: Port = 8780
    health_port: Port = 0
    """Where the kubelet and Prometheus ask, on all addresses; 0: at `port` only."""
    page: bool = True
    """Serve the page (docs/guide/page.md): read-only, about all namespaces."""
    page_host: str = "127.0.0.1"
    """Reached through `kubectl port-forward`, which the cluster's own rights guard."""
    page_port: Port = 8783
    deadline_quantile: Annotated[float, Field(gt=0, lt=1)] = DEFAULT_POLICY.deadline_quantile
    """How certain a device must be to meet a deadline to be preferred for it."""
    explore_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the tasks without a deadline that go to a nearly as good, less well known device."""
    replan_s: Annotated[float, Field(gt=0)] = 1.0
    """Longest time between two plans while tasks wait; events replan at once."""
    settle_s: Annotated[float, Field(ge=0)] = 0.02
    """Events this close together make one plan."""
    bind_timeout_s: Annotated[float, Field(gt=0)] = 15.0
    """An admitted pod that is not bound by then is withdrawn and planned anew."""
    container_start_s: Annotated[float, Field(ge=0)] = 1.0
    """From binding to the start of a container whose image is there, until it is learned."""
    image_pull_mb_per_s: Annotated[float, Field(gt=0)] = 8.0
    model_fetch_mb_per_s: Annotated[float, Field(gt=0)] = 10.0
    model_load_mb_per_s: Annotated[float, Field(gt=0)] = 150.0
    """Rates to expect on a node until they are learned."""
    predictions: OptionalPath = None
    """A CSV file of predictions to use instead of the network; see `predictor/csv.py`."""
    tls_folder: OptionalPath = None
    """Holds tls.crt, tls.key and ca.crt: HTTPS, for clients with a certificate of that authority.
    Empty: HTTP, which is for a kube-scheduler in the same pod."""


class OperatorSettings(LeaseSettings):
    """The operator."""

    namespace: str = ""
    """Empty: all namespaces."""
    health_port: Port = 8781
    metrics_port: Port = 8782
    max_gated_pods: Annotated[int, Field(ge=1)] = 500
    """Pods that wait, gated, for the planner, at most: there are two for each slot and some. Tasks
    beyond stay in the API server only."""
    runner_image: str = "acesniper/runner:0.1.0"
    model_cache: str = ""
    """Folder of each node in which the models of tasks stay; empty: each pod fetches its own."""
    model_cache_bytes: Annotated[int, Field(ge=0)] = 4 * 1024**3
    """What stays there at most; models in use come on top."""
    progress_s: Annotated[float, Field(ge=0)] = 5.0
    """How often running tasks are asked how far they are, at most; 0: never."""
    max_model_bytes: Annotated[int, Field(ge=1)] = 2 * 1024**3
    fetch_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    planner_patience_s: Annotated[float, Field(gt=0)] = 30.0
    """How long the planner's Lease may stay unchanged before tasks start without a plan, first
    come, first served; longer than the lease itself lasts."""
    start_patience_s: Annotated[float, Field(gt=0)] = 300.0
    """How long a container whose image cannot be pulled, or that cannot be made, is waited for
    before the attempt has failed."""
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    """Objects reconciled at the same time."""
