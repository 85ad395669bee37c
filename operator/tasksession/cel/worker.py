"""The child process that evaluates conditions: questions in, answers out, one line of JSON each.

The engine starts it with `python -I` and kills it when an answer takes too long. It bounds its own memory before it
reads a byte, ends when its input ends, and so does not outlive the operator; it must never open a file or a socket
after its start. A question is {"id": …, "expression": …, "data": {…}, "now": RFC 3339}, its answer {"id": …,
"holds": …, "problem": …}: holds is true for a yes, and problem says why nothing could be decided.
"""

import contextlib
import ctypes
import json
import resource
import signal
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

_MEMORY_BYTES = 512 << 20
#: Problems are shown to people, and an error may quote what the requester wrote at any length.
_LONGEST_PROBLEM = 300
_MOST_COMPILED = 256
#: Linux's prctl option by which a process is killed with its parent.
_PR_SET_PDEATHSIG = 1


def main() -> None:  # pragma: no cover - it bounds its own process, so it runs in one of its own only
    """Bound this process, then answer until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    # A crash is an answer (no); a memory image of it would only fill a disk with session data.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The end of the input is noticed between expressions only; this also works in the middle of one.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for message in serve(sys.stdin):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def serve(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield that it is ready, then the answer to each line; a line that is no question gets a no."""
    # Not before the process is bounded: what the library itself takes counts as well.
    from tasksession.cel.expressions import InvalidCondition, compile_condition, holds

    compiled: dict[str, Any] = {}

    def answer(question: dict[str, Any]) -> tuple[bool, str | None]:
        expression = question["expression"]
        if expression not in compiled:
            if len(compiled) >= _MOST_COMPILED:
                compiled.clear()
            compiled[expression] = compile_condition(expression)
        return holds(compiled[expression], {**question["data"], "now": datetime.fromisoformat(question["now"])})

    yield {"ready": True}
    for line in lines:
        yes, problem, number = False, None, None
        try:
            question = json.loads(line)
            number = question["id"]
            yes, problem = answer(question)
        except InvalidCondition as error:
            problem = str(error)
        except Exception as error:
            problem = f"the question could not be answered: {type(error).__name__}"
        yield {"id": number, "holds": yes, "problem": problem and " ".join(problem.split())[:_LONGEST_PROBLEM]}


if __name__ == "__main__":  # pragma: no cover - as above
    main()
