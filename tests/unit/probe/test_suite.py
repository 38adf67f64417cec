import json
from importlib.resources import files

import onnx
import pytest

from acesniper.predictor.features import CLASSES
from acesniper.predictor.workloads import known_suite
from acesniper.probe.suite import MEMORY, PROBES, SENTINEL, SUITE, VERSION
from acesniper.probe.workloads import workload


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_is_a_valid_small_graph_and_the_same_every_time(name: str) -> None:
    model = PROBES[name].build()

    onnx.checker.check_model(model, full_check=True)
    assert len(model.SerializeToString()) < 20_000
    assert model.SerializeToString() == PROBES[name].build().SerializeToString()


def test_the_predictor_knows_this_suite() -> None:
    suite = known_suite()

    assert (suite.name, suite.version) == (SUITE, VERSION)
    assert suite.probes == (*PROBES, MEMORY)
    assert (suite.typical_s > 0).all()


@pytest.mark.parametrize("name", ["conv_wide_64", "fused", "recurrent"])
def test_the_predictor_knows_what_a_probe_asks_for(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = json.loads((files("acesniper.predictor") / "workloads.json").read_text())

    assert content["workloads"][name] == workload(name, tmp_path_factory.mktemp("probe"))


def test_every_heavy_class_has_a_probe() -> None:
    nodes = known_suite().work[:, :, 2].sum(axis=0)

    silent = {kind for kind, count in zip(CLASSES, nodes, strict=True) if count == 0}
    assert silent == {"other", "unknown"}
    assert SENTINEL in PROBES
