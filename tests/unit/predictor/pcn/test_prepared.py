from collections.abc import Sequence

import numpy as np

from acesniper.domain.device import HardwareVector
from acesniper.predictor.pcn.batching import InputCache
from acesniper.predictor.pcn.inputs import DeviceInputs
from small_atlas import make_vector

asked: list[int] = []


def prepare(devices: Sequence[HardwareVector]) -> DeviceInputs:
    """The pace of each device, everywhere."""
    asked.append(len(devices))
    pace = np.asarray([[each.readings["null"].seconds] for each in devices])
    return DeviceInputs(pace, pace, pace[:, 0], pace, pace, pace)


def test_an_object_is_prepared_once_and_order_is_the_caller_s() -> None:
    one, two, three = make_vector(1.0), make_vector(2.0), make_vector(3.0)
    prepared: InputCache[HardwareVector, DeviceInputs] = InputCache(prepare)
    asked.clear()

    first = prepared.of([one, two, one]).level
    second = prepared.of([three, two, one]).level

    assert asked == [2, 1]
    assert first[0] == first[2]
    np.testing.assert_allclose(second / first[0], [3.0, 2.0, 1.0], rtol=1e-6)


def test_no_more_is_kept_than_said_and_a_larger_call_is_answered_all_the_same() -> None:
    devices = [make_vector(1.0 + i) for i in range(5)]
    prepared: InputCache[HardwareVector, DeviceInputs] = InputCache(prepare, most=3)
    asked.clear()

    whole = prepared.of(devices).level
    pairs = [prepared.of(devices[i : i + 2]).level for i in range(0, 4, 2)]

    np.testing.assert_allclose(np.concatenate(pairs), whole[:4], rtol=1e-6)
    assert asked == [5, 2, 2]
