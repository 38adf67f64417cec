import pytest

from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import OVERDUE_SHARE, PodUid, Reservation, ReservationLedger
from builders import make_device

D1, D2 = make_device("d1").id, make_device("d2").id
POD, OTHER = PodUid("pod"), PodUid("other")


def test_a_promise_that_does_not_run_yet_counts_in_full() -> None:
    promise = Reservation(D1, expected_s=10.0)

    assert promise.remaining_s(now_s=1000.0) == 10.0


def test_a_running_promise_melts_with_time() -> None:
    promise = Reservation(D1, expected_s=10.0, started_s=100.0)

    assert promise.remaining_s(now_s=104.0) == 6.0


@pytest.mark.parametrize("elapsed_s", [10.0, 12.0, 100.0])
def test_an_overdue_promise_is_trusted_less_the_longer_it_runs(elapsed_s: float) -> None:
    promise = Reservation(D1, expected_s=10.0, started_s=0.0)

    assert promise.remaining_s(elapsed_s) == pytest.approx(OVERDUE_SHARE * elapsed_s)


def test_a_start_in_the_future_is_a_start_now() -> None:
    promise = Reservation(D1, expected_s=10.0, started_s=50.0)

    assert promise.remaining_s(now_s=40.0) == 10.0


def test_a_backlog_is_the_sum_of_what_is_promised() -> None:
    ledger = ReservationLedger()
    ledger.reserve(POD, Reservation(D1, 3.0))
    ledger.reserve(OTHER, Reservation(D1, 4.0, started_s=0.0))

    assert ledger.backlog_s(D1, now_s=1.0) == 6.0
    assert ledger.busy_s(D1, now_s=1.0) == (3.0, 3.0)
    assert ledger.backlog_s(D2, now_s=1.0) == 0.0


def test_a_second_promise_to_a_pod_replaces_the_first() -> None:
    ledger = ReservationLedger()
    ledger.reserve(POD, Reservation(D1, 3.0))

    ledger.reserve(POD, Reservation(D2, 5.0))

    assert ledger.backlog_s(D1, 0.0) == 0.0
    assert ledger.backlog_s(D2, 0.0) == 5.0
    assert list(ledger.devices()) == [D2]


def test_a_known_start_survives_a_rewrite_on_the_same_device_only() -> None:
    ledger = ReservationLedger()
    ledger.reserve(POD, Reservation(D1, 3.0, started_s=7.0))

    ledger.reserve(POD, Reservation(D1, 4.0))
    on_same = ledger.get(POD)
    ledger.reserve(POD, Reservation(D2, 4.0))
    on_another = ledger.get(POD)

    assert on_same == Reservation(D1, 4.0, started_s=7.0)
    assert on_another == Reservation(D2, 4.0)


def test_release_says_whether_the_pod_was_known() -> None:
    ledger = ReservationLedger()
    ledger.reserve(POD, Reservation(D1, 3.0))

    assert ledger.release(POD) is True
    assert ledger.release(POD) is False
    assert (len(ledger), list(ledger), list(ledger.devices())) == (0, [], [])


def test_only_reservations_that_were_never_bound_expire() -> None:
    ledger = ReservationLedger()
    ledger.reserve(POD, Reservation(D1, 3.0, expires_s=10.0))
    ledger.reserve(OTHER, Reservation(D1, 3.0))

    early, late = ledger.expire(9.9), ledger.expire(10.0)

    assert early == {}
    assert late == {POD: Reservation(D1, 3.0, expires_s=10.0)}
    assert list(ledger) == [OTHER]


def test_a_bound_pod_no_longer_expires() -> None:
    ledger = ReservationLedger()
    ledger.reserve(POD, Reservation(D1, 3.0, expires_s=10.0))

    ledger.reserve(POD, Reservation(D1, 3.0, started_s=5.0))

    assert ledger.expire(1000.0) == {}


def test_a_negative_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative: -1"):
        ReservationLedger().reserve(POD, Reservation(DeviceId("d1"), -1.0))
