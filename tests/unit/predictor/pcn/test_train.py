import numpy as np
import pytest
import torch

from acesniper.predictor.pcn.train import TrainingSettings, draw_hidden, fit
from small_atlas import small_dataset

FEW = TrainingSettings(steps=4)


def test_the_same_seed_gives_the_same_network() -> None:
    first, again, other = (
        fit(small_dataset(), settings).state_dict()
        for settings in (FEW, FEW, TrainingSettings(steps=4, seed=1))
    )

    assert all(torch.allclose(first[name], again[name], atol=1e-9) for name in first)
    assert not all(torch.allclose(first[name], other[name], atol=1e-3) for name in first)


def test_a_step_hides_whole_families_and_never_the_references() -> None:
    data = small_dataset()

    for seed in range(20):
        hidden = draw_hidden(data, np.random.default_rng(seed))
        families = set(data.families[hidden.models])
        assert not families & set(data.families[hidden.shown_models])
        assert not data.reference[hidden.models].any()
        assert not set(hidden.devices) & set(hidden.shown_devices)
        assert not set(hidden.observed) & set(hidden.models)


def test_progress_is_called_for_every_step() -> None:
    steps: list[int] = []

    fit(small_dataset(), FEW, lambda step, loss: steps.append(step))

    assert steps == [0, 1, 2, 3]


@pytest.mark.parametrize("parts", [(), ("similarity",), ("similarity", "residual", "gate")])
def test_parts_can_be_left_out(parts: tuple[str, ...]) -> None:
    data = small_dataset()
    network = fit(data, TrainingSettings(steps=2, parts=parts))
    known = data.known()

    with torch.no_grad():
        result = network(known.models, known.devices, network.remember(known))

    assert bool((result.residual != 0).any()) == ("residual" in parts)
    assert bool((result.similarity != 0).any()) == ("similarity" in parts)
    assert torch.isfinite(result.mean).all()
