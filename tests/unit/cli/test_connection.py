from pathlib import Path

import pytest

from acesniper.cli.connection import Connection, with_advice
from acesniper.cli.prediction_inputs import is_object_name
from acesniper.domain.errors import AcesniperError, Forbidden, InvalidInput, NotFound, Unavailable


def test_without_a_configured_cluster_the_error_lists_the_options(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(InvalidInput, match=r"--kubeconfig FILE or set KUBECONFIG.*k3s\.yaml"):
        Connection().run(lambda _: pytest.fail("there is no cluster"))


def test_a_missing_kubeconfig_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="none does not exist"):
        Connection(tmp_path / "none").run(lambda _: pytest.fail("there is no cluster"))


USERLESS = """
clusters: [{name: here, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: me, user: {token: x}}]
contexts: [{name: now, context: {cluster: here, user: you}}]
current-context: now
"""
UNTRUSTED = USERLESS.replace("user: you", "user: me").replace(
    ':1"', ':1", certificate-authority-data: aGVsbG8='
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("kind: Config", "cannot connect to a cluster", id="an empty one"),
        pytest.param("", "is not a kubeconfig", id="nothing"),
        pytest.param("hello", "is not a kubeconfig", id="a text"),
        pytest.param("- a", "is not a kubeconfig", id="a list"),
        pytest.param("# a: [", "is not a kubeconfig", id="a comment"),
        pytest.param("| a | `b` |\n- x: y: z", "is not a kubeconfig", id="no YAML"),
        pytest.param("\ud800", "is not a kubeconfig", id="no text"),
        pytest.param(USERLESS, "is not a kubeconfig", id="an unknown user"),
        pytest.param(
            UNTRUSTED, "cannot connect to a cluster", id="an authority without a certificate"
        ),
    ],
)
def test_an_invalid_kubeconfig_is_an_input_error(
    content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "config").write_bytes(content.encode("utf-8", "surrogatepass"))

    with pytest.raises(InvalidInput, match=message):
        Connection(tmp_path / "config").run(lambda _: pytest.fail("there is no cluster"))


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (NotFound("GET /apis/acesniper.io: 404"), "install the chart"),
        (Forbidden("GET /api/v1/pods: no (403)"), "lacks the permission: request it"),
        (
            Unavailable("GET /version: the API server does not answer: x"),
            "check that the cluster runs",
        ),
    ],
)
def test_errors_of_a_cluster_come_with_advice(error: AcesniperError, advice: str) -> None:
    advised = with_advice(error)

    assert str(error) in str(advised)
    assert advice in str(advised)


def test_other_errors_are_unchanged() -> None:
    error = InvalidInput("there is no such task")

    assert with_advice(error) is error


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("resnet18", True),
        ("edge-1.example.com-cpu", True),
        ("resnet18.onnx", False),
        ("models/resnet18", False),
        ("docs", False),
    ],
)
def test_a_text_is_a_name_unless_it_is_a_path_or_a_file(
    text: str, named: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)

    assert is_object_name(text) is named
