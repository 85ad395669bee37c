"""What tests measured, printed at the end of a run, also where they ran in other processes.

A pytest plugin, loaded by `tests/conftest.py`. A test records a line under the property `measured`; nothing is written
anywhere.
"""

import pytest

PROPERTY = "measured"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the lines in the order in which the tests ended."""
    lines = [
        str(value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in getattr(report, "user_properties", [])
        if name == PROPERTY
    ]
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
