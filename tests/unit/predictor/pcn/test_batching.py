from collections.abc import Sequence

import numpy as np

from acesniper.domain.device import HardwareVector
from acesniper.predictor.pcn.batching import InputCache
from acesniper.predictor.pcn.inputs import DeviceInputs
from small_atlas import make_vector

converted: list[int] = []


def convert(devices: Sequence[HardwareVector]) -> DeviceInputs:
    """The pace of each device, everywhere."""
    converted.append(len(devices))
    pace = np.asarray([[device.readings["null"].seconds] for device in devices])
    return DeviceInputs(pace, pace, pace[:, 0], pace, pace, pace)


def test_equal_items_are_converted_once_and_the_callers_order_is_kept() -> None:
    one, two, three = make_vector(1.0), make_vector(2.0), make_vector(3.0)
    cache: InputCache[HardwareVector, DeviceInputs] = InputCache(convert)
    converted.clear()

    first = cache.get([one, two, make_vector(1.0)]).level
    second = cache.get([three, two, one]).level

    assert converted == [2, 1]
    assert first[0] == first[2]
    np.testing.assert_allclose(second / first[0], [3.0, 2.0, 1.0], rtol=1e-6)


def test_at_most_size_items_are_kept_and_a_larger_call_is_answered() -> None:
    devices = [make_vector(1.0 + i) for i in range(5)]
    cache: InputCache[HardwareVector, DeviceInputs] = InputCache(convert, size=3)
    converted.clear()

    whole = cache.get(devices).level
    pairs = [cache.get(devices[i : i + 2]).level for i in range(0, 4, 2)]

    np.testing.assert_allclose(np.concatenate(pairs), whole[:4], rtol=1e-6)
    assert converted == [5, 2, 2]
