"""The fleet as a list: what each device is, how fast, how busy and how well."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acesniper.api.units import epoch_s
from acesniper.api.v1alpha1 import DeviceProfile
from acesniper.domain.device import Device, DeviceId
from acesniper.domain.reservations import Reservation
from acesniper.extender.page.fleet import Ranking

Json = dict[str, Any]
PROBLEM_CONDITIONS = {"Drifting", "Noisy", "Stale"}
"""Conditions of a profile that say something is not as it should be."""


@dataclass(frozen=True, slots=True)
class DeviceQuery:
    """What to show: a page of the devices whose name, node or provider has `search` in it."""

    search: str = ""
    sort: str = "backlog"
    descending: bool = True
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True)
class FleetView:
    """The devices, their profiles and what is promised to them, at one moment."""

    now_s: float
    devices: Sequence[Device]
    profiles: Mapping[DeviceId, DeviceProfile]
    promises: Sequence[Reservation]

    def totals(self) -> Json:
        """The fleet in a few numbers."""
        busy = {each.device for each in self.promises}
        worried = sum(bool(_worries(self.profiles.get(each.id))) for each in self.devices)
        return {
            "devices": len(self.devices),
            "ready": sum(each.schedulable for each in self.devices),
            "busy": sum(each.id in busy for each in self.devices),
            "worried": worried,
            "slots": sum(each.slots for each in self.devices),
            "backlogSeconds": round(
                sum(each.remaining_s(self.now_s) * each.slots for each in self.promises), 3
            ),
        }

    def page(self, ranking: Ranking, listing: DeviceQuery) -> Json:
        """One page of the list, and how long the list is."""
        backlog_s: dict[str, float] = {}
        taken: dict[str, int] = {}
        for each in self.promises:
            left_s = each.remaining_s(self.now_s) * each.slots
            backlog_s[each.device] = backlog_s.get(each.device, 0.0) + left_s
            taken[each.device] = taken.get(each.device, 0) + each.slots
        keys: dict[str, Callable[[Device], Any]] = {
            "backlog": lambda each: backlog_s.get(each.id, 0.0),
            "speed": lambda each: ranking.speed.get(each.id, 0.0),
            "measured": lambda each: -(self._measured_s(each) or self.now_s),
            "health": lambda each: (not each.schedulable, len(self._worries(each))),
            "name": lambda each: each.id,
        }
        found = [each for each in self.devices if _fits(each, listing.search)]
        found.sort(key=lambda each: each.id)
        found.sort(key=keys.get(listing.sort, keys["name"]), reverse=listing.descending)
        shown = found[listing.offset : listing.offset + listing.limit]
        return {
            "matching": len(found),
            "fastest": round(max(ranking.speed.values(), default=0.0), 3),
            "longestSeconds": round(max(backlog_s.values(), default=0.0), 3),
            "devices": [
                self._row(each, ranking, backlog_s.get(each.id, 0.0), taken.get(each.id, 0))
                for each in shown
            ],
        }

    def _row(self, device: Device, ranking: Ranking, backlog_s: float, taken: int) -> Json:
        profile = self.profiles.get(device.id)
        status = profile.status if profile else None
        speed = ranking.speed.get(device.id)
        return {
            "device": device.id,
            "node": device.node,
            "provider": device.provider,
            "slots": device.slots,
            "taken": taken,
            "ready": device.schedulable,
            "worries": self._worries(device),
            "speed": None if speed is None else round(speed, 3),
            "backlogSeconds": round(backlog_s, 3),
            "measuredAt": self._measured_s(device),
            "text": status.text if status else None,
            "calibration": status.calibration if status else None,
        }

    def _worries(self, device: Device) -> list[str]:
        return _worries(self.profiles.get(device.id))

    def _measured_s(self, device: Device) -> float | None:
        profile = self.profiles.get(device.id)
        measured_at = profile.status.measured_at if profile else None
        return epoch_s(measured_at) if measured_at else None


def _worries(profile: DeviceProfile | None) -> list[str]:
    if profile is None:
        return []
    true = (each.type for each in profile.status.conditions if each.status == "True")
    return sorted(PROBLEM_CONDITIONS.intersection(true))


def _fits(device: Device, search: str) -> bool:
    return search.lower() in f"{device.id} {device.node} {device.provider}".lower()
