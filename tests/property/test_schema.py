"""The pydantic models and the generated CRD schema accept the same specs."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from acesniper.api.crd import RESOURCES, definition
from acesniper.api.v1alpha1 import InferenceTask, InferenceTaskSpec
from builders import SHA256

SCHEMA: dict[str, Any] = definition(RESOURCES[0])["spec"]["versions"][0]["schema"]
SPEC = SCHEMA["openAPIV3Schema"]["properties"]["spec"]["properties"]

numbers = st.integers(-10, 10) | st.integers(-(10**10), 10**10)
strings = (
    st.sampled_from(["90s", "1h30m", "1d", "", "m", "M", "a-b", "-a", "https://x/y", SHA256])
    | st.text("0123456789hms.", max_size=6)
    | st.text("ab-.", max_size=6)
)
fields = {
    "batchSize": numbers,
    "inferences": numbers,
    "retries": numbers,
    "model": strings,
    "deadline": strings,
    "ttlAfterFinished": strings,
    "deadlinePolicy": st.sampled_from(["BestEffort", "Reject", "reject", ""]),
    "modelPolicy": st.sampled_from(["Fail", "Wait", "x"]),
    "suspend": st.booleans(),
    "runtime": st.lists(st.text("abc", max_size=40), max_size=10),
    "inputShapes": st.dictionaries(st.sampled_from("abc"), numbers),
    "nodeSelector": st.dictionaries(st.sampled_from("abc"), st.text(max_size=3)),
}


def accepts(schema: dict[str, Any], value: object) -> bool:
    """Whether a structural schema accepts a value, for the keywords that our schemas use."""
    match value:
        case bool():
            return bool(schema["type"] == "boolean")
        case str():
            return (
                schema["type"] == "string"
                and ("pattern" not in schema or re.search(schema["pattern"], value) is not None)
                and len(value) <= schema.get("maxLength", len(value))
                and value in schema.get("enum", [value])
            )
        case int():
            low, high = schema.get("minimum", value), schema.get("maximum", value)
            return bool(schema["type"] == "integer" and low <= value <= high)
        case list():
            fits = len(value) <= schema.get("maxItems", len(value))
            return fits and all(accepts(schema["items"], item) for item in value)
        case dict():
            fits = len(value) <= schema.get("maxProperties", len(value))
            return fits and all(
                accepts(schema["additionalProperties"], item) for item in value.values()
            )
    raise AssertionError(value)


@given(st.fixed_dictionaries({}, optional=fields))
def test_schema_and_model_agree_on_a_spec(spec: dict[str, Any]) -> None:
    accepted = all(accepts(SPEC[name], value) for name, value in spec.items())

    try:
        InferenceTaskSpec.model_validate(spec)
        parsed = True
    except ValidationError:
        parsed = False

    assert parsed is accepted


@given(st.fixed_dictionaries({}, optional=fields))
def test_an_accepted_spec_is_serialised_unchanged(spec: dict[str, Any]) -> None:
    try:
        task = InferenceTask.model_validate({"spec": spec})
    except ValidationError:
        return

    written = task.spec.model_dump(by_alias=True, mode="json")

    assert {name: written[name] for name in spec} == spec
