import numpy as np
import pytest
import torch

from acesniper.predictor.pcn import posterior
from acesniper.predictor.pcn.gp import (
    ObservedErrors,
    bounded_errors,
    condition,
    robust_errors,
    widened_deviation,
)
from acesniper.predictor.pcn.model import ErrorCovariance, ModelTensors


def models(count: int, seed: int) -> ModelTensors:
    source = np.random.default_rng(seed)
    shares = source.dirichlet(np.ones(6), count)
    arrays = (shares, source.normal(size=(count, 6)), np.sqrt(shares), np.sqrt(shares), shares)
    return ModelTensors(*(torch.tensor(array) for array in arrays))


ASKED, RAN = models(4, 0), models(5, 1)
REFERENCES = 3
MEAN = torch.zeros(4, 2, dtype=torch.float64)
WRONG = torch.tensor(np.random.default_rng(2).normal(0, 0.2, (5, 2)))
MADE = torch.ones(5, 2, dtype=torch.bool)
OBSERVED = ErrorCovariance().double()
SEEN = ObservedErrors(RAN, WRONG, MADE, REFERENCES)


def test_serving_and_training_condition_alike() -> None:
    with torch.no_grad():
        mean, deviation = condition(OBSERVED, ASKED, MEAN, SEEN)
        noise = float(OBSERVED.noise.exp())
        outer, inner = OBSERVED(ASKED, RAN).numpy(), OBSERVED(RAN, RAN).numpy()
        own = OBSERVED.own(ASKED).numpy()
    added, variance, strange = posterior.posterior(
        outer, inner, own, np.full(5, noise), WRONG.numpy(), REFERENCES
    )

    assert added == pytest.approx(mean.numpy(), abs=1e-5)
    served = np.sqrt((variance + noise)[:, None] * strange[None])
    assert served == pytest.approx(deviation.numpy(), rel=1e-5)


def test_unexpected_errors_of_a_device_widen_its_intervals() -> None:
    surprising = torch.cat([WRONG[:, :1], WRONG[:, :1] * 5], 1)

    with torch.no_grad():
        seen = SEEN._replace(errors=surprising, references=0)
        _, deviation = condition(OBSERVED, ASKED, MEAN, seen)

    assert (deviation[:, 1] > 2 * deviation[:, 0]).all()


def test_missing_observations_have_no_effect() -> None:
    made = MADE.clone()
    made[3:, :] = False
    garbage = WRONG.clone()
    garbage[3:] = 1e3

    with torch.no_grad():
        first = condition(OBSERVED, ASKED, MEAN, SEEN._replace(measured=made))
        second = condition(OBSERVED, ASKED, MEAN, SEEN._replace(errors=garbage, measured=made))

    for one, other in zip(first, second, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_an_outlying_reference_is_bounded_and_a_slow_device_is_not() -> None:
    wrong = torch.tensor([[0.1, 1.0], [0.0, 1.1], [3.0, 0.9]])
    made = torch.ones(3, 2, dtype=torch.bool)

    result = bounded_errors(wrong, made)

    assert result[2, 0] < 0.65
    assert result[:, 1].numpy() == pytest.approx([1.0, 1.1, 0.9], abs=0.01)
    assert posterior.bounded_errors(wrong.numpy()) == pytest.approx(result.numpy())


def corrected(wrong: torch.Tensor) -> torch.Tensor:
    """What is added to each prediction where everything seen was a reference."""
    with torch.no_grad():
        return condition(OBSERVED, ASKED, MEAN, SEEN._replace(errors=wrong, references=5))[0]


def test_a_reference_that_the_others_contradict_moves_no_prediction() -> None:
    cliff, farther = WRONG.clone(), WRONG.clone()
    cliff[0, 0] += 3.0
    farther[0, 0] += 6.0

    assert (corrected(cliff) - corrected(WRONG)).abs().max() < 0.1
    assert (corrected(farther) - corrected(WRONG)).abs().max() < 0.1


def test_errors_of_models_that_the_device_ran_are_kept() -> None:
    wrong = torch.tensor([[0.1], [0.0], [0.1], [3.0]])
    seen = ObservedErrors(RAN, wrong, torch.ones(4, 1, dtype=torch.bool), 3)

    result = robust_errors(torch.eye(4)[None], wrong, seen)

    assert result[3, 0] == 3.0


def test_training_and_serving_widen_intervals_on_unusual_probes_alike() -> None:
    deviation, unusual = torch.full((1, 3), 0.2), torch.tensor([[0.0, 0.5, 1.0]])

    result = widened_deviation(deviation, unusual)

    assert result[0, 0] == pytest.approx(0.2)
    assert (result.diff() > 0).all()
    assert posterior.widened_deviation(deviation.numpy(), unusual.numpy()) == pytest.approx(
        result.numpy()
    )
