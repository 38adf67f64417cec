"""No condition or event is written with a reason that is not in the table of reasons."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from acesniper.api.reasons import MODEL_REASONS, ConditionType, Reason, undocumented
from acesniper.api.reference import conditions_page
from acesniper.domain.errors import INVALID_MODEL_REASONS, invalid_model_reason

ROOT = Path(__file__).parents[3]
PARTS = ("core", "operator", "extender", "probe", "cli", "predictor", "simulator", "testbed")
TEXT = "core/acesniper/api/conditions.py"
"""The one module that turns members of the table into text."""


def calls(*names: str) -> Iterator[tuple[str, ast.Call]]:
    for part in PARTS:
        for path in (ROOT / part).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in names:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_no_condition_or_event_is_written_with_a_reason_of_its_own() -> None:
    bare = [
        where
        for where, call in calls("with_condition", "Notice", "Condition")
        if not where.startswith(TEXT)
        for position, value in enumerate(call.args[:4])
        if isinstance(value, ast.Constant)
        and isinstance(value.value, str)
        and (ast.unparse(call.func) == "with_condition" or position == 0)
    ]

    assert bare == []


def test_every_model_error_has_a_reason_of_the_table() -> None:
    constants = {
        call.args[0].value
        for _, call in calls("InvalidModel")
        if call.args and isinstance(call.args[0], ast.Constant)
    }

    assert constants <= set(INVALID_MODEL_REASONS)
    assert {reason.value for reason in MODEL_REASONS} == set(INVALID_MODEL_REASONS)


def test_every_reason_and_condition_type_is_written_somewhere() -> None:
    text = "".join(
        path.read_text(encoding="utf-8")
        for part in PARTS
        for path in (ROOT / part).rglob("*.py")
        if path.name != "reasons.py"
    )
    members = {f"ConditionType.{kind.name}" for kind in ConditionType}
    members |= {f"Reason.{reason.name}" for reason in Reason if reason not in MODEL_REASONS}

    assert {member for member in members if member not in text} == set()


def test_the_page_names_every_reason_with_its_uses() -> None:
    page = conditions_page()

    assert all(f"| `{reason}` |" in page for reason in Reason)
    assert all(reason.uses and reason.meaning and reason.remedy for reason in Reason)


def test_a_reason_of_another_resource_or_status_is_undocumented() -> None:
    assert undocumented("InferenceTask", [("Healthy", "True", "PodHealthy")]) == []
    assert undocumented("InferenceTask", [("Healthy", "False", "PodHealthy")]) != []
    assert undocumented("ModelProfile", [(None, "Warning", "ReconcileFailed")]) != []


@pytest.mark.parametrize("text", ["Succeeded", "anything", "", "READY"])
def test_a_reason_that_a_container_made_up_is_replaced(text: str) -> None:
    assert Reason.of_model(text, Reason.INVALID_INPUT) is Reason.INVALID_INPUT
    assert invalid_model_reason(text, "Crashed") == "Crashed"


def test_a_reason_that_another_process_gave_is_kept() -> None:
    assert Reason.of_model("NotOnnx", Reason.INVALID_INPUT) is Reason.NOT_ONNX
    assert invalid_model_reason("TooLarge", "Crashed") == "TooLarge"
