"""Conditions in CEL, asked as the operator asks them: in the condition worker, a real child process."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import tasksession
from tasksession.api.policy import GrantCondition
from tasksession.engine.condition_evaluator import ConditionEvaluator
from tasksession.policy.facts import ConditionAnswer
from tests.cluster.waiting import wait_for

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SESSION: dict[str, Any] = {"spec": {"reason": "CHG-4711 triage", "revoked": False}, "numbers": list(range(60))}

#: Three nested macros, within all caps on text: about three gigabytes where nothing bounds them.
BOMB = "[session.big].map(x, {}).map(x, {}).map(x, {}).size() > 0".format(*["+".join(["x"] * 15)] * 3)
#: A regular expression that is slow on the text it is given, many times over.
SLOW = "session.numbers.all(a, session.numbers.all(b, !session.long.matches('(x+x+)+y|(x*)*z')))"


@pytest_asyncio.fixture
async def evaluator() -> AsyncIterator[ConditionEvaluator]:
    """An evaluator, closed at the end."""
    made = ConditionEvaluator()
    yield made
    await made.close()


async def ask(evaluator: ConditionEvaluator, *expressions: str, **more: Any) -> tuple[ConditionAnswer, ...]:
    """Ask whether expressions hold for SESSION, with `more` in it."""
    conditions = [GrantCondition(name=f"c{i}", expression=text) for i, text in enumerate(expressions)]
    return await evaluator.evaluate(
        conditions,
        session={**SESSION, **more},
        requester={"username": "jane", "groups": ["support"]},
        namespace_object={"metadata": {"name": "support", "labels": {"tier": "2"}}},
        policy={"metadata": {"name": "ticket-triage"}},
        now=NOW,
    )


def _peak_megabytes(pid: int) -> int:
    """The most memory that a process ever had, as Linux tells."""
    peak = re.search(r"VmPeak:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert peak is not None
    return int(peak[1]) // 1024


@pytest.mark.parametrize(
    "expression",
    [
        "true",
        "session.spec.reason.matches('^CHG-[0-9]+')",
        "'support' in requester.groups && requester.username == 'jane'",
        "namespaceObject.metadata.labels.tier == '2'",
        "policy.metadata.name == 'ticket-triage'",
        "now < timestamp('2026-03-01T12:00:01Z') && now.getHours('Europe/Berlin') == 13",
        "!has(session.spec.ttl)",
    ],
)
async def test_a_condition_that_is_true_holds(evaluator: ConditionEvaluator, expression: str) -> None:
    """All five variables can be used, as plain objects and a timestamp."""
    assert await ask(evaluator, expression) == (ConditionAnswer("c0", holds=True),)


async def test_a_condition_that_is_false_does_not_hold_and_has_no_problem(evaluator: ConditionEvaluator) -> None:
    """No is an answer; a problem is what kept the question from being answered."""
    assert await ask(evaluator, "session.spec.revoked == true") == (ConditionAnswer("c0", holds=False),)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("session.spec.ticket == 'x'", "not found"),
        ("1 / 0 == 1", "zero"),
        ("session.spec.reason > 3", "overload"),
        ("'x'.matches('(')", "regular expression"),
        ("'yes'", "yields a bool"),
        ("session.spec.reason", "yields a bool"),
        ("session.spec.revoked", "yields a bool"),
        ("namespace == 'support'", "reserved"),
        ("unknown == 1", "undeclared"),
        ("true &&", "syntax"),
        ("", "syntax"),
        ("(" * 40 + "true" + ")" * 40, "recursion"),
        ("'" + "x" * 1100 + "' == ''", "1024 characters"),
        ("[1].map(a, a).map(a, a).map(a, a).map(a, a).size() > 0", "at most 3"),
    ],
)
async def test_what_is_not_clearly_true_is_a_no_with_its_problem(
    evaluator: ConditionEvaluator, expression: str, problem: str
) -> None:
    """Errors, unknown names, values that are no booleans: denied, and said why in one bounded line."""
    (answer,) = await ask(evaluator, expression)
    assert not answer.holds
    assert answer.problem is not None
    assert problem in answer.problem.lower()
    assert len(answer.problem) <= 300
    assert "\n" not in answer.problem


async def test_a_true_alternative_to_an_error_is_true(evaluator: ConditionEvaluator) -> None:
    """As everywhere in CEL, `||` absorbs an error on one side; without a true side the error remains."""
    assert [answer.holds for answer in await ask(evaluator, "session.no == 1 || true", "session.no == 1 || false")] == [
        True,
        False,
    ]


async def test_a_bomb_runs_out_of_its_own_memory() -> None:
    """An expression that takes gigabytes is a no, and the next question is answered."""
    evaluator = ConditionEvaluator(answer_seconds=20)
    try:
        bomb, after = await ask(evaluator, BOMB, "true", big="y" * 100_000)
        assert not bomb.holds
        assert bomb.problem in ("std::bad_alloc", "the condition worker died")
        assert after.holds
        assert evaluator.child_pid is not None
        assert _peak_megabytes(evaluator.child_pid) <= 512
    finally:
        await evaluator.close()


async def test_nested_macros_run_out_of_iterations(evaluator: ConditionEvaluator) -> None:
    """Loops in loops are cut off by the library's own budget."""
    numbers = "session.many"
    text = f"{numbers}.exists(a, {numbers}.exists(b, {numbers}.exists(c, a + b + c == -1)))"
    (answer,) = await ask(evaluator, text, many=list(range(1000)))
    assert not answer.holds
    assert answer.problem is not None
    assert "budget" in answer.problem


async def test_what_takes_too_long_is_a_no_and_the_rest_is_not_asked() -> None:
    """The child is killed in the middle of an expression; one slow condition costs one time-out, not one each."""
    evaluator = ConditionEvaluator(answer_seconds=0.2)
    try:
        await ask(evaluator, "true")
        before = evaluator.child_pid
        started = time.monotonic()
        slow, other = await ask(evaluator, SLOW, "true", long="x" * 900_000)
        assert time.monotonic() - started < 5
        assert slow == ConditionAnswer("c0", holds=False, problem="it took longer than 0.2 s")
        assert other == ConditionAnswer(
            "c1", holds=False, problem="it was not asked, because condition c0 took too long"
        )
        assert evaluator.child_pid is None
        assert (await ask(evaluator, "true"))[0].holds
        assert evaluator.child_pid not in (None, before)
    finally:
        await evaluator.close()


async def test_a_killed_child_is_a_no_and_is_replaced(evaluator: ConditionEvaluator) -> None:
    """Death in the middle of a question denies that question alone."""
    await ask(evaluator, "true")
    assert evaluator.child_pid is not None
    os.kill(evaluator.child_pid, signal.SIGSTOP)
    asking = asyncio.create_task(ask(evaluator, "true"))
    await asyncio.sleep(0)
    os.kill(evaluator.child_pid, signal.SIGKILL)
    (answer,) = await asking
    # Where the death was noticed before the question was put, a new child has answered it.
    assert answer.holds or answer.problem == "the condition worker died"
    assert (await ask(evaluator, "true"))[0].holds


async def test_an_answer_is_never_taken_for_another_question(evaluator: ConditionEvaluator) -> None:
    """A question that was given up leaves no answer behind for the next one."""
    await ask(evaluator, "true")
    for _ in range(20):
        asking = asyncio.create_task(ask(evaluator, "true"))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert not (await ask(evaluator, "false"))[0].holds


async def test_questions_at_the_same_time_get_their_own_answers(evaluator: ConditionEvaluator) -> None:
    """Fifty sessions at once: each hears about its own number."""
    answers = await asyncio.gather(*(ask(evaluator, f"session.number == {n}", number=n // 2 * 2) for n in range(50)))
    assert [answer.holds for (answer,) in answers] == [n % 2 == 0 for n in range(50)]


async def test_a_session_that_is_too_large_is_a_no(evaluator: ConditionEvaluator) -> None:
    """What no API server would store is not even asked about."""
    (answer,) = await ask(evaluator, "true", big="y" * (3 << 20))
    assert answer == ConditionAnswer("c0", holds=False, problem="session and policy together are larger than 2 MiB")


async def test_a_thousand_questions_take_no_two_seconds(evaluator: ConditionEvaluator) -> None:
    """One child answers them all; what counts is the processors' time, which other work beside does not change."""
    await ask(evaluator, "true")
    child = evaluator.child_pid
    assert child is not None
    started = time.process_time() + _processor_seconds(child)
    for _ in range(40):
        answers = await ask(evaluator, *["session.spec.reason.matches('^CHG-[0-9]+')"] * 25)
        assert all(answer.holds for answer in answers)
    assert time.process_time() + _processor_seconds(child) - started < 2
    assert evaluator.child_pid == child


def _processor_seconds(pid: int) -> float:
    # After the command, which stands in parentheses, utime and stime are the 12th and 13th field.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_without_conditions_no_child_is_started(evaluator: ConditionEvaluator) -> None:
    """Policies without conditions cost nothing."""
    assert await ask(evaluator) == ()
    assert evaluator.child_pid is None


def test_the_worker_ends_with_its_input_and_says_no_to_garbage() -> None:
    """It runs by itself as a module, never dies of a bad line, and does not outlive who started it."""
    lines = '{"id": 1}\nnot json\n[1]\n'
    root = str(Path(tasksession.__file__).parents[1])
    start = "import sys; sys.path.insert(0, sys.argv[1]); from tasksession.cel.worker import main; main()"
    ended = subprocess.run(
        [sys.executable, "-I", "-c", start, root], input=lines, capture_output=True, text=True, timeout=60, check=True
    )
    greeting, *answers = ended.stdout.splitlines()
    assert greeting == '{"ready": true}'
    assert len(answers) == 3
    assert all('"holds": false' in answer for answer in answers)


_PARENT = """
import asyncio, sys
sys.path[:0] = sys.argv[1:3]
from tasksession.engine.condition_evaluator import ConditionEvaluator
from tests.unit.cel.test_expressions import SLOW, ask

async def main():
    evaluator = ConditionEvaluator(answer_seconds=60)
    await ask(evaluator, "true")
    print(evaluator.child_pid, flush=True)
    await ask(evaluator, SLOW, long="x" * 900_000)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("", "the condition worker died"),
        ("print('hello'); input()", "cannot be read"),
        ("print('[1]'); input()", "cannot be read"),
        ("print('{}'); input()", "could not be started"),
        ("print('{\"ready\": true}')", "died"),
        ("print('{\"ready\": true}'); input(); print('x' * 100_000)", "cannot be read"),
        ("print('{\"ready\": true}'); input(); print('yes')", "cannot be read"),
        ('print(\'{"ready": true}\'); input(); print(\'{"id": 2, "holds": true}\')', "to another question"),
        ('print(\'{"ready": true}\'); input(); print(\'{"id": 1, "holds": 1}\')', "made no sense"),
        ("print('{\"ready\": true}'); input(); print('{\"id\": 1}')", "made no sense"),
    ],
)
async def test_a_child_that_talks_nonsense_is_a_no(script: str, problem: str) -> None:
    """Only one form of answer is a yes; after anything else the child is gone."""
    evaluator = ConditionEvaluator(worker=[sys.executable, "-u", "-c", script])
    (answer,) = await ask(evaluator, "true")
    assert not answer.holds
    assert answer.problem is not None
    assert problem in answer.problem
    assert evaluator.child_pid is None


async def test_a_child_that_cannot_be_started_is_a_no() -> None:
    """The reason is told, and nothing else happens."""
    (answer,) = await ask(ConditionEvaluator(worker=["/nonexistent"]), "true")
    assert answer == ConditionAnswer(
        "c0", holds=False, problem="the condition worker could not be started (FileNotFoundError)"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not kill a child with its parent")
def test_the_worker_does_not_outlive_an_operator_that_is_killed() -> None:
    """Even in the middle of an expression: with its parent gone, nobody else would kill it."""
    roots = [str(Path(tasksession.__file__).parents[1]), str(Path(__file__).parents[3])]
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, *roots], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _is_alive(child)
        parent.kill()
    wait_for(lambda: not _is_alive(child), timeout=5, what="the condition worker to end")


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


#: A child that takes 0.15 seconds for each answer, which is yes.
_LEISURELY = """
import json, sys, time
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    time.sleep(0.15)
    print(json.dumps({"id": json.loads(line)["id"], "holds": True, "problem": None}), flush=True)
"""


async def test_all_conditions_of_a_session_may_take_as_long_as_one() -> None:
    """Many that are each just quick enough hold nobody up for longer than one that is too slow."""
    evaluator = ConditionEvaluator(answer_seconds=0.4, worker=(sys.executable, "-c", _LEISURELY))
    try:
        answers = await ask(evaluator, *["true"] * 12)
    finally:
        await evaluator.close()
    held = [answer.holds for answer in answers]
    assert held == sorted(held, reverse=True)
    assert 0 < held.count(True) < 4
    assert any("took longer" in str(answer.problem) for answer in answers)


async def test_one_namespace_does_not_keep_the_others_waiting() -> None:
    """Of ten sessions of one namespace that came first, two at most are asked about before the one of another."""
    evaluator = ConditionEvaluator(answer_seconds=5.0, worker=(sys.executable, "-c", _LEISURELY))
    done: list[str] = []

    async def one(namespace: str) -> None:
        await ask(evaluator, "true", metadata={"namespace": namespace})
        done.append(namespace)

    try:
        many = [asyncio.create_task(one("many")) for _ in range(10)]
        await asyncio.sleep(0)
        await asyncio.gather(one("other"), *many)
    finally:
        await evaluator.close()
    assert done.index("other") <= 2
