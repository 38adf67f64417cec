import math

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import PodUid, Reservation, ReservationLedger
from strategies import NAMES, device_ids, pod_uids, promises, seconds

Promises = dict[PodUid, Reservation]


def filled(made: Promises) -> ReservationLedger:
    ledger = ReservationLedger()
    for pod, promise in made.items():
        ledger.reserve(pod, promise)
    return ledger


def backlogs(ledger: ReservationLedger, now_s: float) -> dict[str, tuple[float, ...]]:
    return {name: ledger.busy_s(DeviceId(name), now_s) for name in NAMES}


@given(promise=promises(), now_s=seconds)
def test_what_remains_is_never_negative_nor_nothing(promise: Reservation, now_s: float) -> None:
    remaining_s = promise.remaining_s(now_s)

    assert remaining_s > 0.0
    assert math.isfinite(remaining_s)


@given(made=st.dictionaries(pod_uids, promises()), device=device_ids, now_s=seconds)
def test_a_backlog_is_the_sum_of_what_is_promised(
    made: Promises, device: DeviceId, now_s: float
) -> None:
    ledger = filled(made)

    expected_s = [
        reservation.remaining_s(now_s)
        for reservation in made.values()
        if reservation.device == device
    ]
    assert math.isclose(ledger.backlog_s(device, now_s), math.fsum(expected_s), abs_tol=1e-9)
    assert list(ledger.busy_s(device, now_s)) == sorted(expected_s)


@given(made=st.dictionaries(pod_uids, promises()), new=promises(), now_s=seconds)
def test_releasing_restores_what_was_before(made: Promises, new: Reservation, now_s: float) -> None:
    ledger = filled(made)
    before = backlogs(ledger, now_s)

    ledger.reserve(PodUid("new"), new)
    ledger.release(PodUid("new"))

    assert backlogs(ledger, now_s) == before


@given(made=st.dictionaries(pod_uids, promises()), now_s=seconds, data=st.data())
def test_the_order_of_promises_does_not_matter(
    made: Promises, now_s: float, data: st.DataObject
) -> None:
    shuffled = dict(data.draw(st.permutations(list(made.items()))))

    assert backlogs(filled(shuffled), now_s) == backlogs(filled(made), now_s)


class LedgerMachine(RuleBasedStateMachine):
    """Any history leads to the same ledger as promising what is left, once."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = ReservationLedger()
        self.left: Promises = {}

    @rule(pod=pod_uids, promise=promises())
    def promise(self, pod: PodUid, promise: Reservation) -> None:
        self.ledger.reserve(pod, promise)
        kept = self.ledger.get(pod)
        assert kept is not None
        assert (kept.device, kept.expected_s) == (promise.device, promise.expected_s)
        self.left[pod] = kept

    @rule(pod=pod_uids)
    def release(self, pod: PodUid) -> None:
        assert self.ledger.release(pod) is (pod in self.left)
        self.left.pop(pod, None)

    @precondition(lambda self: self.left)
    @rule(now_s=seconds)
    def expire(self, now_s: float) -> None:
        late = {
            pod
            for pod, reservation in self.left.items()
            if reservation.expires_s is not None and reservation.expires_s <= now_s
        }
        assert set(self.ledger.expire(now_s)) == late
        for pod in late:
            del self.left[pod]

    @invariant()
    def a_rebuilt_ledger_is_the_same(self) -> None:
        assert backlogs(self.ledger, 1.0) == backlogs(filled(self.left), 1.0)
        assert set(self.ledger) == set(self.left)
        assert set(self.ledger.devices()) == {
            reservation.device for reservation in self.left.values()
        }


TestLedgerHistory = LedgerMachine.TestCase
