"""The checks: each a module with a function from the sight to what is wrong."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from acesniper.cli.doctor.command.checks import (
    admission,
    clocks,
    configuration,
    definitions,
    devices,
    extender,
    leases,
    models,
    parts,
    priorities,
    rights,
    tasks,
    versions,
)
from acesniper.cli.doctor.command.finding import Finding, Severity
from acesniper.cli.doctor.command.sight import Sight


@dataclass(frozen=True, slots=True)
class Check:
    """A question, and the kinds that must have been seen to answer it."""

    name: str
    question: str
    judge: Callable[[Sight], Iterable[Finding]]
    needs: tuple[str, ...] = ()


_PARTS = ("deployments", "daemonsets")

FIRST = Check("parts", "the parts run", parts.judge, (*_PARTS, "pods"))
ALL: Sequence[Check] = (
    FIRST,
    Check("versions", "versions go together", versions.judge, _PARTS),
    Check(
        "definitions",
        "the resources are those of this version",
        definitions.judge,
        ("customresourcedefinitions",),
    ),
    Check("rights", "every part may do what it must", rights.judge, _PARTS),
    Check(
        "configuration",
        "kube-scheduler asks the extender",
        configuration.judge,
        (*_PARTS, "configmaps"),
    ),
    Check("leases", "planner and scheduler are at work", leases.judge, (*_PARTS, "leases")),
    Check("extender", "the extender's watches are fresh", extender.judge),
    Check("priorities", "priority classes exist", priorities.judge, (*_PARTS, "priorityclasses")),
    Check(
        "admission",
        "a node's probe writes its own profile only",
        admission.judge,
        (*_PARTS, "validatingadmissionpolicies", "validatingadmissionpolicybindings"),
    ),
    Check(
        "devices",
        "nodes are measured, and lately",
        devices.judge,
        (*_PARTS, "nodes", "deviceprofiles"),
    ),
    Check("models", "models can be used", models.judge, ("modelprofiles",)),
    Check("tasks", "tasks are looked after", tasks.judge, ("inferencetasks",)),
    Check("clocks", "clocks agree", clocks.judge, ("leases",)),
)
"""In the order in which one would mend things."""


def examine(sight: Sight) -> list[Finding]:
    """What all checks find; a check that cannot see what it needs says so.

    Where nothing is installed, there is nothing else to say.
    """
    found = []
    for check in asked(sight):
        hidden = [kind for kind in check.needs if kind in sight.unseen]
        judged = _unseen(hidden) if hidden else check.judge(sight)
        found += [replace(each, check=check.name) for each in judged]
    return found


def asked(sight: Sight) -> Sequence[Check]:
    """The checks that have something to look at."""
    hidden = any(kind in sight.unseen for kind in _PARTS)
    return ALL if hidden or any(sight.parts()) else (FIRST,)


def _unseen(kinds: Sequence[str]) -> list[Finding]:
    return [
        Finding(
            f"not checked: you may not list {', '.join(kinds)}",
            "your user",
            "ask somebody who may, or for the right to",
            severity=Severity.WARNING,
        )
    ]
