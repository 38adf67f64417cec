import math

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import PodUid, Reservation, ReservationLedger
from strategies import NAMES, device_ids, pod_uids, reservations, seconds

Reservations = dict[PodUid, Reservation]


def filled(reserved: Reservations) -> ReservationLedger:
    ledger = ReservationLedger()
    for pod, reservation in reserved.items():
        ledger.reserve(pod, reservation)
    return ledger


def backlogs(ledger: ReservationLedger, now_s: float) -> dict[str, tuple[float, ...]]:
    return {name: ledger.busy_s(DeviceId(name), now_s) for name in NAMES}


@given(reservation=reservations(), now_s=seconds)
def test_the_remaining_time_is_positive_and_finite(reservation: Reservation, now_s: float) -> None:
    remaining_s = reservation.remaining_s(now_s)

    assert remaining_s > 0.0
    assert math.isfinite(remaining_s)


@given(reserved=st.dictionaries(pod_uids, reservations()), device=device_ids, now_s=seconds)
def test_a_backlog_is_the_sum_of_the_reservations(
    reserved: Reservations, device: DeviceId, now_s: float
) -> None:
    ledger = filled(reserved)

    expected_s = [
        reservation.remaining_s(now_s)
        for reservation in reserved.values()
        if reservation.device == device
    ]
    assert math.isclose(ledger.backlog_s(device, now_s), math.fsum(expected_s), abs_tol=1e-9)
    assert list(ledger.busy_s(device, now_s)) == sorted(expected_s)


@given(reserved=st.dictionaries(pod_uids, reservations()), new=reservations(), now_s=seconds)
def test_a_release_restores_the_previous_backlogs(
    reserved: Reservations, new: Reservation, now_s: float
) -> None:
    ledger = filled(reserved)
    before = backlogs(ledger, now_s)

    ledger.reserve(PodUid("new"), new)
    ledger.release(PodUid("new"))

    assert backlogs(ledger, now_s) == before


@given(reserved=st.dictionaries(pod_uids, reservations()), now_s=seconds, data=st.data())
def test_the_order_of_reservations_does_not_matter(
    reserved: Reservations, now_s: float, data: st.DataObject
) -> None:
    shuffled = dict(data.draw(st.permutations(list(reserved.items()))))

    assert backlogs(filled(shuffled), now_s) == backlogs(filled(reserved), now_s)


class LedgerMachine(RuleBasedStateMachine):
    """Any history gives the same ledger as adding the remaining reservations once."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = ReservationLedger()
        self.remaining: Reservations = {}

    @rule(pod=pod_uids, reservation=reservations())
    def reserve(self, pod: PodUid, reservation: Reservation) -> None:
        self.ledger.reserve(pod, reservation)
        stored = self.ledger.get(pod)
        assert stored is not None
        assert (stored.device, stored.expected_s) == (reservation.device, reservation.expected_s)
        self.remaining[pod] = stored

    @rule(pod=pod_uids)
    def release(self, pod: PodUid) -> None:
        assert self.ledger.release(pod) is (pod in self.remaining)
        self.remaining.pop(pod, None)

    @precondition(lambda self: self.remaining)
    @rule(now_s=seconds)
    def expire(self, now_s: float) -> None:
        late = {
            pod
            for pod, reservation in self.remaining.items()
            if reservation.expires_s is not None and reservation.expires_s <= now_s
        }
        assert set(self.ledger.expire(now_s)) == late
        for pod in late:
            del self.remaining[pod]

    @invariant()
    def a_rebuilt_ledger_is_the_same(self) -> None:
        assert backlogs(self.ledger, 1.0) == backlogs(filled(self.remaining), 1.0)
        assert set(self.ledger) == set(self.remaining)
        assert set(self.ledger.devices()) == {
            reservation.device for reservation in self.remaining.values()
        }


TestLedgerHistory = LedgerMachine.TestCase
