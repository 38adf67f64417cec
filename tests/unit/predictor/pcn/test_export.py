from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from acesniper.domain.errors import ModelMismatch
from acesniper.predictor.pcn.conformal import NOVELTY, Band, Calibration
from acesniper.predictor.pcn.export import ExportSample, ServingGraph, ensure_equal
from acesniper.predictor.pcn.inputs import ModelInputs
from acesniper.predictor.pcn.network_file import NetworkFile
from small_atlas import SUITE, small_dataset, small_network, write_small


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("pcn") / "pcn.onnx")


def test_an_exported_network_predicts_as_in_torch(file: Path) -> None:
    network, data = small_network(), small_dataset()
    known = data.known()
    references = data.models.take(np.flatnonzero(data.reference))

    outputs = NetworkFile.load(file, SUITE).run(data.models, data.devices, references)

    with torch.no_grad():
        expected = network(known.models, known.devices, network.remember(known))
    np.testing.assert_allclose(outputs.mean, expected.mean.numpy(), atol=1e-4)
    np.testing.assert_allclose(outputs.model, expected.model.numpy(), atol=1e-4)
    np.testing.assert_allclose(outputs.device, expected.device.numpy(), atol=1e-4)


def test_correlations_of_errors_are_the_same_as_in_torch(file: Path) -> None:
    network, data = small_network(), small_dataset()
    models = data.known().models

    outputs = NetworkFile.load(file, SUITE).run(data.models, data.devices, data.models)

    with torch.no_grad():
        expected, own = network.observed(models, models), network.observed.own(models)
    np.testing.assert_allclose(outputs.covariance, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(outputs.variance, own.numpy(), atol=1e-5)


def test_the_exported_network_accepts_any_number_of_inputs(file: Path) -> None:
    data, exported = small_dataset(), NetworkFile.load(file, SUITE)
    whole = exported.run(data.models, data.devices, exported.references)

    one = np.asarray([1])
    outputs = exported.run(data.models.take(one), data.devices.take(one), data.models.take(one))

    assert outputs.covariance.shape == (1, 1)
    assert outputs.mean[0, 0] == pytest.approx(whole.mean[1, 1], abs=1e-5)


def test_an_export_that_differs_from_torch_is_rejected(file: Path) -> None:
    data, network = small_dataset(), small_network()
    references = data.models.take(np.flatnonzero(data.reference))
    with torch.no_grad():
        memory = network.remember(data.known())
    other = replace(data.scales, shape_scale=2 * data.scales.shape_scale)

    with pytest.raises(ModelMismatch, match="differ"):
        ensure_equal(
            ServingGraph(network, memory, other),
            NetworkFile.load(file, SUITE),
            ExportSample(data.models, data.devices, references),
        )


def test_the_file_contains_the_inputs_of_serving(tmp_path: Path) -> None:
    bands = dict.fromkeys(NOVELTY, Band(central90=3.0))

    network_file = NetworkFile.load(
        write_small(tmp_path / "f.onnx", Calibration("c1", bands=bands)), SUITE
    )

    data = small_dataset()
    expected = data.models.take(np.flatnonzero(data.reference))
    assert isinstance(network_file.references, ModelInputs)
    np.testing.assert_allclose(network_file.references.shares, expected.shares, rtol=1e-6)
    assert network_file.calibration == Calibration("c1", bands=bands)
    assert network_file.noise == pytest.approx(float(small_network().observed.noise.detach().exp()))
    assert network_file.provenance["seed"] == 0
    assert network_file.provenance["platforms"] == len(data.platforms)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("format", "0", id="format"),
        pytest.param("features_version", "0", id="features"),
        pytest.param("suite_version", "0", id="suite"),
        pytest.param("order", "0", id="order of features"),
        pytest.param("calibration", "{}", id="damaged calibration"),
        pytest.param("references", "[]", id="damaged references"),
    ],
)
def test_an_incompatible_or_damaged_file_is_rejected(file: Path, name: str, value: str) -> None:
    graph = onnx.load(file)
    metadata = {entry.key: entry.value for entry in graph.metadata_props} | {name: value}
    onnx.helper.set_model_props(graph, metadata)

    with pytest.raises(ModelMismatch):
        NetworkFile.load(graph.SerializeToString(), SUITE)


def test_a_file_without_a_network_is_rejected() -> None:
    with pytest.raises(ModelMismatch, match="cannot be read"):
        NetworkFile.load(b"not a graph", SUITE)


def test_an_export_leaves_no_temporary_files(tmp_path: Path) -> None:
    write_small(tmp_path / "pcn.onnx")

    assert [path.name for path in tmp_path.iterdir()] == ["pcn.onnx"]
