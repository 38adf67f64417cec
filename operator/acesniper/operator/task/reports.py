"""Reports of finished pods: who measured them, and whether they are possible. Pure functions.

A task's own container writes any termination message. Predictions of others may only learn from
what our runner measured, and no prediction learns from times longer than the container ran.
"""

from collections.abc import Mapping
from typing import Any, Literal

from acesniper.api.messages import TaskReport, parse_report, terminated_state
from acesniper.api.names import RUNNER_CONTAINER
from acesniper.api.units import epoch_s
from acesniper.api.v1alpha1 import InferenceTask

Manifest = Mapping[str, Any]

REPORT_SLACK_S = 2.0
"""By how much reported times may exceed those of the container, which are whole seconds."""


def reporter(
    task: InferenceTask, pod: Manifest, image: str, node: Manifest | None = None
) -> Literal["Runner", "Container"]:
    """What wrote the report of a task's pod: our runner in `image`, or any other container.

    A pod's image can be changed until it starts, and back afterwards: what ran is in its status.
    A container that a debugging session adds can write the report of another one. `node` is the
    pod's.
    """
    spec = pod.get("spec") or {}
    runner = _named(spec.get("containers"))
    ran = _named((pod.get("status") or {}).get("containerStatuses"))
    is_runner = (
        not task.spec.template
        and runner.get("image") == image
        and not runner.get("command")
        and not spec.get("ephemeralContainers")
        and _is_image(ran, image, node or {})
    )
    return "Runner" if is_runner else "Container"


def _named(containers: object) -> Manifest:
    for container in containers if isinstance(containers, list) else ():
        if container.get("name") == RUNNER_CONTAINER:
            found: Manifest = container
            return found
    return {}


def _is_image(status: Manifest, image: str, node: Manifest) -> bool:
    """Whether a container's status says that it ran this image.

    Runtimes report any name of an image that has several, and none of one that is pinned by digest:
    the node lists the names and digests that belong to one image.
    """
    image_id = str(status.get("imageID", "")).rpartition("://")[2]
    ran = {_full_name(str(status.get("image", ""))), image_id.partition("@")[2]} - {""}
    wanted = {image.partition("@")[2] or _full_name(image)}
    if wanted & ran:
        return True
    for listed in (node.get("status") or {}).get("images") or ():
        names = {
            str(name).partition("@")[2] or _full_name(str(name))
            for name in listed.get("names") or ()
        }
        if names & wanted and names & ran:
            return True
    return False


def _full_name(image: str) -> str:
    """The name of an image with registry and tag, as container runtimes report it."""
    host, slash, _ = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif "." not in host and ":" not in host and host != "localhost":
        image = f"docker.io/{image}"
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


def read_report(pod: Manifest) -> TaskReport | None:
    """The report of a finished pod, without impossible times; None without a valid report."""
    report = parse_report(str(terminated_state(pod).get("message", "")))
    return None if report is None else possible_report(report, pod)


def possible_report(report: TaskReport, pod: Manifest) -> TaskReport:
    """The report without times that are impossible: longer than its container ran.

    At least half of the inferences take the median or longer, and a tenth the 90th percentile.
    """
    ran_s = _ran_s(pod)
    if ran_s is None:
        return report
    count = max(report.inferences, 1)
    least_s = max(
        (report.latency_median_s or 0.0) * max(count / 2, 1.0),
        (report.latency_p90_s or 0.0) * max(count / 10, 1.0),
        (report.fetch_s or 0.0) + (report.load_s or 0.0),
    )
    if least_s <= ran_s + REPORT_SLACK_S:
        return report
    impossible = ("latency_median_s", "latency_p90_s", "fetch_s", "load_s", "total_s")
    return report.model_copy(update=dict.fromkeys(impossible))


def _ran_s(pod: Manifest) -> float | None:
    """Seconds from the start to the end of the container, by its kubelet; None if unknown.

    Some runtimes lose the start, and the clock of a node may be set while the container runs.
    """
    state = terminated_state(pod)
    started, finished = state.get("startedAt"), state.get("finishedAt")
    if not started or not finished:
        return None
    ran_s = epoch_s(finished) - epoch_s(started)
    return ran_s if ran_s >= 0 else None
