"""Conversions round-trip: resources, times, durations, names and patches."""

import math
import re
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from acesniper.api import convert
from acesniper.api.objects import merge_patch
from acesniper.api.units import duration_s, duration_text, epoch_s, parse_count, rfc3339
from acesniper.api.v1alpha1 import InferenceTask
from acesniper.domain.device import HardwareVector, ProbeResult, Reading
from acesniper.domain.model import ModelFeatures
from acesniper.operator.task.pod import pod_name
from builders import make_itask
from fake_cluster import merged
from strategies import dns_names, floats

words = st.text("abcdefghijklmnopqrstuvwxyz0123456789-. ", min_size=1, max_size=20)
positive = floats(1e-9, 1e9)
readings = st.builds(Reading, positive, floats(0, 10), st.none() | positive, st.none() | positive)
results = st.builds(
    ProbeResult,
    vector=st.builds(
        HardwareVector, words, words, st.dictionaries(words, readings, min_size=1, max_size=8)
    ),
    provider=st.sampled_from(["cpu", "cuda", "openvino"]),
    runtime=words,
    runtime_version=words,
    architecture=words,
    cpu_model=words,
    cores=st.integers(1, 256),
    threads=st.integers(1, 256),
    cpu_quota=st.none() | floats(0.01, 256),
    memory_bytes=st.integers(1, 2**50),
    measured_at=floats(0, 4e9).map(rfc3339),
    duration_s=positive,
    missing=st.lists(words).map(tuple),
)
models = st.builds(
    ModelFeatures,
    version=words,
    values=st.dictionaries(words, floats(-1e18, 1e18)),
    flops=positive,
    bytes_moved=positive,
    parameters=st.integers(0, 2**50),
    peak_memory_bytes=st.integers(0, 2**50),
    operators=st.dictionaries(words, st.integers(0, 10**6)),
    similar=st.dictionaries(words, floats(0, 1)),
)


@given(results)
def test_a_probe_result_round_trips_through_its_manifest(result: ProbeResult) -> None:
    assert convert.to_probe_result(convert.to_device_profile_manifest("d", "n", result)) == result


@given(models)
def test_features_round_trip_through_the_status(features: ModelFeatures) -> None:
    assert convert.to_model_features(convert.to_model_status(features)) == features


@given(floats(0, 4e9))
def test_a_timestamp_round_trips_to_the_millisecond(seconds: float) -> None:
    assert math.isclose(epoch_s(rfc3339(seconds)), seconds, abs_tol=0.00101)


@given(
    st.lists(
        st.tuples(st.integers(0, 99), st.sampled_from(["h", "m", "s", "ms"])),
        min_size=1,
        max_size=4,
    )
)
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

    text = "".join(f"{number}{unit}" for number, unit in parts)

    assert math.isclose(duration_s(text), sum(number * units[unit] for number, unit in parts))


@given(floats(1e-6, 1e7))
def test_the_text_of_a_duration_has_a_unit_and_is_accurate(seconds: float) -> None:
    number, unit = duration_text(seconds).split(" ")

    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
    assert re.fullmatch(r"[0-9]+(\.[0-9]+)?", number)
    assert math.isclose(float(number) * units[unit], seconds, rel_tol=0.03)


@given(st.integers(0, 10**6), st.sampled_from([("", 1), ("k", 1000), ("M", 10**6)]))
def test_a_quantity_is_its_number_times_its_suffix(number: int, suffix: tuple[str, int]) -> None:
    assert parse_count(f"{number}{suffix[0]}") == number * suffix[1]


json_values = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), json_values)


@given(objects, objects)
def test_a_merge_patch_turns_any_object_into_any_other(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert merged(before, merge_patch(before, after)) == after


def pod_name_of(name: str, uid: str, attempts: int, incarnation: int) -> str:
    status = {"attempts": attempts, "incarnation": incarnation}
    manifest = make_itask(name, status=status, metadata={"uid": uid})
    return pod_name(InferenceTask.model_validate(manifest))


counts = st.integers(0, 1000)


@given(dns_names, st.uuids().map(str), counts, counts)
def test_a_pod_name_is_a_dns_label(name: str, uid: str, attempts: int, incarnation: int) -> None:
    made = pod_name_of(name, uid, attempts, incarnation)

    assert len(made) <= 63
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", made)


identities = st.tuples(st.uuids().map(str), counts, counts)


@given(dns_names, identities, identities)
def test_pods_of_successive_tasks_with_one_name_have_distinct_names(
    name: str, one: tuple[str, int, int], other: tuple[str, int, int]
) -> None:
    assume(one != other)

    assert pod_name_of(name, *one) != pod_name_of(name, *other)


@given(dns_names, st.uuids().map(str), st.tuples(counts, counts), st.tuples(counts, counts))
def test_pods_of_one_task_have_distinct_names(
    name: str, uid: str, one: tuple[int, int], other: tuple[int, int]
) -> None:
    assume(one != other)

    assert pod_name_of(name, uid, *one) != pod_name_of(name, uid, *other)
