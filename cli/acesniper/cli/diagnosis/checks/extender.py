"""Whether what the extender sees is fresh; asked only where it lets itself be asked."""

from collections.abc import Iterable, Iterator

from acesniper.api.units import duration_text
from acesniper.cli.doctor.command.finding import Finding
from acesniper.cli.doctor.command.sight import Sight

DEAF_S = 180.0
"""The API server writes to every watch once a minute, and one that is silent for 90 s is opened
anew. After 300 s the kubelet starts the extender anew, and nothing is to be seen any more."""
WATCH_AGE = "acesniper_watch_event_age_seconds"


def judge(sight: Sight) -> Iterable[Finding]:
    """Watches that fell silent."""
    for kind, age_s in samples(sight.metrics or "", WATCH_AGE):
        if age_s > DEAF_S:
            yield Finding(
                f"it has heard nothing of {kind} for {duration_text(age_s)}",
                "the extender",
                "start it anew, and look at what lies between its node and the API server",
                f"kubectl rollout restart deployment {sight.release}-scheduler"
                f" --namespace {sight.namespace}",
            )


def samples(text: str, name: str) -> Iterator[tuple[str, float]]:
    """The label's value and the number of every sample of a metric with one label."""
    for line in text.splitlines():
        if line.startswith(f"{name}{{"):
            labels, _, value = line.rpartition(" ")
            yield labels.partition('"')[2].partition('"')[0], float(value)
