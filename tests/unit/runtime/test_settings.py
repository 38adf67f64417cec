from pathlib import Path

import pytest

from acesniper.domain.errors import InvalidInput
from acesniper.policies.policy import DEFAULT_POLICY
from acesniper.runtime.settings import EnvironmentSettings, ExtenderSettings, OperatorSettings


@pytest.mark.parametrize("part", [ExtenderSettings, OperatorSettings])
def test_an_empty_environment_gives_the_defaults(part: type[EnvironmentSettings]) -> None:
    assert part.read({}) == part()


def test_policy_defaults_are_those_of_the_default_policy() -> None:
    settings = ExtenderSettings()

    assert settings.policy == DEFAULT_POLICY.name
    assert settings.aging_s == DEFAULT_POLICY.aging_s
    assert settings.deadline_quantile == DEFAULT_POLICY.deadline_quantile


def test_settings_are_read_from_prefixed_variables_and_typed() -> None:
    environment = {
        "ACESNIPER_PORT": "9000",
        "ACESNIPER_REPLAN_S": "0.5",
        "ACESNIPER_KUBECONFIG": "/etc/kube",
        "PORT": "1",
        "ACESNIPER_OF_ANOTHER_PART": "x",
    }

    settings = ExtenderSettings.read(environment)

    assert (settings.port, settings.replan_s) == (9000, 0.5)
    assert settings.kubeconfig == Path("/etc/kube")


def test_an_empty_kubeconfig_means_the_service_account() -> None:
    assert ExtenderSettings.read({"ACESNIPER_KUBECONFIG": ""}).kubeconfig is None


def test_all_invalid_variables_are_reported_together() -> None:
    environment = {
        "ACESNIPER_PORT": "70000",
        "ACESNIPER_REPLAN_S": "0",
        "ACESNIPER_LOG_LEVEL": "loud",
        "ACESNIPER_HOST": "::1",
    }

    with pytest.raises(InvalidInput) as caught:
        ExtenderSettings.read(environment)

    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "ACESNIPER_LOG_LEVEL='loud'",
        "ACESNIPER_PORT='70000'",
        "ACESNIPER_REPLAN_S='0'",
    ]


@pytest.mark.parametrize("value", [("POLICY", "magic"), ("POLICY_CLASSES", "batch=magic")])
@pytest.mark.parametrize("part", [ExtenderSettings, OperatorSettings])
def test_an_unknown_policy_is_rejected_with_the_known_names(
    part: type[EnvironmentSettings], value: tuple[str, str]
) -> None:
    name, policy = value
    with pytest.raises(InvalidInput, match=f"ACESNIPER_{name}='{policy}': .* use one of"):
        part.read({f"ACESNIPER_{name}": policy})


def test_settings_are_immutable() -> None:
    settings = OperatorSettings()

    with pytest.raises(ValueError, match="frozen"):
        settings.workers = 3


@pytest.mark.parametrize("text", ["a=0", "a=-1", "a=nan", "a=inf", "a", "=2", "a=x", "a=1,b"])
def test_weights_that_are_no_positive_numbers_are_rejected(text: str) -> None:
    with pytest.raises(InvalidInput, match="ACESNIPER_NAMESPACE_WEIGHTS"):
        OperatorSettings.read({"ACESNIPER_NAMESPACE_WEIGHTS": text})


def test_weights_and_limits_are_read_by_namespace() -> None:
    settings = ExtenderSettings.read(
        {"ACESNIPER_NAMESPACE_WEIGHTS": "a=3, *=0.5", "ACESNIPER_NAMESPACE_LIMITS": ""}
    )

    assert settings.namespace_weights == {"a": 3.0, "*": 0.5}
    assert settings.namespace_limits == {}
