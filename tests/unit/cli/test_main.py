"""The command line: what it takes, from flags and from the environment, and what it says to mistakes."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tasksession import __version__
from tasksession.cli.main import main, run


@pytest.fixture
def runner() -> CliRunner:
    """Return a runner with an empty environment."""
    return CliRunner(env={"KUBECONFIG": None, "KUBERNETES_SERVICE_HOST": None, "POD_NAME": None})


def test_version_and_help_are_there(runner: CliRunner) -> None:
    """--version and --help answer on both levels."""
    assert __version__ in runner.invoke(main, ["--version"]).output
    assert "run" in runner.invoke(main, ["--help"]).output
    assert "Exit status" in runner.invoke(main, ["run", "-h"]).output


def test_every_option_has_an_environment_variable_and_help(runner: CliRunner) -> None:
    """An operator in a pod is configured by its environment; each option names its variable and says what it does."""
    for parameter in run.params:
        assert getattr(parameter, "envvar", None), parameter.name
        assert getattr(parameter, "help", None), parameter.name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--probe-address", "nowhere"], ["nowhere", "HOST:PORT"]),
        (["--probe-address", "localhost:99999"], ["HOST:PORT"]),
        (["--workers", "many"], ["many", "integer"]),
        (["--sweep-interval", "900"], ["900", "300"]),
        (["--kubeconfig", "/does/not/exist"], ["does not exist"]),
        (["--log-format", "xml"], ["json", "console"]),
    ],
)
def test_a_mistake_is_a_sentence_and_status_2(runner: CliRunner, arguments: list[str], words: list[str]) -> None:
    """What is wrong with an option is said in words, before anything is connected to."""
    result = runner.invoke(main, ["run", *arguments])
    assert result.exit_code == 2
    assert all(word in result.output for word in words), result.output


def test_the_environment_is_read(runner: CliRunner) -> None:
    """A setting from the environment counts as if given by its flag."""
    result = runner.invoke(main, ["run"], env={"TASKSESSION_WORKERS": "0"})
    assert result.exit_code == 2
    assert "workers" in result.output


def test_the_doctor_is_there_and_says_what_its_status_means(runner: CliRunner) -> None:
    """Its help has the exit statuses, and each option says what it does."""
    output = runner.invoke(main, ["doctor", "-h"]).output
    assert "Exit status" in output and "only reads" in output
    for parameter in main.commands["doctor"].params:
        assert getattr(parameter, "help", None), parameter.name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output", "xml"], ["text", "json"]),
        (["--kubeconfig", "/does/not/exist"], ["does not exist"]),
        (["--request-timeout", "0"], ["request-timeout"]),
    ],
)
def test_a_mistake_in_the_doctors_options_is_a_sentence(
    runner: CliRunner, arguments: list[str], words: list[str]
) -> None:
    """A wrong option is status 2, as for `run`: no finding has that status."""
    result = runner.invoke(main, ["doctor", *arguments])
    assert result.exit_code == 2
    assert all(word in result.output for word in words), result.output


def test_a_doctor_without_a_cluster_is_a_sentence(runner: CliRunner, tmp_path: Path) -> None:
    """A kubeconfig that says nothing is no traceback."""
    empty = tmp_path / "kubeconfig"
    empty.write_text("apiVersion: v1\nkind: Config\n")
    result = runner.invoke(main, ["doctor", "--kubeconfig", str(empty)])
    assert result.exit_code == 1
    assert result.output.startswith("Error: the cluster cannot be examined: cannot connect with kubeconfig")


def test_a_check_without_a_cluster_is_a_sentence(runner: CliRunner, tmp_path: Path) -> None:
    """It fails with status 1 and says what it tried, without waiting; its help has the exit statuses."""
    assert "Exit status" in runner.invoke(main, ["check", "-h"]).output
    empty = tmp_path / "kubeconfig"
    empty.write_text("apiVersion: v1\nkind: Config\n")
    result = runner.invoke(main, ["check", "--kubeconfig", str(empty)])
    assert result.exit_code == 1
    assert result.output.startswith("failed: cannot connect with kubeconfig")
