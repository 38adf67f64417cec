"""Whether the priority classes that our pods name exist; without them no pod is made."""

from collections.abc import Iterable

from acesniper.cli.doctor.command.finding import Finding
from acesniper.cli.doctor.command.sight import Sight, place


def judge(sight: Sight) -> Iterable[Finding]:
    """Classes that are named and are not there."""
    for workload in sight.parts():
        name = workload["spec"]["template"]["spec"].get("priorityClassName")
        if name and sight.named("priorityclasses", name) is None:
            yield Finding(
                f"it asks for PriorityClass {name}, which is not there: its next pod will be"
                " refused",
                place(workload),
                "make the class again",
                sight.restore(),
            )
