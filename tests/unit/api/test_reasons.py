"""Every condition and event uses a reason of the table."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from acesniper.api.reasons import MODEL_REASONS, ConditionType, Reason, undocumented
from acesniper.api.reference import conditions_page
from acesniper.domain.errors import INVALID_MODEL_REASONS, invalid_model_reason

ROOT = Path(__file__).parents[3]
PARTS = ("core", "operator", "extender", "probe", "cli", "predictor", "simulator", "testbed")
CONVERSION = "core/acesniper/api/v1alpha1/conditions.py"
"""The only module that converts members of the table to text."""


def calls(*names: str) -> Iterator[tuple[str, ast.Call]]:
    for part in PARTS:
        for path in (ROOT / part).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in names:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_conditions_and_events_use_no_literal_reasons() -> None:
    literals = [
        where
        for where, call in calls("with_condition", "Notice", "Condition")
        if not where.startswith(CONVERSION)
        for position, value in enumerate(call.args[:4])
        if isinstance(value, ast.Constant)
        and isinstance(value.value, str)
        and (ast.unparse(call.func) == "with_condition" or position == 0)
    ]

    assert literals == []


def test_every_model_error_has_a_known_reason() -> None:
    constants = {
        call.args[0].value
        for _, call in calls("InvalidModel")
        if call.args and isinstance(call.args[0], ast.Constant)
    }

    assert constants <= set(INVALID_MODEL_REASONS)
    assert {reason.value for reason in MODEL_REASONS} == set(INVALID_MODEL_REASONS)


def test_every_reason_and_condition_type_is_used() -> None:
    text = "".join(
        path.read_text(encoding="utf-8")
        for part in PARTS
        for path in (ROOT / part).rglob("*.py")
        if path.name != "reasons.py"
    )
    members = {f"ConditionType.{kind.name}" for kind in ConditionType}
    members |= {f"Reason.{reason.name}" for reason in Reason if reason not in MODEL_REASONS}

    assert {member for member in members if member not in text} == set()


def test_the_reference_page_lists_every_reason() -> None:
    page = conditions_page()

    assert all(f"| `{reason}` |" in page for reason in Reason)
    assert all(reason.uses and reason.meaning and reason.remedy for reason in Reason)


def test_a_reason_on_the_wrong_resource_or_status_is_undocumented() -> None:
    assert undocumented("InferenceTask", [("Healthy", "True", "PodHealthy")]) == []
    assert undocumented("InferenceTask", [("Healthy", "False", "PodHealthy")]) != []
    assert undocumented("ModelProfile", [(None, "Warning", "ReconcileFailed")]) != []


@pytest.mark.parametrize("text", ["Succeeded", "anything", "", "READY"])
def test_an_unknown_reason_from_a_container_is_replaced(text: str) -> None:
    assert Reason.of_model(text, Reason.INVALID_INPUT) is Reason.INVALID_INPUT
    assert invalid_model_reason(text, "Crashed") == "Crashed"


def test_a_known_reason_from_a_container_is_kept() -> None:
    assert Reason.of_model("NotOnnx", Reason.INVALID_INPUT) is Reason.NOT_ONNX
    assert invalid_model_reason("TooLarge", "Crashed") == "TooLarge"
