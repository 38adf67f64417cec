"""Log output: JSON in clusters, text on terminals.

Messages quote names, files and servers. Each record is one printable line of limited length, and
the lines of a traceback are indented, so that no text can pretend to be another record.
"""

import json
import logging
import sys

from acesniper.domain.foreign_text import bounded_text, printable_text

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
MAX_LINE_CHARS = 4000
"""Maximum length of a message, of a text in `extra`, and of a line of a traceback."""
MAX_TRACEBACK_LINES = 100
"""Only the last lines of a longer traceback are logged."""


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; fields of `extra` are included."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as JSON."""
        line: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": bounded_text(record.getMessage(), MAX_LINE_CHARS),
        }
        line |= {
            key: bounded_text(value, MAX_LINE_CHARS) if isinstance(value, str) else value
            for key, value in vars(record).items()
            if key not in _STANDARD
        }
        if record.exc_info:
            line["exception"] = _bounded_traceback(self.formatException(record.exc_info))
        return json.dumps(line, default=lambda value: bounded_text(value, MAX_LINE_CHARS))


class TextFormatter(logging.Formatter):
    """Formats a record as one line of text, with an indented traceback below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Format the line of a record."""
        record.message = bounded_text(record.message, MAX_LINE_CHARS)
        return super().formatMessage(record)

    def formatException(self, ei: "logging._SysExcInfoType") -> str:
        """Format the traceback of a record."""
        return _indented(_bounded_traceback(super().formatException(ei)))

    def formatStack(self, stack_info: str) -> str:
        """Format the call stack of a record."""
        return _indented(_bounded_traceback(stack_info))


def _bounded_traceback(text: str) -> str:
    lines = text.split("\n")[-MAX_TRACEBACK_LINES:]
    return "\n".join(printable_text(line[:MAX_LINE_CHARS]) for line in lines)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))


def configure(log_format: str, level: str) -> None:
    """Send all log records to standard error in the given format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
