import json

import msgspec
import pytest

from acesniper.extender.protocol import FilterResult, HostPriority, decode_args, encode
from builders import make_pod


def test_the_keys_are_those_of_the_go_structs() -> None:
    result = FilterResult(["a"], {"b": "why"}, {"c": "never"}, "")

    assert json.loads(encode(result)) == {
        "NodeNames": ["a"],
        "FailedNodes": {"b": "why"},
        "FailedAndUnresolvableNodes": {"c": "never"},
        "Error": "",
    }
    assert json.loads(encode([HostPriority("a", 7)])) == [{"Host": "a", "Score": 7}]


def test_arguments_are_read_from_a_whole_pod() -> None:
    pod = make_pod("p", task="t", model="m", uid="u")

    args = decode_args(json.dumps({"Pod": pod, "Nodes": None, "NodeNames": ["a", "b"]}).encode())

    assert args.node_names == ["a", "b"]
    assert (args.pod.metadata.name, args.pod.metadata.uid) == ("p", "u")
    assert args.pod.metadata.labels == pod["metadata"]["labels"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"NodeNames": []}', id="no pod"),
        pytest.param(b'{"Pod": {"metadata": {}}, "NodeNames": [1]}', id="numbers"),
        pytest.param(b'{"Pod": {"metadata": {}}}', id="no names"),
        pytest.param(
            b'{"Pod": {"metadata": {}}, "Nodes": {"items": []}, "NodeNames": null}',
            id="whole nodes, as without nodeCacheCapable",
        ),
    ],
)
def test_a_request_without_node_names_is_invalid(body: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_args(body)


def test_a_request_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError, match="not UTF-8"):
        decode_args(b'{"Pod":{"metadata":{"name":"p"}},"NodeNames":["a\xff"]}')
