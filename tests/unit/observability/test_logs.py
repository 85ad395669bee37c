"""Logs: one line a record, the same fields for machines and people, and only our own loggers at the chosen level."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from tasksession.observability.logs import ConsoleFormatter, JsonFormatter, configure


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("tasksession").setLevel(logging.NOTSET)
    logging.getLogger("kopf.objects").setLevel(logging.NOTSET)


def record(message: str = "session ended", *, failed: bool = False) -> logging.LogRecord:
    """A log record with a field of its own."""
    error = None
    if failed:
        try:
            raise ValueError("broken")
        except ValueError:
            error = sys.exc_info()
    made = logging.LogRecord("tasksession.engine", logging.INFO, "file.py", 1, message, (), error)
    made.session = "triage"
    return made


def test_json_is_one_object_a_line_with_all_fields() -> None:
    """Time, level, logger, message, and what the caller gave."""
    line = JsonFormatter().format(record())
    assert "\n" not in line
    fields = json.loads(line)
    assert fields["time"].endswith("+00:00")
    assert fields.items() >= {"level": "info", "logger": "tasksession.engine", "session": "triage"}.items()
    assert "ValueError: broken" in json.loads(JsonFormatter().format(record(failed=True)))["exception"]


def test_the_console_has_the_same_fields() -> None:
    """For people: message first, then key=value, then the exception."""
    assert ConsoleFormatter().format(record()).endswith("session ended session=triage")
    assert "ValueError: broken" in ConsoleFormatter().format(record(failed=True))


def test_only_our_own_loggers_speak_at_the_chosen_level(capsys: pytest.CaptureFixture[str]) -> None:
    """Libraries are heard from warnings on; kopf's remark about signals is not."""
    configure("json", "debug")
    logging.getLogger("tasksession.engine").debug("ours")
    logging.getLogger("library").info("theirs")
    logging.getLogger("library").warning("OS signals are ignored: running not in the main thread.")
    logging.getLogger("library").warning("a problem")
    lines = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["ours", "a problem"]
