import numpy as np
import pytest

from acesniper.domain.errors import InvalidModel
from acesniper.probe.feeds import random_feeds
from acesniper.probe.runtimes import Options, runtime
from acesniper.probe.suite import PROBES

PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "tract": "tract"}


@pytest.mark.parametrize("name", PACKAGES)
def test_runtimes_agree_on_what_a_probe_computes(name: str) -> None:
    pytest.importorskip(PACKAGES[name])
    data = PROBES["net_resnet"].build().SerializeToString()
    reference = runtime("onnxruntime").load(data, Options(optimise=False))
    feeds = random_feeds(reference.inputs)

    session = runtime(name).load(data, Options())

    assert [(each.name, each.shape) for each in session.inputs] == [("x", (1, 3, 128, 128))]
    (expected,) = reference.run(feeds).values()
    (found,) = session.run(feeds).values()
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("name", PACKAGES)
def test_what_is_no_model_is_unloadable(name: str) -> None:
    pytest.importorskip(PACKAGES[name])

    with pytest.raises(InvalidModel) as caught:
        runtime(name).load(b"no model", Options())

    assert caught.value.reason == "Unloadable"
