"""What a run of the attacks prints in the end: each attack, what refused it, and whether its twin succeeded.

A pytest plugin, loaded by `tests/conftest.py` so that it also hears of tests that ran in other processes. It prints
only; nothing is written anywhere.
"""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, and the totals."""
    attacks: dict[str, tuple[list[str], bool]] = {}
    twins: dict[str, tuple[str, bool]] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            passed = outcome == "passed"
            for name, value in getattr(report, "user_properties", []):
                if name == "attack":
                    attacks[value[0]] = (list(value), passed)
                elif name == "twin":
                    twins[value[0]] = (value[1], passed)
    if not attacks:
        return
    terminalreporter.section("attacks")
    width = max(len(each) for each in attacks)
    for name, ((_, attacker, mechanism, alone), refused) in attacks.items():
        verdict = f"refused by {mechanism}" if refused else "NOT REFUSED AS IT SHOULD BE"
        terminalreporter.write_line(f"{name:<{width}}  {attacker}: {verdict}; {_twin(twins.get(name), alone)}")
    refused_ones = sum(refused for _, refused in attacks.values())
    succeeded = sum(done for _, done in twins.values())
    terminalreporter.write_line(
        f"{len(attacks)} attacks, {refused_ones} refused; "
        f"{len(twins)} tried again without the guard, {succeeded} of them with success"
    )


def _twin(twin: tuple[str, bool] | None, alone: str) -> str:
    if twin is None:
        return f"no twin: {alone}" if alone else "its twin did not run"
    without, done = twin
    return f"succeeds without {without}" if done else f"FAILS EVEN WITHOUT {without}"
