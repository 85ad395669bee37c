"""docs/operations.md has every setting of the command line and every field of the record."""

from __future__ import annotations

import re

import click

from tasksession.cli.main import main
from tasksession.record.session_record import session_record
from tests.support.pages import ROOT, prose, rows
from tests.unit import make

PAGE = ROOT / "docs" / "operations.md"


def options() -> list[click.Option]:
    """Return the options of `run`, but for --help."""
    assert isinstance(main, click.Group)
    return [each for each in main.commands["run"].params if isinstance(each, click.Option)]


def test_every_setting_is_listed_with_its_variable_and_default() -> None:
    """The table of settings has each flag, its environment variables and its default, and no other."""
    listed = {cells[0].strip("`"): cells for cells in rows(PAGE, "Settings")}
    assert list(listed) == [option.opts[0] for option in options()]
    for option in options():
        _, variables, default, _ = listed[option.opts[0]]
        expected = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
        assert re.findall(r"`([A-Z_]+)`", variables) == expected
        if option.default not in (None, "") and isinstance(option.default, (str, int, float)):
            assert default == f"`{option.default}`", option.opts


def test_every_field_of_the_record_is_listed() -> None:
    """The table of the record has exactly the fields that are logged."""
    listed = [name for cells in rows(PAGE, "The record of a session") for name in re.findall(r"`(\w+)`", cells[0])]
    assert sorted(listed) == sorted(session_record(make.session(), removed=False))


def test_every_log_message_exists() -> None:
    """A message in the table of logs is one that the code logs."""
    code = "\n".join(file.read_text() for file in (ROOT / "operator" / "tasksession").rglob("*.py"))
    for cells in rows(PAGE, "Logs"):
        assert f'"{cells[0].strip("`")}"' in code, cells[0]


def test_every_probe_is_listed() -> None:
    """The table of probes has the checks that the operator serves."""
    code = (ROOT / "operator" / "tasksession" / "engine" / "health.py").read_text()
    served = re.findall(r'"(\w+)": self\._', code)
    assert [cells[0].strip("`") for cells in rows(PAGE, "Probes")] == served
    assert "/livez" in prose(PAGE)
