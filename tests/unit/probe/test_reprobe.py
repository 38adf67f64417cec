import pytest

from acesniper.probe import VERSION
from acesniper.probe.agent import Profile, reason_to_measure
from acesniper.probe.suite import VERSION as SUITE_VERSION

MEASURED = {"readings": {"null": {"seconds": 1e-6}}, "suiteVersion": VERSION}


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        pytest.param(None, "it has no DeviceProfile", id="none"),
        pytest.param(
            {"spec": {"node": "a"}}, "its DeviceProfile has no readings", id="written by hand"
        ),
        pytest.param({"status": MEASURED}, None, id="holds"),
        pytest.param(
            {"status": {**MEASURED, "suiteVersion": "1"}},
            f"it was measured with suite 1, the current suite is {VERSION}",
            id="older suite",
        ),
        pytest.param(
            {"spec": {"reprobe": "now"}, "status": MEASURED},
            "spec.reprobe requests 'now'",
            id="asked",
        ),
        pytest.param(
            {"spec": {"reprobe": "now"}, "status": {**MEASURED, "reprobed": "now"}},
            None,
            id="answered",
        ),
        pytest.param(
            {"spec": {"reprobe": "new"}, "status": {**MEASURED, "reprobed": "now"}},
            "spec.reprobe requests 'new'",
            id="asked again",
        ),
    ],
)
def test_a_node_measures_when_there_is_a_reason(
    profile: Profile | None, reason: str | None
) -> None:
    assert reason_to_measure(profile, VERSION) == reason


def test_the_waiting_probe_knows_the_version_of_the_suite() -> None:
    assert VERSION == SUITE_VERSION
