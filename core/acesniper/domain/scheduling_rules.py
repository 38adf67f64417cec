"""What kube-scheduler's filters read of pods, nodes and volumes, as hashable values.

A resource amount is an integer: millicores of `cpu`, otherwise the resource's own unit (bytes).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Labels = Mapping[str, str]
Amounts = Mapping[str, int]
"""Amounts by the name of the resource."""
CPU, PODS_RESOURCE = "cpu", "pods"
NO_SCHEDULE, NO_EXECUTE = "NoSchedule", "NoExecute"


@dataclass(frozen=True, slots=True)
class LabelRequirement:
    """A condition on one label: In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        values = ", ".join(self.values)
        if self.operator == "In" and len(self.values) == 1:
            return f"{self.key}={values}"
        return f"{self.key} {self.operator} ({values})" if values else f"{self.key} {self.operator}"


@dataclass(frozen=True, slots=True)
class NodeSelectorTerm:
    """Conditions on a node that must all hold; a term without conditions matches no node.

    `fields` are conditions on `metadata.name`.
    """

    expressions: tuple[LabelRequirement, ...] = ()
    fields: tuple[LabelRequirement, ...] = ()

    def __str__(self) -> str:
        return " and ".join(map(str, (*self.expressions, *self.fields)))


NodeSelector = tuple[NodeSelectorTerm, ...]
"""Alternatives; a selector without terms matches no node."""


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint of a node."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.key}{'=' if self.value else ''}{self.value}:{self.effect}"


@dataclass(frozen=True, slots=True)
class Toleration:
    """A toleration of a pod; an empty key or effect matches every key or effect."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


UNSCHEDULABLE_TAINT = Taint("node.kubernetes.io/unschedulable", "", NO_SCHEDULE)
"""The taint that a pod must tolerate to be placed on a cordoned node."""


@dataclass(frozen=True, slots=True)
class VolumeRule:
    """Where a volume claim can be used: on nodes that match one of `selectors`.

    None of `selectors` means every node. With `problem`, no node can use the claim for now.
    """

    claim: str
    selectors: tuple[NodeSelector, ...] | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PodRules:
    """The scheduling-relevant fields of a pod.

    Attributes:
        selector: the pod's nodeSelector.
        affinity: the pod's required node affinity; None without one.
        requests: amounts by resource, in order of the resource's name.
        claims: `namespace/name` of its volume claims.
        signature: digest of all fields that kube-scheduler's filters read, also of those that are
            not evaluated here. Pods of one shape have one signature.
    """

    selector: tuple[LabelRequirement, ...] = ()
    affinity: NodeSelector | None = None
    tolerations: tuple[Toleration, ...] = ()
    requests: tuple[tuple[str, int], ...] = ()
    claims: tuple[str, ...] = ()
    signature: str = ""
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Plans look up these rules once per task: hash the nested tuples only once.
        values = (self.selector, self.affinity, self.tolerations, self.requests, self.claims)
        object.__setattr__(self, "_hash", hash((*values, self.signature)))

    def __hash__(self) -> int:
        return self._hash


NO_RULES = PodRules()


@dataclass(frozen=True, slots=True)
class NodeRules:
    """The fields of a node that kube-scheduler's filters read.

    `allocatable` is None if it is unknown; then every request fits.
    """

    name: str = ""
    labels: Labels = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    allocatable: Amounts | None = None


UNKNOWN_NODE = NodeRules()
