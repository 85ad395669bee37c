"""A TaskSession of which only a part is held: because the rest may not be read, or because nobody needs it in memory.

The engine makes them; decisions ask `problem_with` before they rely on what a session asks for. What its life is told
by, names, uids, owners, status, is whole in every one of them.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tasksession.api.fragment import Fragment
from tasksession.api.session import TaskSession


class PartialSession(TaskSession):
    """A session that is not whole."""

    problem: str | None = None
    """Why the rest may not be read; None where it can be read again."""


def session_of(item: Mapping[str, Any]) -> TaskSession:
    """Read a TaskSession as the API server sent it, or what is known of one. Raises ValidationError."""
    if not isinstance(item, Fragment):
        return TaskSession.model_validate(item)
    spec = {"policy": "", **(item.get("spec") or {})}
    task = dict(spec.get("task") or {})
    if not task:
        # What is left out of a task is what is large in it.
        task = {"jobTemplate": {"spec": {}}}
    known = {**item, "spec": {**spec, "task": task}, "problem": item.problem}
    try:
        return PartialSession.model_validate(known)
    except ValidationError:
        bare = {"policy": "", "task": {"jobTemplate": {"spec": {}}}}
        return PartialSession.model_validate({"metadata": item["metadata"], "spec": bare, "problem": item.problem})


def problem_with(session: TaskSession) -> str | None:
    """Say why a session may not be read; None for one that may."""
    return session.problem if isinstance(session, PartialSession) else None
