from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acesniper.api.names import DEVICE_PROFILES, MODEL_PROFILES, Kind
from acesniper.cli import prediction_inputs
from acesniper.cli.connection import Connection
from acesniper.domain.errors import InvalidInput
from acesniper.predictor.base import Observation
from builders import make_device_profile, make_model_profile
from fake_cluster import FakeCluster
from small_models import features_of, linear_model, save

EXAMPLES = Path(__file__).parents[3] / "examples/devices"


class Asked(Connection):
    """A connection to a cluster in memory."""

    cluster: FakeCluster

    def ask(self, question: Any) -> Any:  # noqa: ANN401 - as the base's
        import asyncio

        return asyncio.run(question(self.cluster))


@pytest.fixture
def connection() -> Asked:
    found = Asked()
    object.__setattr__(found, "cluster", FakeCluster())
    return found


async def _put(
    cluster: FakeCluster, profile: dict[str, Any], kind: Kind, namespace: str | None
) -> None:
    name = profile["metadata"]["name"]
    await cluster.create(kind, profile, namespace)
    await cluster.patch(kind, name, namespace, {"status": profile["status"]}, "status")


def test_files_need_no_cluster() -> None:
    found = prediction_inputs.devices([str(EXAMPLES / "ort-1t.yaml"), str(EXAMPLES)], Connection())

    assert "ort-1t" in found
    assert len(found) == len(list(EXAMPLES.glob("*.yaml")))


def test_all_measured_devices_of_a_cluster_are_taken_where_none_is_named(connection: Asked) -> None:
    known = make_device_profile("a")
    known["status"]["intervalFactor"] = 1.5
    connection.ask(lambda it: _put(it, known, DEVICE_PROFILES, None))
    new = make_device_profile("new") | {"status": {}}
    connection.ask(lambda it: _put(it, new, DEVICE_PROFILES, None))

    assert list(prediction_inputs.devices([], connection)) == ["a"]
    named = prediction_inputs.devices(["a"], connection)["a"]
    assert named.interval_factor == 1.5
    assert named.asked_for(features_of(linear_model())).interval_factor == 1.5
    with pytest.raises(InvalidInput, match="DeviceProfile new was not measured yet"):
        prediction_inputs.devices(["new"], connection)


def test_a_name_that_nothing_has_is_told(connection: Asked) -> None:
    with pytest.raises(InvalidInput, match="neither a file nobody nor a DeviceProfile"):
        prediction_inputs.devices(["nobody"], connection)
    with pytest.raises(InvalidInput, match="neither a file nobody nor a ModelProfile"):
        prediction_inputs.model("nobody", 1, {}, "default", connection)


def test_a_model_of_the_cluster_brings_its_features_batch_and_shapes(connection: Asked) -> None:
    profile = make_model_profile("net")
    connection.ask(lambda it: _put(it, profile, MODEL_PROFILES, "default"))

    found = prediction_inputs.model("net", 1, {}, "default", connection)

    assert found.values == profile["status"]["features"]
    with pytest.raises(InvalidInput, match="leave out --batch and --shape"):
        prediction_inputs.model("net", 4, {}, "default", connection)


def test_a_model_that_was_not_read_is_told_with_the_reason(connection: Asked) -> None:
    profile = make_model_profile("net") | {"status": {}}
    connection.ask(lambda it: _put(it, profile, MODEL_PROFILES, "default"))

    with pytest.raises(InvalidInput, match="was not read yet: the operator has not looked at it"):
        prediction_inputs.model("net", 1, {}, "default", connection)


def test_a_file_is_read_with_its_batch(tmp_path: Path) -> None:
    path = save(linear_model(), tmp_path / "linear.onnx")

    found = prediction_inputs.model(str(path), 16, {}, None, Connection())

    assert found.flops == 2 * 16 * 8 * 4


def test_a_run_of_the_model_asked_for_is_known_as_such() -> None:
    features, other = features_of(linear_model()), features_of(linear_model(), 2)
    (device,) = prediction_inputs.devices([str(EXAMPLES / "ort-1t.yaml")], Connection()).values()
    ran = [Observation(replace(features), 0.01), Observation(other, 0.02)]

    found = replace(device, observed=ran).asked_for(features)

    assert found.observed[0].model is features
    assert found.observed[1] is ran[1]
