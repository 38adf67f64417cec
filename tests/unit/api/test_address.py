import re

import pytest

from acesniper.api.address import INPUT_PATTERN, MODEL_PATTERN, OUTPUT_PATTERN, Address
from acesniper.domain.errors import InvalidInput


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("https://host:8443/a/b.onnx?v=1", ("https", "host:8443", "a/b.onnx")),
        ("s3://bucket/a/b.onnx?endpoint=http://h:9", ("s3", "bucket", "a/b.onnx")),
        ("oci://ghcr.io/org/net:v1", ("oci", "ghcr.io", "org/net:v1")),
        ("oci+http://registry.local:5000/net", ("oci+http", "registry.local:5000", "net")),
        ("pvc://claim/a/b.onnx", ("pvc", "claim", "a/b.onnx")),
        ("configmap://name/key", ("configmap", "name", "key")),
        ("hostpath:///srv/models/b.onnx", ("hostpath", "", "/srv/models/b.onnx")),
    ],
)
def test_an_address_is_split_into_scheme_host_and_path(
    uri: str, parts: tuple[str, str, str]
) -> None:
    address = Address.parse(uri)

    assert (address.scheme, address.host, address.path) == parts
    assert re.match(MODEL_PATTERN, uri)


def test_options_of_a_store_are_read_from_the_query() -> None:
    address = Address.parse("s3://b/k?endpoint=https://minio:9000&region=eu-1")

    assert address.options == {"endpoint": "https://minio:9000", "region": "eu-1"}


def test_the_shown_address_omits_the_signature() -> None:
    assert Address.parse("https://host/m.onnx?X-Amz-Signature=abc").shown == "https://host/m.onnx"


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "ftp://host/m.onnx",
        "m.onnx",
        "pvc://claim/../other/m.onnx",
        "hostpath:///srv/..",
        "hostpath://srv/m.onnx",
        "s3:///key",
        "http://[::1/m.onnx",
    ],
)
def test_an_invalid_address_is_rejected_without_repeating_its_signature(uri: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Address.parse(f"{uri}?signature=geheim")

    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("https://user:geheim@host/m.onnx", "put credentials in a Secret"),
        ("https://user:geheim@[::1/m.onnx", "the host is invalid"),
    ],
)
def test_a_password_in_an_address_is_rejected_and_not_repeated(uri: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        Address.parse(uri)

    assert "geheim" not in str(caught.value)
    assert not re.match(MODEL_PATTERN, uri)


@pytest.mark.parametrize(
    ("pattern", "uri"),
    [
        (INPUT_PATTERN, "configmap://name/key"),
        (INPUT_PATTERN, "hostpath:///srv/x.npy"),
        (OUTPUT_PATTERN, "https://host/out"),
        (OUTPUT_PATTERN, "hostpath:///srv"),
        (MODEL_PATTERN, "http:///m.onnx"),
    ],
)
def test_inputs_and_outputs_allow_fewer_schemes_than_models(pattern: str, uri: str) -> None:
    assert not re.match(pattern, uri)
