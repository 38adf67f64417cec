"""Objects that cannot be read, next to objects that can: only the former are replaced by stubs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acesniper.api.untrusted_json import (
    MAX_DEPTH,
    UNREADABLE,
    MalformedJson,
    check_readable,
    parse_event,
    parse_json,
    parse_list,
    parse_object,
)
from acesniper.domain.errors import InvalidInput
from strategies import floats

DEEP_VALUES = {
    "arrays": "[" * 1200 + "]" * 1200,
    "objects": '{"a":' * 1500 + "1" + "}" * 1500,
    "mixed": '[{"a":' * 5000 + "0" + "}]" * 5000,
    "with brackets in strings": '["]}\\"",' * 900 + "[]" + "]" * 900,
    "a long integer": "9" * 5000,
}
FIELDS = [pytest.param(value, id=name) for name, value in DEEP_VALUES.items()]


def manifest(name: str, spec: str = "{}", managed: str = "[]") -> str:
    metadata = (
        f'{{"labels":{{"l":"{{["}},"managedFields":{managed},"name":"{name}","namespace":"n",'
        f'"resourceVersion":"7","uid":"u-{name}"}}'
    )
    return f'{{"apiVersion":"v1","kind":"K","metadata":{metadata},"spec":{spec},"value":0}}'


def listing(*items: str) -> bytes:
    text = f'{{"apiVersion":"v1","items":[{",".join(items)}],"kind":"KList",'
    return (text + '"metadata":{"continue":"next","resourceVersion":"9"}}').encode()


@pytest.mark.parametrize("value", FIELDS)
def test_an_unreadable_item_of_a_list_leaves_its_neighbours_intact(value: str) -> None:
    good = manifest("good", '{"text":"]}\\\\","list":[1,[]]}')

    parsed = parse_list(listing(good, manifest("bad", f'{{"x":{value}}}'), good))

    first, stub, last = parsed["items"]
    assert first == last
    assert first["spec"] == json.loads(good)["spec"]
    assert stub["metadata"] == {
        "name": "bad",
        "namespace": "n",
        "uid": "u-bad",
        "resourceVersion": "7",
        "labels": {"l": "{["},
    }
    assert parsed["metadata"] == {"continue": "next", "resourceVersion": "9"}
    with pytest.raises(InvalidInput, match="K n/bad cannot be read: spec: "):
        check_readable(stub)
    check_readable(first)


@pytest.mark.parametrize("value", FIELDS)
def test_an_unreadable_object_of_an_event_becomes_a_stub(value: str) -> None:
    bad = manifest("bad", f"[{value}]")
    line = f'{{"type":"MODIFIED","object":{bad}}}'.encode()

    event = parse_event(line)

    assert event["type"] == "MODIFIED"
    assert event["object"]["metadata"]["uid"] == "u-bad"
    assert UNREADABLE in event["object"]


def test_deep_managed_fields_do_not_make_an_object_unreadable() -> None:
    managed = f'[{{"fieldsV1":{DEEP_VALUES["objects"]}}}]'

    parsed = parse_object(manifest("a", '{"nodeName":"n"}', managed).encode())

    check_readable(parsed)
    assert parsed["spec"] == {"nodeName": "n"}
    assert parsed["value"] == 0
    assert parsed["metadata"]["name"] == "a"


@pytest.mark.parametrize("depth", range(MAX_DEPTH - 5, MAX_DEPTH + 5))
def test_whether_an_object_can_be_read_does_not_depend_on_its_neighbours(depth: int) -> None:
    text = manifest("a", "[" * depth + "]" * depth)
    bad = manifest("b", DEEP_VALUES["arrays"])

    alone = UNREADABLE in parse_object(text.encode())

    assert (UNREADABLE in parse_list(listing(text, bad))["items"][0]) == alone


@pytest.mark.parametrize(
    "text", [b"", b"<html>", b"[]", b'{"items":', b'"' * 3, b"\xff", b"]" * 5, b"{" * 5000]
)
def test_text_that_is_no_object_is_malformed(text: bytes) -> None:
    for parse in (parse_object, parse_list, parse_event):
        with pytest.raises(MalformedJson):
            parse(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | floats(-1e300, 1e300) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_valid_json_is_parsed_as_by_the_standard_library(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)

    assert parse_json(text.encode(errors="surrogatepass")) == json.loads(text)


@given(st.lists(json_values, max_size=4))
def test_the_items_next_to_an_unreadable_one_are_parsed_as_they_are(values: list[object]) -> None:
    items = [manifest("a", json.dumps(value)) for value in values]

    parsed = parse_list(listing(*items, manifest("bad", DEEP_VALUES["mixed"])))["items"]

    assert [item["spec"] for item in parsed[:-1]] == values
    assert UNREADABLE in parsed[-1]
