import pytest

from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import OVERDUE_SHARE, PodUid, Reservation, ReservationLedger
from builders import make_device

D1, D2 = make_device("d1").id, make_device("d2").id
POD, OTHER = PodUid("pod"), PodUid("other")


def test_a_reservation_not_yet_running_counts_in_full() -> None:
    reservation = Reservation(D1, expected_s=10.0)

    assert reservation.remaining_s(now_s=1000.0) == 10.0


def test_a_running_reservation_shrinks_with_time() -> None:
    reservation = Reservation(D1, expected_s=10.0, started_s=100.0)

    assert reservation.remaining_s(now_s=104.0) == 6.0


@pytest.mark.parametrize("elapsed_s", [10.0, 12.0, 100.0])
def test_an_overdue_reservation_keeps_a_share_of_its_elapsed_time(elapsed_s: float) -> None:
    reservation = Reservation(D1, expected_s=10.0, started_s=0.0)

    assert reservation.remaining_s(elapsed_s) == pytest.approx(OVERDUE_SHARE * elapsed_s)


def test_a_start_in_the_future_counts_as_now() -> None:
    reservation = Reservation(D1, expected_s=10.0, started_s=50.0)

    assert reservation.remaining_s(now_s=40.0) == 10.0


def test_a_backlog_is_the_sum_of_the_reservations() -> None:
    ledger = ReservationLedger()
    ledger.reserve(POD, Reservation(D1, 3.0))
    ledger.reserve(OTHER, Reservation(D1, 4.0, started_s=0.0))

    assert ledger.backlog_s(D1, now_s=1.0) == 6.0
    assert ledger.busy_s(D1, now_s=1.0) == (3.0, 3.0)
    assert ledger.backlog_s(D2, now_s=1.0) == 0.0


def test_a_second_reservation_of_a_pod_replaces_the_first() -> None:
    ledger = ReservationLedger()
    ledger.reserve(POD, Reservation(D1, 3.0))

    ledger.reserve(POD, Reservation(D2, 5.0))

    assert ledger.backlog_s(D1, 0.0) == 0.0
    assert ledger.backlog_s(D2, 0.0) == 5.0
    assert list(ledger.devices()) == [D2]


def test_a_known_start_is_kept_only_on_the_same_device() -> None:
    ledger = ReservationLedger()
    ledger.reserve(POD, Reservation(D1, 3.0, started_s=7.0))

    ledger.reserve(POD, Reservation(D1, 4.0))
    on_same = ledger.get(POD)
    ledger.reserve(POD, Reservation(D2, 4.0))
    on_another = ledger.get(POD)

    assert on_same == Reservation(D1, 4.0, started_s=7.0)
    assert on_another == Reservation(D2, 4.0)


def test_release_returns_whether_the_pod_had_a_reservation() -> None:
    ledger = ReservationLedger()
    ledger.reserve(POD, Reservation(D1, 3.0))

    assert ledger.release(POD) is True
    assert ledger.release(POD) is False
    assert (len(ledger), list(ledger), list(ledger.devices())) == (0, [], [])


def test_only_unbound_reservations_expire() -> None:
    ledger = ReservationLedger()
    ledger.reserve(POD, Reservation(D1, 3.0, expires_s=10.0))
    ledger.reserve(OTHER, Reservation(D1, 3.0))

    early, late = ledger.expire(9.9), ledger.expire(10.0)

    assert early == {}
    assert late == {POD: Reservation(D1, 3.0, expires_s=10.0)}
    assert list(ledger) == [OTHER]


def test_the_reservation_of_a_bound_pod_does_not_expire() -> None:
    ledger = ReservationLedger()
    ledger.reserve(POD, Reservation(D1, 3.0, expires_s=10.0))

    ledger.reserve(POD, Reservation(D1, 3.0, started_s=5.0))

    assert ledger.expire(1000.0) == {}


def test_a_negative_duration_is_rejected() -> None:
    with pytest.raises(ValueError, match="must not be negative: -1"):
        ReservationLedger().reserve(POD, Reservation(DeviceId("d1"), -1.0))
