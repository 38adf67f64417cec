"""What is to be thought of a DeviceProfile: its conditions."""

from collections.abc import Sequence
from statistics import median

from acesniper.api.conditions import with_condition
from acesniper.api.convert import calibration_text
from acesniper.api.units import epoch_s, rfc3339
from acesniper.api.v1alpha1 import Condition, DeviceProfile
from acesniper.domain.latency_history import ObservedRun

STALE_AFTER_S = 30 * 24 * 3600.0
"""A measurement older than this is Stale: system updates and dust change a device in a month."""
DRIFTING = "Drifting"
NOISY_SPREAD = 0.10
"""A profile is Noisy when its readings' median spread is above this."""


def device_conditions(profile: DeviceProfile, now_s: float) -> list[Condition]:
    """The conditions a profile should have now."""
    status, generation = profile.status, profile.metadata.get("generation")
    conditions = list(status.conditions)
    if not status.readings or status.measured_at is None:
        text = "the node's probe has not reported yet"
        return with_condition(conditions, "Ready", False, "NotMeasured", text, now_s, generation)
    text = f"{len(status.readings)} readings of {status.suite} {status.suite_version}"
    conditions = with_condition(conditions, "Ready", True, "Measured", text, now_s, generation)
    stale = now_s - epoch_s(status.measured_at) > STALE_AFTER_S
    text = "measured over 30 days ago; set spec.reprobe to a new value" if stale else "recent"
    conditions = with_condition(
        conditions, "Stale", stale, "Old" if stale else "Recent", text, now_s, generation
    )
    noise = spread(profile)
    noisy = noise > NOISY_SPREAD
    text = f"median spread of the readings is {100 * noise:.1f} %"
    reason = "Spread" if noisy else "Steady"
    return with_condition(conditions, "Noisy", noisy, reason, text, now_s, generation)


def spread(profile: DeviceProfile) -> float:
    """The median spread of a profile's readings; it has some."""
    return median(each.spread for each in profile.status.readings.values())


def with_drift(
    conditions: Sequence[Condition],
    runs: Sequence[ObservedRun],
    since_s: float | None,
    now_s: float,
    generation: int | None,
) -> list[Condition]:
    """The conditions with `Drifting`: whether its tasks miss what its measurement lets expect."""
    if since_s is None:
        text = "its tasks take what was predicted, give or take"
        return with_condition(conditions, DRIFTING, False, "Steady", text, now_s, generation)
    text = f"since {rfc3339(since_s)} its tasks take {calibration_text(runs)}; it is probed again"
    return with_condition(conditions, DRIFTING, True, "Shifted", text, now_s, generation)
