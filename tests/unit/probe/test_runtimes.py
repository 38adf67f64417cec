import numpy as np
import pytest

from acesniper.domain.errors import InvalidModel
from acesniper.probe.feeds import random_feeds
from acesniper.probe.runtimes import RuntimeOptions, runtime
from acesniper.probe.suite import PROBES

NAMES = ("onnxruntime", "openvino", "tract", "opencv", "ncnn", "mnn")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("optimise", [True, False], ids=["optimised", "plain"])
def test_runtimes_agree_on_what_a_probe_computes(name: str, optimise: bool) -> None:
    data = PROBES["net_resnet"].build().SerializeToString()
    reference = runtime("onnxruntime").load(data, RuntimeOptions(optimise=False))
    feeds = random_feeds(reference.inputs)

    session = runtime(name).load(data, RuntimeOptions(optimise=optimise))

    assert [(item.name, item.shape) for item in session.inputs] == [("x", (1, 3, 128, 128))]
    (expected,) = reference.run(feeds).values()
    (result,) = session.run(feeds).values()
    np.testing.assert_allclose(result, expected, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_not_a_model_is_unloadable(name: str) -> None:
    with pytest.raises(InvalidModel) as caught:
        runtime(name).load(b"no model", RuntimeOptions())

    assert caught.value.reason == "Unloadable"
