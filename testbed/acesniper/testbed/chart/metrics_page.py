"""docs/reference/metrics.md: what each part declares, and how many series that makes."""

from collections.abc import Mapping, Sequence

from acesniper.extender import metrics as extender
from acesniper.operator import metrics as operator
from acesniper.runtime.metrics import Declaration, Label

PARTS: Mapping[str, Sequence[Declaration]] = {
    "Extender and planner": extender.declarations(),
    "Operator": operator.declarations(),
}
LARGE: Mapping[str, int] = {
    "device": 5000,
    "model": 1000,
    "provider": 8,
    "reason": 40,
}
"""What the number of series is stated for. Reasons are words in our code and in Kubernetes'."""
HEAD = """# Metrics

Generated from what the parts declare (`make generate`); do not edit. Names and units follow
Prometheus' rules: base units, `_total` for what only grows. Extender and operator each have a
`/metrics` of their own ([monitoring](../guide/monitoring.md)).

Labels have a known set of values, or one for each device, model, runtime provider or reason. The
last column is how many series a metric has at most with {device:,} devices, {model:,} models,
{provider} providers and {reason} reasons: **{total:,}** in all.
"""


def all_declarations() -> list[Declaration]:
    """Those of all parts."""
    return [each for part in PARTS.values() for each in part]


def metrics_page() -> str:
    """The page."""
    total = sum(each.series(LARGE) for each in all_declarations())
    lines = [HEAD.format(**LARGE, total=total)]
    for part, declared in PARTS.items():
        lines += [f"## {part}", ""]
        lines += [
            "| metric | type | unit | labels | what it tells | series |",
            "|---|---|---|---|---|---:|",
        ]
        lines += [_row(each) for each in declared]
        lines.append("")
    return "\n".join(lines)


def _row(each: Declaration) -> str:
    labels = "; ".join(_label(label) for label in each.labels)
    kind = each.kind.__name__.lower()
    text = each.help.replace("|", r"\|")
    return f"| `{each.shown}` | {kind} | {each.unit} | {labels} | {text} | {each.series(LARGE):,} |"


def _label(label: Label) -> str:
    if label.per:
        return f"`{label.name}`: one per {label.per}"
    return f"`{label.name}`: " + ", ".join(each or "(none)" for each in label.values)
