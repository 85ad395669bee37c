"""Asks the condition worker, a child process, whether a policy's conditions hold for a session.

The reviewer calls it before a grant. Expressions come from policy authors and data from requesters, and together they
can take any amount of memory and time: so they are evaluated in a child that bounds its memory, and that is killed
when it does not answer in time. Whatever is not a clear yes is a no: an error, a time-out, a crash, garbage. An answer
must never be taken for that to another question.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tasksession.api.policy import GrantCondition
from tasksession.engine.turns import Turns
from tasksession.policy.facts import ConditionAnswer

#: The child sees nothing of this process's environment or working directory, and imports from where we are installed.
_START = "import sys; sys.path.insert(0, sys.argv[1]); from tasksession.cel.worker import main; main()"
_WORKER = (sys.executable, "-I", "-X", "utf8", "-c", _START, str(Path(__file__).resolve().parents[2]))
_START_SECONDS = 20.0
_LARGEST_QUESTION = 2 << 20
_LARGEST_ANSWER = 16 << 10


class _NoAnswerError(Exception):
    """The child gave no usable answer; the message says why, in words for a denial."""


class ConditionEvaluator:
    """Evaluates conditions, one at a time, in a child that is started at the first question and again when it died."""

    def __init__(self, *, answer_seconds: float = 1.0, worker: Sequence[str] = _WORKER) -> None:
        """`answer_seconds`: how long one condition may take. `worker`: the command line of the child."""
        self._answer_seconds = answer_seconds
        self._worker = tuple(worker)
        self._turns = Turns()
        self._left = answer_seconds
        self._child: asyncio.subprocess.Process | None = None
        self._asked = 0

    @property
    def child_pid(self) -> int | None:
        """The process id of the running child, None while there is none."""
        return self._child.pid if self._child is not None else None

    async def evaluate(
        self,
        conditions: Sequence[GrantCondition],
        *,
        session: Mapping[str, Any],
        requester: Mapping[str, Any],
        namespace_object: Mapping[str, Any],
        policy: Mapping[str, Any],
        now: datetime,
    ) -> tuple[ConditionAnswer, ...]:
        """Return an answer to each condition, in order; the objects are in their JSON form, and `now` is server time.

        All conditions of a session together may take as long as one. After that the others are not asked, and of those
        who wait each namespace has its turn: so nobody holds up the rest for longer than one time-out.
        """
        if not conditions:
            return ()
        data = {"session": session, "requester": requester, "namespaceObject": namespace_object, "policy": policy}
        answers: list[ConditionAnswer] = []
        slow: str | None = None
        async with self._turns.take(str((session.get("metadata") or {}).get("namespace", ""))):
            self._left = self._answer_seconds
            for condition in conditions:
                if slow is not None:
                    problem = f"it was not asked, because condition {slow} took too long"
                    answers.append(ConditionAnswer(condition.name, holds=False, problem=problem))
                    continue
                try:
                    answers.append(await self._answer(condition, data, now))
                except TimeoutError:
                    slow = condition.name
                    problem = f"it took longer than {self._answer_seconds:g} s"
                    if answers:
                        problem = f"with those before it, {problem}"
                    answers.append(ConditionAnswer(condition.name, holds=False, problem=problem))
                except _NoAnswerError as error:
                    answers.append(ConditionAnswer(condition.name, holds=False, problem=str(error)))
        return tuple(answers)

    async def close(self) -> None:
        """End the child. A later question starts another."""
        async with self._turns.take(""):
            await self._kill()

    async def _answer(self, condition: GrantCondition, data: Mapping[str, Any], now: datetime) -> ConditionAnswer:
        self._asked += 1
        asked = {"id": self._asked, "expression": condition.expression, "data": data, "now": now.isoformat()}
        try:
            question = json.dumps(asked).encode() + b"\n"
        except (TypeError, ValueError, RecursionError) as error:
            raise _NoAnswerError("the session is not in a form that can be asked about") from error
        if len(question) > _LARGEST_QUESTION:
            raise _NoAnswerError(f"session and policy together are larger than {_LARGEST_QUESTION >> 20} MiB")
        answered = False
        try:
            child = await self._start()
            asked_at = time.monotonic()
            async with asyncio.timeout(max(0.0, self._left)):
                answer = await _exchange(child, question)
            self._left -= time.monotonic() - asked_at
            if answer.get("id") != self._asked:
                raise _NoAnswerError("the answer was to another question")
            holds, problem = answer.get("holds"), answer.get("problem")
            if not isinstance(holds, bool) or not (problem is None or isinstance(problem, str)):
                raise _NoAnswerError("the answer made no sense")
            answered = True
            return ConditionAnswer(condition.name, holds=holds and problem is None, problem=problem)
        finally:
            # Also when this task is cancelled: the answer, still to come, must not meet the next question.
            if not answered:
                await self._kill()

    async def _start(self) -> asyncio.subprocess.Process:
        child = self._child
        if child is not None and child.returncode is None:
            return child
        await self._kill()
        try:
            self._child = child = await asyncio.create_subprocess_exec(
                *self._worker,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                cwd="/",
                env={},
                limit=_LARGEST_ANSWER,
                # A Ctrl-C is for the operator, which then ends its child.
                start_new_session=True,
            )
            async with asyncio.timeout(_START_SECONDS):
                greeting = await _exchange(child, b"")
        except (OSError, TimeoutError) as error:
            raise _NoAnswerError(f"the condition worker could not be started ({type(error).__name__})") from error
        if greeting.get("ready") is not True:
            raise _NoAnswerError("the condition worker could not be started")
        return child

    async def _kill(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        if child.stdin is not None:
            child.stdin.close()
        if child.stdout is not None:
            # What is left in the pipe has to be taken out, or its end is never noticed and the pipe stays open.
            while await child.stdout.read(_LARGEST_ANSWER):
                pass
        await child.wait()


async def _exchange(child: asyncio.subprocess.Process, question: bytes) -> dict[str, Any]:
    """Write a question and read one line; raise _NoAnswerError where the child died or the line is no JSON object."""
    assert child.stdin is not None  # noqa: S101 - both are pipes: it was started so
    assert child.stdout is not None  # noqa: S101
    try:
        child.stdin.write(question)
        await child.stdin.drain()
        line = await child.stdout.readline()
        if not line.endswith(b"\n"):
            raise _NoAnswerError("the condition worker died")
        answer = json.loads(line)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise _NoAnswerError("the condition worker died") from error
    except ValueError as error:
        # Not JSON, or a line longer than any answer.
        raise _NoAnswerError("the condition worker gave an answer that cannot be read") from error
    if not isinstance(answer, dict):
        raise _NoAnswerError("the condition worker gave an answer that cannot be read")
    return answer
