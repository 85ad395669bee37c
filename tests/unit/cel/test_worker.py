"""What the condition worker answers, in this process: with questions that are small and harmless."""

import json
from typing import Any

import pytest

from tasksession.cel.expressions import InvalidCondition, compile_condition
from tasksession.cel.worker import serve


def question(number: int, expression: str, **data: Any) -> str:
    """One line of the worker's input."""
    whole = {"session": {}, "requester": {}, "namespaceObject": {}, "policy": {}, **data}
    return json.dumps({"id": number, "expression": expression, "data": whole, "now": "2026-03-01T12:00:00+00:00"})


def test_each_line_gets_its_answer_in_order() -> None:
    """Yes, no, an error, no condition at all, no question at all: the worker goes on after each."""
    lines = [
        question(1, "session.n == 1", session={"n": 1}),
        question(2, "session.n == 1", session={"n": 2}),
        question(3, "session.n == 1"),
        question(4, "session.n"),
        "not json",
        "[1]",
        question(7, "now == timestamp('2026-03-01T12:00:00Z')"),
    ]
    ready, *answers = serve(lines)
    assert ready == {"ready": True}
    assert [(each["id"], each["holds"]) for each in answers] == [
        (1, True), (2, False), (3, False), (4, False), (None, False), (None, False), (7, True),
    ]  # fmt: skip
    assert [each["problem"] is None for each in answers] == [True, True, False, False, False, False, True]


def test_more_expressions_than_are_kept_are_compiled_again() -> None:
    """The worker's memory does not grow with the number of policies."""
    _, *answers = serve(question(n % 300, f"session.n == {n % 300}", session={"n": n % 300}) for n in range(600))
    assert all(answer["holds"] for answer in answers)


def test_a_value_that_cannot_be_converted_is_a_no() -> None:
    """A number beyond 64 bits is valid JSON, and nothing CEL knows."""
    _, answer = serve([question(1, "session.n > 0", session={"n": 10**30})])
    assert answer["holds"] is False
    assert answer["problem"]


@pytest.mark.parametrize(
    "expression", ["1", "session", "namespace == 1", "[1].all(a, [1].all(b, [1].all(c, [1].all(d, true))))"]
)
def test_what_is_no_condition_does_not_compile(expression: str) -> None:
    """The message says why."""
    with pytest.raises(InvalidCondition, match=r"\w"):
        compile_condition(expression)
