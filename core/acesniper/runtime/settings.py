"""Settings of each part: read once at start, from a mapping, all mistakes shown at once."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from acesniper.domain.errors import InvalidInput
from acesniper.policies.order import ORDERS
from acesniper.policies.placement import PLACEMENTS

PREFIX = "ACESNIPER_"

Port = Annotated[int, Field(ge=0, le=65535)]
OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]


def _one_of(known: Mapping[str, object]) -> Callable[[str], str]:
    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"unknown; use one of {', '.join(known)}")
        return name

    return check


class Settings(BaseModel):
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


class ExtenderSettings(Settings):
    """The extender and the planner."""

    host: str = "127.0.0.1"
    """kube-scheduler runs in the same pod, so nothing else needs to reach us."""
    port: Port = 8780
    order: Annotated[str, AfterValidator(_one_of(ORDERS))] = "fcfs"
    placement: Annotated[str, AfterValidator(_one_of(PLACEMENTS))] = "mct"
    replan_s: Annotated[float, Field(gt=0)] = 1.0
    """Longest time between two plans while tasks wait; events replan at once."""
    settle_s: Annotated[float, Field(ge=0)] = 0.02
    """Events this close together make one plan."""
    bind_timeout_s: Annotated[float, Field(gt=0)] = 15.0
    """An admitted pod that is not bound by then is withdrawn and planned anew."""
    cold_start_s: Annotated[float, Field(ge=0)] = 0.0
    """Expected time from binding to the first inference, until it is learned."""
    tls_folder: OptionalPath = None
    """Holds tls.crt, tls.key and ca.crt: HTTPS, for clients with a certificate of that authority.
    Empty: HTTP, which is for a kube-scheduler in the same pod."""


class OperatorSettings(Settings):
    """The operator."""

    namespace: str = ""
    """Empty: all namespaces."""
    health_port: Port = 8781
    metrics_port: Port = 8782
    max_gated_pods: Annotated[int, Field(ge=1)] = 500
    """Pods that wait, gated, for the planner; tasks beyond stay in the API server only."""
    runner_image: str = "acesniper/runner:0.1.0"
    max_model_bytes: Annotated[int, Field(ge=1)] = 2 * 1024**3
    fetch_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    """Objects reconciled at the same time."""


class ProbeSettings(Settings):
    """The probe of a node, as a DaemonSet runs it."""

    node: Annotated[str, Field(min_length=1)]
    """The node it measures: the downward API's spec.nodeName."""
    check_s: Annotated[float, Field(gt=0)] = 60.0
    """Pause between two looks at whether the node should be measured anew."""
    quick: bool = False
    """About 3 s instead of 10 to 30: fewer rounds, nothing under load."""
    published_file: Path = Path("/tmp/published")  # noqa: S108 - a volume of the pod's own
    """Exists once the profile is in the cluster: the pod's readiness."""
