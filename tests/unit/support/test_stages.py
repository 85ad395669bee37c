"""`make test` says what each of its stages took, and ends with the first that fails."""

from __future__ import annotations

from tests.support.stages import run


def test_every_stage_runs_and_is_in_the_table() -> None:
    """All stages run in order, and each has a line with its time and outcome."""
    ran: list[str] = []
    said: list[str] = []
    assert run(["lint", "unit"], stage=lambda name: ran.append(name) or 0, say=said.append) == 0  # type: ignore[func-returns-value]
    assert ran == ["lint", "unit"]
    assert [line.split()[0::2] for line in said if line] == [["lint", "passed"], ["unit", "passed"], ["all"]]


def test_a_failure_ends_the_run_and_is_said() -> None:
    """After a stage that failed nothing runs, the status is the stage's, and the table shows what did not run."""
    ran: list[str] = []

    def stage(name: str) -> int:
        ran.append(name)
        return 2 if name == "types" else 0

    said: list[str] = []
    assert run(["lint", "types", "unit"], stage=stage, say=said.append) == 2
    assert ran == ["lint", "types"]
    outcomes = {line.split()[0]: line.split(maxsplit=2)[2] for line in said if line and not line.startswith("all")}
    assert outcomes == {"lint": "passed", "types": "failed", "unit": "not run"}
