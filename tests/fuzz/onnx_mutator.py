"""Changes of an ONNX file that keep it an ONNX file: a field gets another value, or a part moves.

Changed bytes alone seldom parse, and a parser that rejects them says nothing about its reader.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from onnx import ModelProto

INTEGERS = (-(2**63), -1, 0, 1, 2, 3, 7, 64, 4096, 4097, 2**31 - 1, 2**40, 2**63 - 1)
FLOATS = (0.0, -1.0, 0.5, 1e30, float("inf"), float("nan"))
TEXTS = ("", "x", "\0", "../x", "9" * 5000, str(2**63), "Loop", "If", "Shape", "Tile", "Gather")
MAX_FIELDS = 5_000

Field = tuple[Message, FieldDescriptor]


def mutated(data: bytes, max_size: int, seed: int, mutate: Callable[[bytes, int], bytes]) -> bytes:
    """Another file; `mutate` changes bytes, for a file or a field that is no structure."""
    source = random.Random(seed)  # noqa: S311 - no secret
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        return mutate(data, max_size)
    fields = [field for _, field in zip(range(MAX_FIELDS), _fields(model), strict=False)]
    if not fields or source.random() < 0.2:
        return mutate(data, max_size)
    for _ in range(source.choice((1, 1, 2, 4))):
        message, field = source.choice(fields)
        try:
            _change(message, field, source, fields, mutate)
        except (TypeError, ValueError, IndexError):
            continue  # the value does not fit, or its part was removed
    changed: bytes = model.SerializePartialToString()
    return changed if len(changed) <= max_size else mutate(data, max_size)


def _fields(message: Message) -> Iterator[Field]:
    for field, value in message.ListFields():
        yield message, field
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if field.is_repeated else (value,):
                yield from _fields(inner)


def _change(
    message: Message,
    field: FieldDescriptor,
    source: random.Random,
    fields: list[Field],
    mutate: Callable[[bytes, int], bytes],
) -> None:
    if not field.is_repeated:
        if field.type == FieldDescriptor.TYPE_MESSAGE or source.random() < 0.1:
            message.ClearField(field.name)
        else:
            setattr(
                message,
                field.name,
                _value(field, getattr(message, field.name), source, fields, mutate),
            )
        return
    values: Any = getattr(message, field.name)
    place = source.randrange(len(values))
    action = source.choice(("remove", "repeat", "change"))
    if action == "remove":
        del values[place]
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        other = values[source.randrange(len(values))]
        values.add().CopyFrom(other) if action == "repeat" else values[place].CopyFrom(other)
    elif action == "repeat":
        values.append(values[place])
    else:
        values[place] = _value(field, values[place], source, fields, mutate)


def _value(
    field: FieldDescriptor,
    before: Any,  # noqa: ANN401 - of the field's type
    source: random.Random,
    fields: list[Field],
    mutate: Callable[[bytes, int], bytes],
) -> Any:  # noqa: ANN401
    """Another value of a field: a special one, one from elsewhere in the file, or changed bytes."""
    if field.type == FieldDescriptor.TYPE_STRING:
        return source.choice((source.choice(TEXTS), _text(source, fields)))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return mutate(before, len(before) + 16)
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return source.choice(FLOATS)
    return source.choice((source.choice(INTEGERS), int(before) + 1, source.randrange(32)))


def _text(source: random.Random, fields: list[Field]) -> str:
    """A string of the file, such as the name of another value."""
    texts = [
        text
        for message, field in source.sample(fields, min(len(fields), 50))
        if field.type == FieldDescriptor.TYPE_STRING
        for value in [getattr(message, field.name)]
        for text in (value if field.is_repeated else [value])
    ]
    return str(source.choice(texts or ["y"]))
