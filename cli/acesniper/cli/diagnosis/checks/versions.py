"""Whether the images, kube-scheduler, the API server and this command go together."""

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import version

from acesniper.cli.doctor.command.finding import Finding, Severity
from acesniper.cli.doctor.command.sight import Sight, container, containers, place

OLDEST = (1, 33)
"""Kubernetes that Ace-Sniper needs."""
RUNNER = "ACESNIPER_RUNNER_IMAGE"


def judge(sight: Sight) -> Iterable[Finding]:
    """Versions that differ where they must not."""
    yield from _server(sight)
    yield from _images(sight)
    yield from _scheduler(sight)


def tag(image: str) -> str:
    """The tag of an image; empty where a digest or nothing stands there."""
    name = image.partition("@")[0].rpartition("/")[2]
    return "" if "@" in image else name.partition(":")[2]


def minor(text: str) -> tuple[int, int] | None:
    """`v1.36.1+k3s1` as (1, 36)."""
    found = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _server(sight: Sight) -> Iterator[Finding]:
    found = minor(sight.server_version)
    if found is not None and found < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield Finding(
            f"Kubernetes is {sight.server_version}; scheduling gates and the admission policy need"
            f" {oldest} or newer",
            "the API server",
            "upgrade the cluster",
        )


def _images(sight: Sight) -> Iterator[Finding]:
    tags: dict[str, str] = {}
    for workload in sight.parts():
        for each in containers(workload):
            if each["name"] == "kube-scheduler":
                continue
            tags[each["name"]] = tag(each["image"])
            for variable in each.get("env") or ():
                if variable["name"] == RUNNER:
                    tags["runner"] = tag(variable.get("value", ""))
    seen = {each for each in tags.values() if each}
    shown = ", ".join(f"{name} {each}" for name, each in sorted(tags.items()) if each)
    if len(seen) > 1:
        yield Finding(
            f"the parts have different versions: {shown}",
            f"namespace {sight.namespace}",
            "put back what the release says, if somebody changed one; else upgrade the release",
            sight.restore(),
        )
    elif seen and (own := version("acesniper")) not in seen:
        yield Finding(
            f"this command is {own}, the cluster runs {seen.pop()}",
            "this command",
            "install the version of the cluster; what is below may be judged by other rules",
            severity=Severity.WARNING,
        )


def _scheduler(sight: Sight) -> Iterator[Finding]:
    workload = sight.part("scheduler")
    found = container(workload, "kube-scheduler") if workload else None
    server = minor(sight.server_version)
    if workload is None or found is None or server is None:
        return
    ours = minor(tag(found["image"]))
    if ours is not None and not 0 <= server[1] - ours[1] <= 1:
        yield Finding(
            f"kube-scheduler is {tag(found['image'])}, the API server {sight.server_version}: it"
            " may be the same minor version or one older",
            place(workload),
            "put back what the release says, if somebody changed it; else upgrade with"
            " scheduler.image.tag empty",
            sight.restore(),
        )
