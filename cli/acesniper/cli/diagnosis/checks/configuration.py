"""Whether our kube-scheduler is told to ask the extender."""

from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from acesniper.api.names import SCHEDULER_NAME
from acesniper.api.objects import Json, namespaced_key
from acesniper.api.scheduler_config import SchedulerConfig
from acesniper.cli.doctor.command.finding import Finding
from acesniper.cli.doctor.command.sight import Sight, container, place

FILE = "scheduler.yaml"
VOLUME = "config"
"""The pod's volume with it."""
PORT = "ACESNIPER_PORT"


def judge(sight: Sight) -> Iterable[Finding]:
    """What the configuration lacks; a scheduler that is not ours is not looked at."""
    workload = sight.part("scheduler")
    if workload is None or not sight.own_scheduler:
        return
    name = _config_map(workload)
    found = sight.named("configmaps", name, workload["metadata"]["namespace"])
    mend = ("write the chart's configuration, and restart the scheduler", _mended(workload, sight))
    if found is None or FILE not in (found.get("data") or {}):
        where = f"ConfigMap {namespaced_key(workload['metadata']['namespace'], name)}"
        yield Finding("the configuration of kube-scheduler is missing", where, *mend)
        return
    for what in _mistakes(found["data"][FILE], workload):
        yield Finding(what, place(found), *mend)


def _mistakes(text: str, workload: Json) -> Iterator[str]:
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        yield f"it is not YAML: {' '.join(str(error).split())}"
        return
    if not isinstance(config, dict):
        yield "it is empty, or something else than a configuration"
        return
    profiles = {each.get("schedulerName"): each for each in _objects(config.get("profiles"))}
    if (profile := profiles.get(SCHEDULER_NAME)) is None:
        yield f"there is no profile for pods that ask for {SCHEDULER_NAME}"
    elif profile.get("percentageOfNodesToScore") != 100:
        yield "only a sample of the nodes is scored: percentageOfNodesToScore is not 100"
    yield from _extender(_objects(config.get("extenders")), workload)


def _objects(listed: object) -> list[dict[str, Any]]:
    """What of a list are objects, as everything in it should be."""
    items = listed if isinstance(listed, list) else []
    return [each for each in items if isinstance(each, dict)]


def _extender(extenders: list[dict[str, Any]], workload: Json) -> Iterator[str]:
    if not extenders:
        yield "no extender is named: tasks go where the stock scheduler would put them"
        return
    found, (wanted,) = extenders[0], SchedulerConfig().manifest()["extenders"]
    url = str(found.get("urlPrefix", ""))
    if not url.endswith(f":{_port(workload)}"):
        yield f"it asks {url}, the extender listens on port {_port(workload)}"
    for field in ("filterVerb", "prioritizeVerb", "nodeCacheCapable", "ignorable", "weight"):
        if found.get(field) != wanted[field]:
            yield f"extenders[0].{field} is {found.get(field)!r}, not {wanted[field]!r}"


def _config_map(workload: Json) -> str:
    for each in workload["spec"]["template"]["spec"].get("volumes") or ():
        if each["name"] == VOLUME and "configMap" in each:
            return str(each["configMap"]["name"])
    return "acesniper-scheduler"


def _port(workload: Json) -> str:
    env = (container(workload, "extender") or {}).get("env") or ()
    return next(
        (str(each["value"]) for each in env if each["name"] == PORT and "value" in each), "8780"
    )


def _mended(workload: Json, sight: Sight) -> str:
    metadata = workload["metadata"]
    restart = f"kubectl rollout restart deployment {metadata['name']}"
    return f"{sight.restore()} && {restart} --namespace {metadata['namespace']}"
