"""Models and outputs on real stores: an S3-compatible one and an OCI registry."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from acesniper.api.address import Address
from acesniper.domain.errors import InvalidModel, Unavailable
from acesniper.probe.runner import to_bucket
from acesniper.runtime.artifacts import Bucket, Credentials, download
from acesniper.testbed.processes import Children
from acesniper.testbed.stores import ObjectStore, Registry

DATA = bytes(range(256)) * 10_000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    with Children(tmp_path_factory.mktemp("logs")) as children:
        yield children


@pytest.fixture(scope="module")
def store(children: Children, tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    folder = tmp_path_factory.mktemp("objects")
    (folder / "models/deep").mkdir(parents=True)
    (folder / "models/deep/net v1+2.onnx").write_bytes(DATA)
    return ObjectStore.start(children, folder)


@pytest.fixture(scope="module")
def registry(children: Children, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    registry = Registry.start(children, tmp_path_factory.mktemp("registry"))
    registry.push("models/net", DATA)
    return registry


def fetched(uri: str, folder: Path, secret: Mapping[str, str], sha256: str = DIGEST) -> bytes:
    target = folder / "model.onnx"
    download(Address.parse(uri), target, sha256=sha256, credentials=Credentials(secret))
    return target.read_bytes()


def test_a_model_is_downloaded_from_a_bucket(store: ObjectStore, tmp_path: Path) -> None:
    assert fetched("s3://models/deep/net v1+2.onnx", tmp_path, store.secret) == DATA


def test_the_endpoint_may_be_part_of_the_address(store: ObjectStore, tmp_path: Path) -> None:
    keys = {key: store.secret[key] for key in ("accessKeyId", "secretAccessKey")}
    uri = f"s3://models/deep/net v1+2.onnx?endpoint={store.endpoint}&region=us-east-1"

    assert fetched(uri, tmp_path, keys) == DATA


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"secretAccessKey": "wrong"}, "responds 403 Forbidden; see the Secret"),
        ({"accessKeyId": ""}, "responds 403 Forbidden; see the Secret"),
        ({"region": "moon-1"}, "responds 400"),
    ],
    ids=["secret", "anonymous", "region"],
)
def test_wrong_credentials_are_refused_and_not_printed(
    store: ObjectStore, tmp_path: Path, change: Mapping[str, str], message: str
) -> None:
    secret = {**store.secret, **change}

    with pytest.raises(Unavailable, match=message) as caught:
        fetched("s3://models/deep/net v1+2.onnx", tmp_path, secret)

    assert store.secret["secretAccessKey"] not in str(caught.value)
    assert not (tmp_path / "model.onnx").exists()


def test_a_missing_object_is_a_temporary_error(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"s3://models/none\.onnx responds 404"):
        fetched("s3://models/none.onnx", tmp_path, store.secret)


def test_an_object_with_another_digest_is_never_used(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"has sha256 .*, expected"):
        fetched("s3://models/deep/net v1+2.onnx", tmp_path, store.secret, "0" * 64)


def test_outputs_are_written_into_a_bucket(store: ObjectStore) -> None:
    (store.folder / "results").mkdir()
    write = to_bucket(Bucket(Address.parse("s3://results/run/1/"), Credentials(store.secret)))

    for number in (0, 1, 1):
        write(number, {"y": np.full((2, 2), number, np.float32)})

    written = sorted((store.folder / "results/run/1").iterdir())
    assert [path.name for path in written] == ["batch-000000.npz", "batch-000001.npz"]
    with np.load(written[1]) as content:
        assert content["y"].tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("suffix", ["", ":v1"], ids=["plain", "tag"])
def test_a_model_is_downloaded_from_a_registry(
    registry: Registry, tmp_path: Path, suffix: str
) -> None:
    uri = f"{registry.address}/models/net{suffix}"

    assert fetched(uri, tmp_path, registry.secret) == DATA


def test_a_docker_configuration_authenticates_to_a_registry(
    registry: Registry, tmp_path: Path
) -> None:
    config = {"auths": {f"{registry.host}:{registry.port}": registry.secret}}
    secret = {".dockerconfigjson": json.dumps(config)}

    assert fetched(f"{registry.address}/models/net", tmp_path, secret) == DATA


def test_a_wrong_password_of_a_registry_is_reported(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="responds 401 Unauthorized; see the Secret"):
        fetched(f"{registry.address}/models/net", tmp_path, {"username": "a", "password": "b"})


def test_a_digest_missing_from_a_registry_is_reported(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="has no blob with the digest"):
        fetched(f"{registry.address}/models/net", tmp_path, registry.secret, "0" * 64)
