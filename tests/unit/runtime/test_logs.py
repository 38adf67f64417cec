import json
import logging
import sys

import pytest

from acesniper.runtime.logs import MAX_LINE_CHARS, JsonFormatter, TextFormatter

FORMATTERS = [JsonFormatter(), TextFormatter()]
HOSTILE = "conv\x1b]0;owned\x07\n2026-12-01 ERROR acesniper: forged\u202e\x9b2J" + "x" * 3_000_000


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


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_a_foreign_text_stays_within_its_record(formatter: logging.Formatter) -> None:
    record = logging.makeLogRecord({"msg": "operator %s", "args": (HOSTILE,), "model": HOSTILE})

    line = formatter.format(record)

    assert line.isprintable()
    assert len(line) < 3 * MAX_LINE_CHARS


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_a_foreign_text_in_a_traceback_cannot_start_a_line(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})

    first, *others = formatter.format(record).split("\n")

    assert first.isprintable()
    assert all(line.startswith("    ") and line.isprintable() for line in others)
    assert len(first) + sum(map(len, others)) < 3 * MAX_LINE_CHARS
