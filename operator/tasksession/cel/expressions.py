"""Conditions in CEL: what may be compiled, and when one holds.

Runs in the condition worker alone, a child process with bounded memory and time: an expression of a thousand
characters can take gigabytes and hold this process's one thread for seconds, so that nothing here can stop it. The
operator must never import this module.
"""

import re
from collections.abc import Mapping
from typing import Any

from cel_expr_python import cel

_LONGEST = 1024
_MOST_MACROS = 3
_MACROS = re.compile(r"\b(?:map|filter|all|exists|exists_one)\b")
_OBJECT = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
# `namespace` is a reserved word in CEL. No string extensions: replace() alone took 1.9 GB.
_ENVIRONMENT = cel.NewEnv(
    variables={
        "session": _OBJECT,
        "requester": _OBJECT,
        "namespaceObject": _OBJECT,
        "policy": _OBJECT,
        "now": cel.Type.TIMESTAMP,
    }
)


class InvalidCondition(ValueError):
    """The expression is not a condition; the message says why."""


def compile_condition(expression: str) -> cel.Expression:
    """Compile an expression. Raises InvalidCondition for syntax, unknown names, and whatever yields no boolean.

    A value whose type shows at run time only, such as `session.spec.reason`, is no boolean either.
    """
    if len(expression) > _LONGEST:
        raise InvalidCondition(f"a condition has at most {_LONGEST} characters, this one {len(expression)}")
    if len(_MACROS.findall(expression)) > _MOST_MACROS:
        raise InvalidCondition(f"a condition has at most {_MOST_MACROS} of map, filter, all, exists and exists_one")
    try:
        compiled = _ENVIRONMENT.compile(expression)
    except RuntimeError as error:
        raise InvalidCondition(str(error)) from error
    if compiled.return_type() != cel.Type.BOOL:
        raise InvalidCondition(f"a condition yields a bool, this one {compiled.return_type()}")
    return compiled


def holds(compiled: cel.Expression, data: Mapping[str, Any]) -> tuple[bool, str | None]:
    """Evaluate; return whether it is true, and why it could not be decided, if so.

    `data` has the variables as plain dicts, and `now` as an aware datetime. Never raises: no error may pass for an
    answer, and an error comes back from CEL as a value that is truthy.
    """
    try:
        value = compiled.eval(data=dict(data))
        if value.type() == cel.Type.BOOL:
            return value.value() is True, None
        return False, str(value.value())
    except Exception as error:
        return False, str(error) or type(error).__name__
