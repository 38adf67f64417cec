"""The reader's arithmetic against a counter that knows nothing of it.

`flops` in the index of the atlas is what torch.utils.flop_counter.FlopCounterMode (torch 2.15)
counted while the original module ran (atlas/export.py): 2 per multiply-accumulate of matrix
products, convolutions and attention, nothing for biases, activations and norms, as here. It sees no
arithmetic inside LSTMs, which oneDNN runs as one operator: their formula stands below."""

from collections.abc import Mapping

import pytest

from acesniper.predictor.atlas.networks import network_index
from small_models import features_of, shipped

UNSEEN = ("lstm",)
"""Families whose arithmetic torch's counter does not see."""


def one_of_each_family() -> Mapping[str, str]:
    """The first network of each family, in the order of names."""
    result: dict[str, str] = {}
    for name in sorted(network_index()):
        result.setdefault(network_index()[name]["family"], name)
    return {family: name for family, name in result.items() if family not in UNSEEN}


NETWORKS = sorted(one_of_each_family().values())


def test_the_reference_counter_covers_many_families() -> None:
    assert len(NETWORKS) >= 50
    assert all(network_index()[name]["flops"] > 0 for name in NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_arithmetic_agrees_with_the_independent_counter(name: str) -> None:
    features = features_of(shipped(name))

    assert features.flops == pytest.approx(network_index()[name]["flops"], rel=0.02)
    assert features.values["unknown.nodes"] == features.values["unshaped.nodes"] == 0


@pytest.mark.parametrize(
    "name", [name for name in network_index() if network_index()[name]["family"] in UNSEEN]
)
def test_an_lstm_multiplies_its_input_and_its_state_at_every_step(name: str) -> None:
    model = shipped(name)
    sizes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    cells = [node for node in model.graph.node if node.op_type == "LSTM"]
    steps = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value

    features = features_of(model)

    weights = sum(
        sizes[matrix][0] * sizes[matrix][1] * sizes[matrix][2]
        for node in cells
        for matrix in node.input[1:3]
    )
    assert features.values["recurrent.flops"] == 2 * steps * weights
