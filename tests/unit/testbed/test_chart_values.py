import pytest

from acesniper.testbed.chart.generated import drift
from acesniper.testbed.chart.values_schema import read_values, setting, values_schema

SOURCE = """# Of the file.

image:
  # Where from.
  # Really.
  registry: docker.io
operator:
  settings:
    # How many.
    workers: 16
# Free.
labels: {a: b}
"""


def test_the_comment_of_a_value_is_its_description() -> None:
    values = read_values(SOURCE)

    assert [(value.name, value.default, value.text) for value in values] == [
        ("image.registry", "docker.io", "Where from. Really."),
        ("operator.settings.workers", 16, "How many."),
        ("labels", {"a": "b"}, "Free."),
    ]


def test_a_value_without_a_comment_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"image\.tag has no comment"):
        read_values("image:\n  tag: x\n")


def test_the_schema_has_the_limits_of_the_settings_and_no_other_names() -> None:
    properties = values_schema(read_values(SOURCE))["properties"]

    workers = properties["operator"]["properties"]["settings"]["properties"]["workers"]
    assert (workers["minimum"], workers["maximum"]) == (1, 256)
    assert properties["image"]["additionalProperties"] is False
    assert properties["labels"]["additionalProperties"] == {"type": "string"}, "of any name"


def test_an_unknown_setting_is_rejected() -> None:
    with pytest.raises(ValueError, match="has no field wrokers"):
        values_schema(read_values(SOURCE.replace("workers", "wrokers")))


@pytest.mark.parametrize(
    ("value", "field"),
    [("workers", "workers"), ("maxGatedPods", "max_gated_pods"), ("replanS", "replan_s")],
)
def test_the_name_of_a_value_maps_to_its_setting(value: str, field: str) -> None:
    assert setting(value) == field


def test_the_generated_files_are_up_to_date() -> None:
    assert drift() == []
