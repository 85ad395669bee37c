"""A TaskSession of which only a part is held: because the rest may not be read, or because nobody needs it in memory.

The engine makes them; decisions ask `problem_with` before they rely on what a session asks for. What its life is told
by, names, uids, owners, status, is whole in every one of them.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tasksession.api import names
from tasksession.api.access import Access
from tasksession.api.conditions import State
from tasksession.api.fragment import Fragment
from tasksession.api.interning import LargeTemplate, intern_template, is_large
from tasksession.api.session import TaskSession
from tasksession.api.tracking import TRACKING_KEYS

#: What keys of labels and annotations begin with that decisions ask for; others are kept as long as they are small.
_MARKS = (
    f"{names.GROUP}/",
    "app.kubernetes.io/",
    *TRACKING_KEYS,
)
_MOST_MARKS, _LONGEST_MARK = 64, 1024


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


def is_cut(session: TaskSession) -> bool:
    """Whether a session has to be read again before what it asks for can be judged or carried out."""
    return isinstance(session, PartialSession) and session.problem is None


def lean(session: TaskSession) -> TaskSession:
    """Return of a session what is worth its memory: some kilobytes, whatever its author wrote.

    What was asked for is needed no more once the session is over, and the Job's template once it was used. A session
    that waits is cut where it is large, and read again when its turn comes.
    """
    if isinstance(session, PartialSession):
        return session
    state = session.status.state
    waits = not state.final and state is not State.ACTIVE
    spec: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    template = session.spec.task.job_template
    if template is not None and (not waits or isinstance(template, LargeTemplate)):
        spec["task"] = session.spec.task.model_copy(update={"job_template": _remains(template)})
    if is_large(session.metadata.labels) or is_large(session.metadata.annotations):
        metadata["labels"] = _marks(session.metadata.labels)
        metadata["annotations"] = _marks(session.metadata.annotations)
    if is_large(session.metadata.owner_references):
        owner = session.metadata.controller
        metadata["owner_references"] = () if owner is None or is_large(owner) else (owner,)
    if is_large(session.metadata.finalizers):
        metadata["finalizers"] = ()
    access, requester = session.spec.access, session.spec.requester
    if access is not None and (state.final or (waits and _is_large_access(access))):
        spec["access"] = None
    if requester is not None and requester.groups and (state.final or (waits and is_large(requester.groups))):
        spec["requester"] = requester.model_copy(update={"groups": ()})
    if not spec and not metadata:
        return session
    update: dict[str, Any] = {}
    if spec:
        update["spec"] = session.spec.model_copy(update=spec)
    if metadata:
        update["metadata"] = session.metadata.model_copy(update=metadata)
    if not waits:
        return session.model_copy(update=update)
    return PartialSession.model_construct(**{**dict(session), **update})


def _remains(template: Mapping[str, Any]) -> dict[str, Any] | None:
    """What of a template is asked for later: the deadline that its author set."""
    spec = template.get("spec")
    seconds = spec.get("activeDeadlineSeconds") if isinstance(spec, Mapping) else None
    return intern_template({"spec": {"activeDeadlineSeconds": seconds} if isinstance(seconds, int) else {}})


def _is_large_access(access: Access) -> bool:
    return is_large([(rule.api_groups, rule.resources, rule.resource_names, rule.verbs) for rule in access.rules])


def _marks(texts: Mapping[str, str]) -> dict[str, str]:
    kept = [key for key in texts if key.startswith(_MARKS)][:_MOST_MARKS]
    return {key[:_LONGEST_MARK]: texts[key][:_LONGEST_MARK] for key in kept}
