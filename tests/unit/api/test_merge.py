import pytest

from acesniper.api.objects import Json, merge_patch
from fake_cluster import merged


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        pytest.param({"a": 1}, {"a": 1}, {}, id="nothing to do"),
        pytest.param({"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 3}, id="set"),
        pytest.param({"a": 1, "b": 2}, {"b": 2}, {"a": None}, id="removed"),
        pytest.param({"m": {"x": 1, "y": 2}}, {"m": {"y": 2}}, {"m": {"x": None}}, id="in a map"),
        pytest.param({"l": [1, 2]}, {"l": [2]}, {"l": [2]}, id="lists are replaced"),
        pytest.param({"m": None}, {"m": {"x": 1}}, {"m": {"x": 1}}, id="a map out of nothing"),
    ],
)
def test_a_patch_is_the_way_from_before_to_after(before: Json, after: Json, patch: Json) -> None:
    assert merge_patch(before, after) == patch
    assert merged(before, patch) == after
