"""Which devices can run a task: its own demands, and the rules of kube-scheduler's filters.

Planner, admission window, messages and simulator use these functions. They agree with
kube-scheduler on taints, node selectors, required node affinity, volume claims and resource
requests; `tests/e2e/test_rules_feasibility.py` compares them. Other filters (spread constraints,
affinity between pods, host ports, volume limits) depend on more of the cluster than is known here:
kube-scheduler's own answer decides.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from acesniper.domain.device import Device, NodeName
from acesniper.domain.prediction import FEASIBLE, Feasibility
from acesniper.domain.scheduling_rules import (
    CPU,
    NO_EXECUTE,
    NO_SCHEDULE,
    UNKNOWN_NODE,
    UNSCHEDULABLE_TAINT,
    Amounts,
    LabelRequirement,
    Labels,
    NodeRules,
    NodeSelector,
    NodeSelectorTerm,
    PodRules,
    Taint,
    Toleration,
    VolumeRule,
)
from acesniper.domain.task import Task

NodeRulesByName = Mapping[NodeName, NodeRules]
VolumeRules = Mapping[str, VolumeRule]
"""By `namespace/name` of the claim."""
NO_USE: Amounts = {}
INT64 = range(-(2**63), 2**63)


def check_feasibility(
    task: Task,
    device: Device,
    nodes: NodeRulesByName,
    volumes: VolumeRules | None = None,
) -> Feasibility:
    """Whether `device` can run `task`, regardless of its backlog.

    A node missing in `nodes` has no labels or taints, and every request fits. Without `volumes`,
    claims are not considered. Devices that the task excludes are not considered.
    """
    if task.providers and device.provider not in task.providers:
        requested = ", ".join(sorted(task.providers))
        return Feasibility(
            False, f"its provider is {device.provider}, the task requires {requested}", True
        )
    node = nodes.get(device.node, UNKNOWN_NODE)
    if not device.schedulable:
        return Feasibility(False, "its node is cordoned or not ready")
    verdict = node_verdict(task.pod_rules, node, volumes)
    if not verdict.feasible:
        return verdict
    if device.memory_bytes and task.memory_bytes > device.memory_bytes:
        need, have = task.memory_bytes / 2**20, device.memory_bytes / 2**20
        return Feasibility(
            False, f"the model needs {need:.0f} MiB, the device has {have:.0f}", True
        )
    return FEASIBLE


# --- kube-scheduler's filters -------------------------------------------------------------------


def node_verdict(
    pod: PodRules,
    node: NodeRules,
    volumes: VolumeRules | None = None,
    requested: Amounts = NO_USE,
) -> Feasibility:
    """Whether a pod can be placed on a node; `requested` is what its other pods request.

    A verdict that other pods, a taint or a volume may change is not lasting.
    """
    if node.unschedulable and not _tolerates(pod.tolerations, UNSCHEDULABLE_TAINT):
        return Feasibility(False, "its node is cordoned")
    for requirement in pod.selector:
        if not _matches(requirement, node.labels):
            return Feasibility(False, f"its node has no label {requirement}", True)
    if pod.affinity is not None and not selects(pod.affinity, node.labels, node.name):
        terms = " or ".join(map(str, pod.affinity)) or "no term"
        return Feasibility(False, f"its node does not match the required affinity {terms}", True)
    for taint in node.taints:
        if taint.effect in (NO_SCHEDULE, NO_EXECUTE) and not _tolerates(pod.tolerations, taint):
            return Feasibility(False, f"its node has the taint {taint}, which is not tolerated")
    for claim in pod.claims if volumes is not None else ():
        if (problem := _volume_problem((volumes or {}).get(claim), claim, node)) is not None:
            return Feasibility(False, problem)
    return fit(pod.requests, node, requested)


def fit(
    requests: Sequence[tuple[str, int]], node: NodeRules, requested: Amounts = NO_USE
) -> Feasibility:
    """Whether requests fit into what a node has left after `requested`."""
    if node.allocatable is None:
        return FEASIBLE
    for resource, amount in requests:
        total = node.allocatable.get(resource, 0)
        left = total - requested.get(resource, 0)
        if amount > left and amount > 0:
            text = f"the task requests {amount_text(resource, amount)} of {resource}, its node has "
            text += amount_text(resource, max(left, 0))
            return Feasibility(False, f"{text} left" if amount <= total else text, amount > total)
    return FEASIBLE


def amount_text(resource: str, amount: int) -> str:
    """An amount of a resource, in cores or MiB where those are usual."""
    if resource == CPU:
        return f"{amount / 1000:g}"
    return f"{amount / 2**20:.0f} MiB" if amount >= 2**20 else str(amount)


def selects(selector: NodeSelector, labels: Labels, name: str = "") -> bool:
    """Whether one term of a node selector matches a node."""
    return any(_term_matches(term, labels, name) for term in selector)


def _term_matches(term: NodeSelectorTerm, labels: Labels, name: str) -> bool:
    if not term.expressions and not term.fields:
        return False
    fields = {"metadata.name": name} if name else {}
    return all(_matches(item, labels) for item in term.expressions) and all(
        _matches(item, fields) for item in term.fields
    )


def _matches(requirement: LabelRequirement, labels: Labels) -> bool:
    """Whether a label meets a requirement; NotIn and DoesNotExist hold for a missing label."""
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            number, bound = _int64(value), _int64(requirement.values[0])
            if number is None or bound is None:
                return False
            return number > bound if requirement.operator == "Gt" else number < bound
    return False


def _int64(text: str | None) -> int | None:
    """A number as Go's strconv.ParseInt reads it: no spaces, no underscores, 64 bits."""
    sign_less = (text or "").removeprefix("-") if (text or "")[:1] != "+" else (text or "")[1:]
    if text is None or not (sign_less.isascii() and sign_less.isdigit()):
        return None
    return number if (number := int(text)) in INT64 else None


def _tolerates(tolerations: Iterable[Toleration], taint: Taint) -> bool:
    return any(_toleration_matches(toleration, taint) for toleration in tolerations)


def _toleration_matches(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator:
        case "Exists":
            return True
        case "" | "Equal":
            return toleration.value == taint.value
        case "Gt" | "Lt":
            number, bound = _int64(taint.value), _int64(toleration.value)
            if number is None or bound is None:
                return False
            return number > bound if toleration.operator == "Gt" else number < bound
    return False


def _volume_problem(rule: VolumeRule | None, claim: str, node: NodeRules) -> str | None:
    if rule is None:
        return f"volume claim {claim} does not exist"
    if rule.problem:
        return rule.problem
    if rule.selectors is None or any(selects(item, node.labels) for item in rule.selectors):
        return None
    return f"the volume of claim {claim} cannot be used on its node"


# --- reasons ------------------------------------------------------------------------------------

MAX_SHOWN_REASONS = 5
MAX_SHOWN_DEVICES = 3
"""Reasons that a message lists, and devices that it names for each."""


def infeasible_everywhere(
    task: Task,
    devices: Iterable[Device],
    nodes: NodeRulesByName,
    volumes: VolumeRules | None = None,
) -> str | None:
    """Why no device can run `task`, by device; None if one can, or without devices."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for device in devices:
        verdict = check_feasibility(task, device, nodes, volumes)
        if verdict.feasible:
            return None
        reasons[verdict.reason].append(device.id)
    return f"no device can run the task: {'; '.join(reason_texts(reasons))}" if reasons else None


def reason_texts(reasons: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The reasons that hold for most devices, each with some of its devices."""
    most_first = sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))
    for reason, devices in most_first[:MAX_SHOWN_REASONS]:
        hidden = len(devices) - MAX_SHOWN_DEVICES
        others = f" and {hidden} more" if hidden > 0 else ""
        yield f"{', '.join(devices[:MAX_SHOWN_DEVICES])}{others}: {reason}"
    if (hidden := len(most_first) - MAX_SHOWN_REASONS) > 0:
        yield f"and {hidden} more reasons"
