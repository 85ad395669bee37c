"""Structured logs: JSON for machines, a short line for people, the same fields in both.

Set up once by the command line. Callers pass fields in `extra`; none may hold token bytes, and none ever needs to.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

LogFormat = Literal["json", "console"]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _word(value: object) -> str:
    """Write a value as one word: text that others chose must not be able to look like further fields or lines."""
    text = str(value)
    plain = text.isprintable() and not any(character in text for character in ' "=')
    return text if plain and text else json.dumps(text)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class ConsoleFormatter(logging.Formatter):
    """Time, level, message, then the fields as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        time = datetime.fromtimestamp(record.created, tz=UTC).strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{key}={_word(value)}" for key, value in _fields(record).items())
        line = f"{time} {record.levelname:<7} {record.getMessage()} {fields}".rstrip()
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


class _SignalsAreOurs(logging.Filter):
    """kopf warns that it ignores signals; in its own thread that is what is wanted."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record but that one."""
        return "OS signals are ignored" not in record.getMessage()


def configure(log_format: LogFormat, level: str) -> None:
    """Send all logs to standard error in one format; `level` is a name such as info."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else ConsoleFormatter())
    handler.addFilter(_SignalsAreOurs())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tasksession").setLevel(level.upper())
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
