"""Models that only a pod can access: its manifest, its message and the profile's status."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from acesniper.api import messages
from acesniper.api.names import MODEL_PROFILES, PODS
from acesniper.api.objects import Json
from acesniper.api.v1alpha1 import (
    Condition,
    ModelProfile,
    ModelProfileSpec,
    condition_is_true,
    find_condition,
)
from acesniper.domain.errors import Forbidden, InvalidModel, Unavailable
from acesniper.domain.model import ModelFeatures
from acesniper.operator.cache import ObjectCache
from acesniper.operator.metrics import OperatorMetrics
from acesniper.operator.model_fetcher import ModelFetcher
from acesniper.operator.model_profiles import POD_READS_S, ModelReconciler
from acesniper.operator.model_readers import ModelReaderPods
from acesniper.operator.model_reading import ModelReading
from acesniper.predictor.factory import default_predictor
from acesniper.runtime.events import EventRecorder
from builders import SHA256, make_model_profile
from fake_cluster import Call, FakeCluster
from virtual_time import Clock

FOUND = ModelFeatures("1", {"gemm.flops": 1.0}, 2e9, 1e6, 10**6, 2**20, {"Conv": 1}, {})


def must_not_read(path: Path, spec: ModelProfileSpec) -> ModelFeatures:
    raise AssertionError("the operator itself cannot get at it")


class World:
    """A model behind a Secret, and the reconciler."""

    def __init__(self, uri: str = "s3://models/net.onnx", secret: str | None = "keys") -> None:
        self.cluster = FakeCluster()
        profile = make_model_profile(work=None, uri=uri, sha256=SHA256)
        if secret:
            profile["spec"]["source"]["secret"] = secret
        self.cluster.put(MODEL_PROFILES, profile)
        self.restart()

    def restart(self) -> None:
        self.store = ObjectCache()
        self.reconciler = ModelReconciler(
            self.cluster,
            self.store,
            ModelReading(
                ModelFetcher(self.cluster, 100, 1.0),
                must_not_read,
                ModelReaderPods(self.cluster, "runner:1", features_version="1"),
            ),
            "1",
            OperatorMetrics.on(CollectorRegistry()),
            EventRecorder(self.cluster, "test"),
            default_predictor(),
            Clock(5.0),
        )

    async def reconcile(self) -> float | None:
        for obj in self.cluster.all(MODEL_PROFILES):
            self.store.upsert_model(obj)
        return await self.reconciler.reconcile("default/model")

    @property
    def pod(self) -> Json:
        (pod,) = self.cluster.all(PODS)
        return pod

    def ends(self, message: str, phase: str = "Succeeded") -> None:
        terminated = {"message": message, "exitCode": 0 if phase == "Succeeded" else 137}
        state = {"name": "runner", "state": {"terminated": terminated}}
        status = {"phase": phase, "containerStatuses": [state]}
        self.cluster.change(PODS, self.pod["metadata"]["name"], "default", {"status": status})

    @property
    def profile(self) -> ModelProfile:
        return ModelProfile.model_validate(self.cluster.one(MODEL_PROFILES, "model", "default"))

    @property
    def condition(self) -> Condition:
        found = find_condition(self.profile.status.conditions, "Profiled")
        assert found is not None
        return found


@pytest.mark.parametrize(
    ("uri", "secret"),
    [("s3://models/net.onnx", "keys"), ("pvc://claim/m", None), ("hostpath:///srv/m", None)],
)
async def test_a_pod_reads_models_that_the_operator_cannot_access(
    uri: str, secret: str | None
) -> None:
    world = World(uri, secret)

    again_s = await world.reconcile()
    await world.reconcile()
    waiting = world.condition
    world.ends(messages.pack_features(FOUND))
    await world.reconcile()

    assert again_s == POD_READS_S
    assert (waiting.status, waiting.reason) == ("False", "Reading")
    assert condition_is_true(world.profile.status.conditions, "Profiled")
    assert world.profile.status.features["gemm.flops"] == 1.0
    assert world.cluster.all(PODS) == []


async def test_the_pod_has_no_permissions_and_only_the_secret() -> None:
    world = World()

    await world.reconcile()

    spec: dict[str, Any] = world.pod["spec"]
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["args"][:2] == ["model", "read"]
    assert "env" not in container
    assert {"secretName": "keys", "optional": True} in [
        volume.get("secret") for volume in spec["volumes"]
    ]


async def test_a_model_that_the_pod_rejects_is_unsupported() -> None:
    world = World()
    await world.reconcile()
    world.ends(messages.pack_error(InvalidModel("DigestMismatch", "another one")), "Failed")

    await world.reconcile()

    assert condition_is_true(world.profile.status.conditions, "Unsupported")
    assert (world.condition.reason, world.condition.message) == ("DigestMismatch", "another one")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (messages.pack_error(Unavailable("s3://models responds 403")), "responds 403"),
        ("Killed", "137"),
    ],
    ids=["store", "killed"],
)
async def test_a_model_that_cannot_be_fetched_now_is_retried(message: str, expected: str) -> None:
    world = World()
    await world.reconcile()
    world.ends(message, "Failed")

    with pytest.raises(Unavailable, match=expected):
        await world.reconcile()
    failed = world.condition
    await world.reconcile()

    assert failed.reason == "FetchFailed"
    assert world.pod["status"]["phase"] == "Pending"


async def test_a_rejected_reader_pod_is_reported() -> None:
    world = World("hostpath:///srv/m", None)

    def refuse(call: Call) -> None:
        if call.verb == "create" and call.kind == PODS:
            raise Forbidden('violates PodSecurity "restricted"')

    world.cluster.before = refuse
    with pytest.raises(Forbidden):
        await world.reconcile()

    assert "violates PodSecurity" in world.condition.message


async def test_a_tenants_pod_of_the_readers_name_supplies_no_features() -> None:
    """The reader is deleted, and a pod of the same name reports features of its own."""
    world = World()
    await world.reconcile()
    forged = {**world.pod, "metadata": {**world.pod["metadata"], "uid": "forged"}}
    world.cluster.remove(PODS, world.pod["metadata"]["name"], "default")
    world.cluster.put(PODS, forged)
    world.ends(messages.pack_features(FOUND))

    await world.reconcile()
    await world.reconcile()

    assert world.condition.reason == "Reading"
    assert world.profile.status.features == {}
    pods = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in world.cluster.all(PODS)}
    assert len(set(pods.values())) == 2
    assert "forged" in pods


async def test_a_restarted_operator_takes_over_its_pod() -> None:
    world = World()
    await world.reconcile()
    world.restart()

    await world.reconcile()
    world.ends(messages.pack_features(FOUND))
    await world.reconcile()

    assert condition_is_true(world.profile.status.conditions, "Profiled")
    assert world.profile.status.reader_pod is None
    assert sum(call.verb == "create" and call.kind == PODS for call in world.cluster.calls) == 1


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1/m", "oci://10.0.0.1/m", "http://[fe80::1]/m"])
async def test_a_pod_reads_what_the_operator_does_not_connect_to(uri: str) -> None:
    world = World(uri, None)

    await world.reconcile()
    await world.reconcile()
    world.ends(messages.pack_features(FOUND))
    await world.reconcile()

    assert condition_is_true(world.profile.status.conditions, "Profiled")
