from pathlib import Path

import pytest

from acesniper.cli import connection
from acesniper.cli.connection import Connection, advised
from acesniper.cli.prediction_inputs import is_name
from acesniper.domain.errors import AcesniperError, Forbidden, InvalidInput, NotFound, Unavailable


def test_without_any_cluster_the_ways_to_name_one_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(connection, "HOME", tmp_path / "none")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(InvalidInput, match=r"--kubeconfig FILE or set KUBECONFIG.*k3s\.yaml"):
        Connection().ask(lambda _: pytest.fail("there is no cluster"))


def test_a_kubeconfig_that_is_not_there_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no kubeconfig"):
        Connection(tmp_path / "none").ask(lambda _: pytest.fail("there is no cluster"))


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
    ("content", "said"),
    [
        pytest.param("kind: Config", "no way to the cluster", id="an empty one"),
        pytest.param("", "is no kubeconfig", id="nothing"),
        pytest.param("hello", "is no kubeconfig", id="a text"),
        pytest.param("- a", "is no kubeconfig", id="a list"),
        pytest.param("# a: [", "is no kubeconfig", id="a comment"),
        pytest.param("| a | `b` |\n- x: y: z", "is no kubeconfig", id="no YAML"),
        pytest.param("\ud800", "is no kubeconfig", id="no text"),
        pytest.param(USERLESS, "is no kubeconfig", id="a user who is nobody"),
        pytest.param(UNTRUSTED, "no way to the cluster", id="an authority without a certificate"),
    ],
)
def test_a_kubeconfig_that_is_none_is_an_error_in_words(
    content: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "config").write_bytes(content.encode("utf-8", "surrogatepass"))

    with pytest.raises(InvalidInput, match=said):
        Connection(tmp_path / "config").ask(lambda _: pytest.fail("there is no cluster"))


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (NotFound("GET /apis/acesniper.io: 404"), "install the chart first"),
        (Forbidden("GET /api/v1/pods: no (403)"), "ask for the right"),
        (Unavailable("GET /version: the API server does not answer: x"), "is it running"),
    ],
)
def test_errors_of_a_cluster_say_what_to_do(error: AcesniperError, advice: str) -> None:
    found = advised(error)

    assert str(error) in str(found)
    assert advice in str(found)


def test_other_errors_stay_as_they_are() -> None:
    error = InvalidInput("there is no such task")

    assert advised(error) is error


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
def test_a_name_is_what_no_file_can_be(
    text: str, named: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)

    assert is_name(text) is named
