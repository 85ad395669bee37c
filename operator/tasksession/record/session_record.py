"""The record of one session as the fields of one log line, written once, when it ends.

The engine logs it. It holds names, uids, times and hashes; never a token, and nothing a token could be made from.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tasksession.api.session import TaskSession


def session_record(session: TaskSession, *, removed: bool, ended_at: datetime | None = None) -> dict[str, Any]:
    """Build the fields of a session's end.

    `removed`: the TaskSession itself was deleted, which ended it, at `ended_at`.
    """
    status, metadata, spec = session.status, session.metadata, session.spec
    requester = spec.requester
    ready = next((condition for condition in status.conditions if condition.type == "Ready"), None)
    return {
        "session": metadata.name,
        "namespace": metadata.namespace,
        "session_uid": metadata.uid,
        "requester": requester.username if requester else None,
        "requester_uid": requester.uid if requester else None,
        "policy": status.policy_ref.name if status.policy_ref else spec.policy,
        "policy_uid": status.policy_ref.uid if status.policy_ref else None,
        "policy_generation": status.policy_ref.generation if status.policy_ref else None,
        "reason": spec.reason,
        "task": status.task,
        "job_uid": status.job_ref.uid if status.job_ref else None,
        "service_account": status.service_account_name,
        "service_account_uid": status.service_account_uid,
        "grants": [
            {
                "role": f"{grant.role.kind}/{grant.role.name}" if grant.role else "rules",
                "role_binding": grant.role_binding,
                "rules_hash": grant.rules_hash,
            }
            for grant in status.grants
        ],
        "created_at": _text(metadata.creation_timestamp),
        "granted_at": _text(status.granted_at),
        "deadline": _text(status.deadline),
        "ended_at": _text(status.ended_at or ended_at),
        "state": "Removed" if removed and not status.state.final else status.state.value,
        "end_reason": "SessionDeleted" if removed and not status.end_reason else status.end_reason,
        "end_message": ready.message if ready and status.state.final else None,
    }


def _text(moment: Any) -> str | None:
    return moment.isoformat() if moment is not None else None
