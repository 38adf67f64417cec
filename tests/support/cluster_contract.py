"""Contract of a cluster: the same tests for the real client and for the fake.

A test module inherits from `ClusterContract` and provides `cluster` and `namespace` fixtures.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from acesniper.api.names import API_VERSION, CONFIG_MAPS, MODEL_PROFILES, NODES, PODS
from acesniper.api.objects import Json
from acesniper.domain.errors import Conflict, InvalidInput, NotFound
from acesniper.runtime.client import Cluster, WatchEvent
from builders import SHA256

EVENT_TIMEOUT_S = 30.0
"""Timeout for expected events; only reached when a test fails."""


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> Json:
    metadata = {"name": name, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def model_profile(name: str) -> Json:
    source = {"uri": "https://models.example/m.onnx", "sha256": SHA256}
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelProfile",
        "metadata": {"name": name},
        "spec": {"source": source},
    }


def gated_pod(name: str) -> Json:
    """A gated pod of a scheduler that does not exist."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "schedulerName": "none",
            "schedulingGates": [{"name": "acesniper.io/wait"}],
            "containers": [{"name": "main", "image": "none"}],
        },
    }


async def take(events: AsyncIterator[WatchEvent], count: int) -> list[tuple[str, str]]:
    """The next events as (type, name), without bookmarks."""
    received: list[tuple[str, str]] = []
    async with asyncio.timeout(EVENT_TIMEOUT_S):
        async for event in events:
            if event.type != "BOOKMARK":
                received.append((event.type, event.object["metadata"]["name"]))
            if len(received) == count:
                break
    return received


class ClusterContract:
    """Behaviour that every cluster must have."""

    # --- one object --------------------------------------------------------------------------

    async def test_a_created_object_can_be_read(self, cluster: Cluster, namespace: str) -> None:
        created = await cluster.create(CONFIG_MAPS, config_map("a", colour="red"), namespace)

        obj = await cluster.get(CONFIG_MAPS, "a", namespace)

        assert obj is not None
        assert obj["data"] == {"colour": "red"}
        assert obj["metadata"]["namespace"] == namespace
        assert obj["metadata"]["creationTimestamp"]
        assert obj["metadata"]["uid"] == created["metadata"]["uid"]
        assert obj["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]

    async def test_a_missing_object_is_none(self, cluster: Cluster, namespace: str) -> None:
        assert await cluster.get(CONFIG_MAPS, "nothing", namespace) is None

    async def test_a_name_can_be_used_once(self, cluster: Cluster, namespace: str) -> None:
        await cluster.create(CONFIG_MAPS, config_map("a"), namespace)

        with pytest.raises(Conflict):
            await cluster.create(CONFIG_MAPS, config_map("a"), namespace)

    async def test_an_object_without_a_name_is_rejected(
        self, cluster: Cluster, namespace: str
    ) -> None:
        with pytest.raises(InvalidInput):
            await cluster.create(CONFIG_MAPS, {"metadata": {}}, namespace)

    async def test_a_new_object_of_the_same_name_has_another_uid(
        self, cluster: Cluster, namespace: str
    ) -> None:
        first = await cluster.create(CONFIG_MAPS, config_map("a"), namespace)
        await cluster.delete(CONFIG_MAPS, "a", namespace)

        second = await cluster.create(CONFIG_MAPS, config_map("a"), namespace)

        assert first["metadata"]["uid"] != second["metadata"]["uid"]

    # --- patch -------------------------------------------------------------------------------

    async def test_a_merge_patch_sets_keeps_and_removes(
        self, cluster: Cluster, namespace: str
    ) -> None:
        created = await cluster.create(CONFIG_MAPS, config_map("a", kept="1", gone="2"), namespace)

        patch = {"data": {"gone": None, "new": "3"}}
        changed = await cluster.patch(CONFIG_MAPS, "a", namespace, patch)

        assert changed["data"] == {"kept": "1", "new": "3"}
        version = int(changed["metadata"]["resourceVersion"])
        assert version > int(created["metadata"]["resourceVersion"])

    async def test_a_patch_without_changes_keeps_the_resource_version(
        self, cluster: Cluster, namespace: str
    ) -> None:
        created = await cluster.create(CONFIG_MAPS, config_map("a", colour="red"), namespace)

        same = await cluster.patch(CONFIG_MAPS, "a", namespace, {"data": {"colour": "red"}})

        assert same["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]

    async def test_a_patch_with_an_old_resource_version_conflicts(
        self, cluster: Cluster, namespace: str
    ) -> None:
        created = await cluster.create(CONFIG_MAPS, config_map("a", colour="red"), namespace)
        await cluster.patch(CONFIG_MAPS, "a", namespace, {"data": {"colour": "blue"}})

        version = {"resourceVersion": created["metadata"]["resourceVersion"]}
        with pytest.raises(Conflict):
            await cluster.patch(
                CONFIG_MAPS, "a", namespace, {"metadata": version, "data": {"colour": "green"}}
            )

    async def test_a_patch_with_the_current_resource_version_succeeds(
        self, cluster: Cluster, namespace: str
    ) -> None:
        created = await cluster.create(CONFIG_MAPS, config_map("a", colour="red"), namespace)

        version = {"resourceVersion": created["metadata"]["resourceVersion"]}
        changed = await cluster.patch(
            CONFIG_MAPS, "a", namespace, {"metadata": version, "data": {"colour": "blue"}}
        )

        assert changed["data"] == {"colour": "blue"}

    async def test_a_missing_object_cannot_be_patched(
        self, cluster: Cluster, namespace: str
    ) -> None:
        with pytest.raises(NotFound):
            await cluster.patch(CONFIG_MAPS, "nothing", namespace, {"data": {"a": "b"}})

    async def test_a_status_is_written_by_its_subresource_only(
        self, cluster: Cluster, namespace: str
    ) -> None:
        manifest = model_profile("m") | {"status": {"text": "ignored"}}
        created = await cluster.create(MODEL_PROFILES, manifest, namespace)
        status = {"status": {"text": "read"}, "spec": {"batchSize": 8}}

        plain = await cluster.patch(MODEL_PROFILES, "m", namespace, {"status": {"text": "no"}})
        written = await cluster.patch(MODEL_PROFILES, "m", namespace, status, subresource="status")

        assert "status" not in created
        assert "status" not in plain
        assert written["status"] == {"text": "read"}
        assert written["spec"].get("batchSize", 1) == 1
        assert written["metadata"]["generation"] == created["metadata"]["generation"] == 1

    async def test_a_status_patch_with_an_old_resource_version_conflicts(
        self, cluster: Cluster, namespace: str
    ) -> None:
        created = await cluster.create(MODEL_PROFILES, model_profile("m"), namespace)
        version = {"resourceVersion": created["metadata"]["resourceVersion"]}
        patch = {"metadata": version, "status": {"text": "mine"}}
        await cluster.patch(MODEL_PROFILES, "m", namespace, patch, subresource="status")

        patch = {"metadata": version, "status": {"text": "yours"}}
        with pytest.raises(Conflict):
            await cluster.patch(MODEL_PROFILES, "m", namespace, patch, subresource="status")

    async def test_one_patch_ungates_a_pending_pod_and_sets_its_affinity(
        self, cluster: Cluster, namespace: str
    ) -> None:
        created = await cluster.create(PODS, gated_pod("p"), namespace)
        here = {"key": "metadata.name", "operator": "In", "values": ["some-node"]}
        terms = {"nodeSelectorTerms": [{"matchFields": [here]}]}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": terms}

        opened = await cluster.patch(
            PODS,
            "p",
            namespace,
            {"spec": {"schedulingGates": [], "affinity": {"nodeAffinity": required}}},
        )

        assert created["status"]["phase"] == "Pending"
        assert not opened["spec"].get("schedulingGates")
        assert opened["spec"]["affinity"] == {"nodeAffinity": required}

    # --- delete ------------------------------------------------------------------------------

    async def test_delete_returns_whether_the_object_existed(
        self, cluster: Cluster, namespace: str
    ) -> None:
        await cluster.create(CONFIG_MAPS, config_map("a"), namespace)

        assert await cluster.delete(CONFIG_MAPS, "a", namespace) is True
        assert await cluster.delete(CONFIG_MAPS, "a", namespace) is False
        assert await cluster.get(CONFIG_MAPS, "a", namespace) is None

    async def test_a_delete_with_another_uid_conflicts(
        self, cluster: Cluster, namespace: str
    ) -> None:
        await cluster.create(CONFIG_MAPS, config_map("a"), namespace)

        with pytest.raises(Conflict):
            await cluster.delete(CONFIG_MAPS, "a", namespace, uid="another")

        assert await cluster.get(CONFIG_MAPS, "a", namespace) is not None

    async def test_a_delete_with_the_uid_of_the_object_succeeds(
        self, cluster: Cluster, namespace: str
    ) -> None:
        created = await cluster.create(CONFIG_MAPS, config_map("a"), namespace)

        assert await cluster.delete(CONFIG_MAPS, "a", namespace, uid=created["metadata"]["uid"])
        assert await cluster.get(CONFIG_MAPS, "a", namespace) is None

    async def test_a_pod_that_never_ran_is_deleted_immediately(
        self, cluster: Cluster, namespace: str
    ) -> None:
        await cluster.create(PODS, gated_pod("p"), namespace)

        assert await cluster.delete(PODS, "p", namespace)

        assert await cluster.get(PODS, "p", namespace) is None

    async def test_a_delete_with_an_old_resource_version_conflicts(
        self, cluster: Cluster, namespace: str
    ) -> None:
        created = await cluster.create(CONFIG_MAPS, config_map("a"), namespace)
        version = created["metadata"]["resourceVersion"]
        await cluster.patch(CONFIG_MAPS, "a", namespace, {"data": {"changed": "yes"}})

        with pytest.raises(Conflict):
            await cluster.delete(CONFIG_MAPS, "a", namespace, version=version)

        assert await cluster.get(CONFIG_MAPS, "a", namespace) is not None

    # --- lists and watches -------------------------------------------------------------------

    async def test_a_list_selects_by_namespace_and_labels(
        self, cluster: Cluster, namespace: str
    ) -> None:
        await cluster.create(CONFIG_MAPS, config_map("a", {"x/y": "1"}), namespace)
        await cluster.create(CONFIG_MAPS, config_map("b", {"x/y": "2"}), namespace)
        await cluster.create(CONFIG_MAPS, config_map("c"), namespace)

        async def names(labels: str) -> set[str]:
            objects, _ = await cluster.list(CONFIG_MAPS, namespace, labels)
            return {obj["metadata"]["name"] for obj in objects}

        assert {"a", "b", "c"} <= await names("")
        assert await names("x/y") == {"a", "b"}
        assert await names("x/y=2") == {"b"}

    async def test_a_list_of_all_namespaces_contains_every_namespace(
        self, cluster: Cluster, namespace: str
    ) -> None:
        await cluster.create(CONFIG_MAPS, config_map("a"), namespace)

        objects, _ = await cluster.list(CONFIG_MAPS)

        assert (namespace, "a") in {
            (obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in objects
        }

    async def test_a_list_of_cluster_objects_needs_no_namespace(self, cluster: Cluster) -> None:
        objects, version = await cluster.list(NODES)

        assert isinstance(objects, list)
        assert int(version) >= 0

    async def test_a_watch_reports_the_changes_since_the_list(
        self, cluster: Cluster, namespace: str
    ) -> None:
        await cluster.create(CONFIG_MAPS, config_map("before"), namespace)
        _, version = await cluster.list(CONFIG_MAPS, namespace)
        await cluster.create(CONFIG_MAPS, config_map("a"), namespace)
        await cluster.patch(CONFIG_MAPS, "a", namespace, {"data": {"b": "c"}})
        await cluster.delete(CONFIG_MAPS, "a", namespace)

        events = await take(cluster.watch(CONFIG_MAPS, version, namespace), 3)

        assert events == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]

    async def test_a_watch_waits_for_the_next_change(
        self, cluster: Cluster, namespace: str
    ) -> None:
        _, version = await cluster.list(CONFIG_MAPS, namespace)
        watching = asyncio.create_task(take(cluster.watch(CONFIG_MAPS, version, namespace), 1))

        await cluster.create(CONFIG_MAPS, config_map("a"), namespace)

        assert await watching == [("ADDED", "a")]

    async def test_a_watch_resumes_from_any_event(self, cluster: Cluster, namespace: str) -> None:
        _, version = await cluster.list(CONFIG_MAPS, namespace)
        first = await cluster.create(CONFIG_MAPS, config_map("a"), namespace)
        await cluster.create(CONFIG_MAPS, config_map("b"), namespace)

        seen = first["metadata"]["resourceVersion"]
        events = await take(cluster.watch(CONFIG_MAPS, seen, namespace), 1)

        assert int(seen) > int(version)
        assert events == [("ADDED", "b")]

    async def test_a_watch_with_labels_reports_objects_that_stop_matching(
        self, cluster: Cluster, namespace: str
    ) -> None:
        _, version = await cluster.list(CONFIG_MAPS, namespace)
        await cluster.create(CONFIG_MAPS, config_map("other"), namespace)
        await cluster.create(CONFIG_MAPS, config_map("a", {"x/y": "1"}), namespace)
        labels = {"metadata": {"labels": {"x/y": None}}}
        await cluster.patch(CONFIG_MAPS, "a", namespace, labels)

        events = await take(cluster.watch(CONFIG_MAPS, version, namespace, "x/y"), 2)

        assert events == [("ADDED", "a"), ("DELETED", "a")]
