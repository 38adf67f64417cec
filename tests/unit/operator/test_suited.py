"""What no device can run waits behind all others for its pod."""

from typing import Any

import pytest

from acesniper.operator.admission_window import AdmissionWindow
from acesniper.operator.cache import ObjectCache
from builders import make_device_profile, make_itask, make_model_profile, make_node


def make_fleet() -> ObjectCache:
    """Two nodes with a device each, of which one is not ready, and two models."""
    store = ObjectCache()
    store.upsert_node(make_node("n"))
    store.upsert_node(make_node("away", labels={"away": "yes"}, ready=False))
    for node in ("n", "away"):
        profile = make_device_profile(node, node)
        profile["status"]["memoryBytes"] = 1000
        store.upsert_device(profile)
    for name, memory_bytes in (("model", 100), ("large", 2000)):
        model = make_model_profile(name)
        model["status"]["peakMemoryBytes"] = memory_bytes
        store.upsert_model(model)
    return store


def add_task(store: ObjectCache, number: int, name: str, **spec: Any) -> None:  # noqa: ANN401 - any field
    metadata = {"creationTimestamp": f"1970-01-01T00:00:{number:02}Z"}
    status = {"modelProfile": spec.get("model", "model")}
    store.upsert_task(make_itask(name, metadata=metadata, status=status, **spec))


def inside(window: AdmissionWindow) -> set[str]:
    return {key.removeprefix("default/") for key in window.store.tasks if key in window}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"runtime": ["cuda"]}, id="provider"),
        pytest.param({"nodeSelector": {"disk": "fast"}}, id="label"),
        pytest.param({"model": "large"}, id="memory"),
        pytest.param({"nodeSelector": {"away": "yes"}}, id="a node that is not ready"),
    ],
)
def test_what_no_device_can_run_keeps_nobody_out(asked: dict[str, Any]) -> None:
    store = make_fleet()
    for number, name in enumerate(("stuck-1", "stuck-2", "stuck-3")):
        add_task(store, number, name, **asked)
    for number, name in enumerate(("a", "b"), start=3):
        add_task(store, number, name)
    window = AdmissionWindow(store, 2)

    window.refresh(0.0)
    first = inside(window)
    running = {"resourceVersion": "2"}
    store.upsert_task(make_itask("a", status={"phase": "Running"}, metadata=running))
    window.refresh(10.0)

    assert first == {"a", "b"}
    assert inside(window) == {"b", "stuck-1"}, "where there is room, they wait for a device, too"


def test_before_any_device_is_known_the_first_are_inside() -> None:
    store = ObjectCache()
    for number, name in enumerate(("a", "b", "c")):
        add_task(store, number, name)

    assert AdmissionWindow(store, 2).refresh(0.0) == {"default/a", "default/b"}
