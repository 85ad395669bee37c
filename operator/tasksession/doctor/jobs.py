"""Checks of Jobs and CronJobs that ask for sessions, and of sessions that are live.

Pure; the examination calls them. A stamp says who asks; one that was there before the guards may say anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tasksession.api import names
from tasksession.api.conditions import State
from tasksession.doctor.facts import Facts, Object, Unread, gaps, items, name_of, namespace_of, texts
from tasksession.doctor.finding import Area, Finding, Severity
from tasksession.engine.guards import Guards

_CRONJOB_GUARDS = ("tasksession-cronjob-stamp", "tasksession-cronjob")
_JOB_GUARDS = ("tasksession-job-injection", "tasksession-job-stamp")
_AGAIN = (
    "Have its requester delete it and create it again, as by kubectl replace --force: applying it unchanged does not."
)


def check_jobs(facts: Facts, guards: Guards) -> list[Finding]:
    """Every CronJob and waiting Job that asks for sessions bears a stamp that the guards wrote."""
    found = gaps(Area.JOBS, {"CronJobs": facts.cron_jobs, "Jobs": facts.jobs})
    since = guards.since(*_CRONJOB_GUARDS)
    for item in items(facts.cron_jobs):
        template: Mapping[str, Mapping[str, str]] = item["spec"]["jobTemplate"].get("metadata") or {}
        found.extend(_stamp("CronJob", item, template.get("annotations") or {}, _written(item), since))
    since = guards.since(*_JOB_GUARDS)
    for item in items(facts.jobs):
        if names.parse_identity(name_of(item)) is None and item["spec"].get("suspend"):
            created = str(item["metadata"].get("creationTimestamp") or "")
            found.extend(_stamp("Job", item, texts(item, "annotations"), created, since))
    return found


def _stamp(
    kind: str, item: Object, annotations: Mapping[str, str], written: str, since: str | None
) -> Iterator[Finding]:
    if names.POLICY_ANNOTATION not in annotations and names.SESSION_ANNOTATION not in annotations:
        return
    subject = f"{kind} {namespace_of(item)}/{name_of(item)}"
    requester = annotations.get(names.REQUESTED_BY_ANNOTATION)
    if requester is None:
        problem = (
            "It asks for sessions and bears no stamp of who asks: it was written without the guards, and gets none."
        )
        yield Finding(Area.JOBS, Severity.WARNING, subject, problem, _AGAIN)
    elif since is not None and written < since:
        problem = (
            f"It was written before the guards were installed, so anybody may have put {requester} there as requester."
        )
        yield Finding(Area.JOBS, Severity.WARNING, subject, problem, _AGAIN)


def _written(item: Object) -> str:
    """When the spec was written last, as far as the API server tells: at creation, or by a manager of its fields."""
    metadata = item["metadata"]
    times = [
        str(entry.get("time") or "")
        for entry in metadata.get("managedFields") or ()
        if not entry.get("subresource") and "f:spec" in (entry.get("fieldsV1") or {})
    ]
    return max([str(metadata.get("creationTimestamp") or ""), *times])


def check_sessions(facts: Facts) -> list[Finding]:
    """Every live session has its identity and its timer."""
    listings = {"TaskSessions": facts.sessions, "ServiceAccounts": facts.service_accounts}
    found = gaps(Area.SESSIONS, listings)
    children = {
        kind: {(namespace_of(item), name_of(item)) for item in listing}
        for kind, listing in (("ServiceAccount", facts.service_accounts), ("timer", facts.jobs))
        if not isinstance(listing, Unread)
    }
    for session in items(facts.sessions):
        status = session.get("status") or {}
        namespace, identity = namespace_of(session), status.get("serviceAccountName")
        if status.get("state") != State.ACTIVE or not identity:
            continue
        gone = [kind for kind, there in children.items() if (namespace, identity) not in there]
        if gone:
            problem = f"It is granted, and its {' and its '.join(gone)} {identity} does not exist."
            advice = "The operator ends it within minutes; where none runs, delete the session and its RoleBindings."
            subject = f"TaskSession {namespace}/{name_of(session)}"
            found.append(Finding(Area.SESSIONS, Severity.FAILURE, subject, problem, advice))
    return found
