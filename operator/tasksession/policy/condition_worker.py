"""The child process that evaluates conditions: questions in, answers out, one line of JSON each.

The engine starts it with `python -I -m` and kills it when an answer takes too long. It bounds its own memory before it
reads a byte, ends when its input ends, and so does not outlive the operator; it must never open a file or a socket
after its start. A question is {"id": …, "expression": …, "data": {…}, "now": RFC 3339}, its answer {"id": …,
"holds": …, "problem": …}: holds is true for a yes, and problem says why nothing could be decided.
"""

import contextlib
import json
import resource
import sys
from datetime import datetime
from typing import Any

_MEMORY_BYTES = 512 << 20
#: Problems are shown to people, and an error may quote what the requester wrote at any length.
_LONGEST_PROBLEM = 300
_MOST_COMPILED = 256


def main() -> None:
    """Answer until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    # A crash is an answer (no); a memory image of it would only fill a disk with session data.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _die_with_parent()
    # Only now: what the library itself takes counts against the bound.
    from tasksession.policy.conditions import InvalidCondition, compile_condition, holds

    compiled: dict[str, Any] = {}

    def answer(question: dict[str, Any]) -> tuple[bool, str | None]:
        expression = question["expression"]
        if expression not in compiled:
            if len(compiled) >= _MOST_COMPILED:
                compiled.clear()
            compiled[expression] = compile_condition(expression)
        return holds(compiled[expression], {**question["data"], "now": datetime.fromisoformat(question["now"])})

    _write({"ready": True})
    for line in sys.stdin:
        problem: str | None
        number = None
        try:
            question = json.loads(line)
            number = question["id"]
            yes, problem = answer(question)
        except InvalidCondition as error:
            yes, problem = False, str(error)
        except Exception as error:
            yes, problem = False, f"the question could not be answered: {type(error).__name__}"
        problem = problem if problem is None else " ".join(problem.split())[:_LONGEST_PROBLEM]
        _write({"id": number, "holds": yes, "problem": problem})


def _write(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, even in the middle of an expression."""
    import ctypes
    import signal

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    main()
