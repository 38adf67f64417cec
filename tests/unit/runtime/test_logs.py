import json
import logging
import sys

from acesniper.runtime.logs import JsonFormatter


def test_a_json_log_line_contains_the_extra_fields() -> None:
    record = logging.makeLogRecord(
        {"name": "a.b", "levelname": "INFO", "msg": "on %s", "args": ("n1",), "task": "ns/t"}
    )

    line = json.loads(JsonFormatter().format(record))

    assert {key: line[key] for key in ("level", "logger", "message", "task")} == {
        "level": "info",
        "logger": "a.b",
        "message": "on n1",
        "task": "ns/t",
    }


def test_an_exception_is_logged_on_one_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})

    text = JsonFormatter().format(record)

    assert "\n" not in text
    assert "ValueError: broken" in json.loads(text)["exception"]
