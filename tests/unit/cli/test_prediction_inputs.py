from pathlib import Path
from typing import Any

import pytest

from acesniper.api.names import DEVICE_PROFILES, MODEL_PROFILES, Kind
from acesniper.cli.connection import Connection
from acesniper.cli.prediction_inputs import load_devices, load_model
from acesniper.domain.errors import InvalidInput
from builders import make_device_profile, make_model_profile
from fake_cluster import FakeCluster
from small_models import linear_model, save

EXAMPLES = Path(__file__).parents[3] / "examples/devices"


class InMemoryConnection(Connection):
    """A connection to a cluster in memory."""

    cluster: FakeCluster

    def run(self, request: Any) -> Any:  # noqa: ANN401 - as the base's
        import asyncio

        return asyncio.run(request(self.cluster))


@pytest.fixture
def connection() -> InMemoryConnection:
    connection = InMemoryConnection()
    object.__setattr__(connection, "cluster", FakeCluster())
    return connection


async def _put(
    cluster: FakeCluster, profile: dict[str, Any], kind: Kind, namespace: str | None
) -> None:
    name = profile["metadata"]["name"]
    await cluster.create(kind, profile, namespace)
    await cluster.patch(kind, name, namespace, {"status": profile["status"]}, "status")


def test_files_need_no_cluster() -> None:
    devices = load_devices([str(EXAMPLES / "ort-1t.yaml"), str(EXAMPLES)], Connection())

    assert "ort-1t" in devices
    assert len(devices) == len(list(EXAMPLES.glob("*.yaml")))


def test_without_names_all_measured_devices_of_the_cluster_are_loaded(
    connection: InMemoryConnection,
) -> None:
    measured = make_device_profile("a")
    measured["status"]["intervalFactor"] = 1.5
    connection.run(lambda cluster: _put(cluster, measured, DEVICE_PROFILES, None))
    new = make_device_profile("new") | {"status": {}}
    connection.run(lambda cluster: _put(cluster, new, DEVICE_PROFILES, None))

    assert list(load_devices([], connection)) == ["a"]
    assert load_devices(["a"], connection)["a"].interval_factor == 1.5
    with pytest.raises(InvalidInput, match="DeviceProfile new has no measurement"):
        load_devices(["new"], connection)


def test_an_unknown_name_is_an_input_error(connection: InMemoryConnection) -> None:
    with pytest.raises(InvalidInput, match="'unknown' is neither a file nor a DeviceProfile"):
        load_devices(["unknown"], connection)
    with pytest.raises(InvalidInput, match="'unknown' is neither a file nor a ModelProfile"):
        load_model("unknown", 1, {}, "default", connection)


def test_a_model_profile_has_its_own_batch_and_shapes(connection: InMemoryConnection) -> None:
    profile = make_model_profile("net")
    connection.run(lambda cluster: _put(cluster, profile, MODEL_PROFILES, "default"))

    features = load_model("net", 1, {}, "default", connection)

    assert features.values == profile["status"]["features"]
    with pytest.raises(InvalidInput, match="--batch and --shape do not apply"):
        load_model("net", 4, {}, "default", connection)


def test_a_model_that_is_not_profiled_is_an_input_error(connection: InMemoryConnection) -> None:
    profile = make_model_profile("net") | {"status": {}}
    connection.run(lambda cluster: _put(cluster, profile, MODEL_PROFILES, "default"))

    with pytest.raises(InvalidInput, match="is not profiled: the operator did not reconcile it"):
        load_model("net", 1, {}, "default", connection)


def test_a_file_is_read_with_its_batch(tmp_path: Path) -> None:
    path = save(linear_model(), tmp_path / "linear.onnx")

    features = load_model(str(path), 16, {}, None, Connection())

    assert features.flops == 2 * 16 * 8 * 4
