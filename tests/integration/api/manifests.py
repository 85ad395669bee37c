"""Manifests that the API server accepts, and a way to spoil them in one place.

Called by the tests beside it. What it builds is plain data, made without the models, so that a mistake there cannot
hide one in the schema.
"""

import copy
from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]


class _Absent:
    """Stands for a field that is to be taken away."""

    def __repr__(self) -> str:
        return "absent"  # It is part of tests' names, which have to be the same in each process.


ABSENT = _Absent()

TASK_SESSION: Object = {
    "kind": "TaskSession",
    "metadata": {"name": "triage"},
    "spec": {
        "policy": "ticket-triage",
        "ttl": "15m",
        "notAfter": "2036-12-01T00:00:00Z",
        "reason": "CHG-4711 triage",
        "task": {
            "jobTemplate": {
                "metadata": {"labels": {"app": "triage"}, "annotations": {"note": "by hand"}},
                "spec": {
                    "backoffLimit": 0,
                    "template": {
                        "spec": {"containers": [{"name": "main", "image": "triage"}], "restartPolicy": "Never"}
                    },
                },
            }
        },
        "access": {
            "roles": [{"kind": "ClusterRole", "name": "view"}],
            "rules": [
                {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["triage"], "verbs": ["get", "patch"]}
            ],
        },
        "token": {},
        "ttlSecondsAfterFinished": 3600,
        "requester": {"username": "alice", "uid": "4711", "groups": ["support", "system:authenticated"]},
    },
}

EXTERNAL_SESSION: Object = {
    "kind": "TaskSession",
    "metadata": {"name": "deploy"},
    "spec": {
        "policy": "deploy",
        "task": {"external": {}},
        "token": {
            "delivery": "Sealed",
            "sealed": {"publicKey": {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "BBBB", "use": "enc", "kid": "1"}},
        },
        "requester": {"username": "alice"},
    },
}

SESSION_POLICY: Object = {
    "kind": "SessionPolicy",
    "metadata": {"name": "ticket-triage"},
    "spec": {
        "namespaces": {"matchLabels": {"team": "support"}},
        "access": {
            "roles": [{"kind": "ClusterRole", "name": "view"}, {"kind": "Role", "name": "triage"}],
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}],
        },
        "defaults": {"ttl": "10m", "access": {"roles": [{"kind": "ClusterRole", "name": "view"}]}},
        "maxTTL": "30m",
        "tasks": ["Job", "External"],
        "audiences": ["https://tickets.example.com"],
        "delivery": ["TokenRequest", "Sealed"],
        "conditions": [
            {
                "name": "change-ticket",
                "expression": "session.spec.reason.matches('^CHG-[0-9]+')",
                "message": "needs a change ticket",
            }
        ],
        "approval": {"required": 1},
        "limits": {"active": 50, "activePerRequester": 5},
        "suspended": False,
    },
}

SESSION_APPROVAL: Object = {
    "kind": "SessionApproval",
    "metadata": {"name": "triage-bob"},
    "spec": {
        "sessionRef": {"name": "triage", "uid": "0b5e6d43-54a5-4a2c-9d9b-1f0a4a1f6c11"},
        "decision": "Approve",
        "reason": "seen the ticket",
        "approver": {"username": "bob", "uid": "4712", "groups": ["leads"]},
    },
}


def spoiled(good: Object, changes: Mapping[str, Any]) -> Object:
    """Copy an object with some fields changed, each given by a path such as `spec.task.job`; ABSENT takes one away.

    A part of the path in digits is an index into a list.
    """
    changed = copy.deepcopy(good)
    for path, value in changes.items():
        *parents, last = path.split(".")
        holder: Any = changed
        for part in parents:
            holder = holder[int(part)] if part.isdigit() else holder.setdefault(part, {})
        if value is ABSENT:
            del holder[last]
        elif last.isdigit():
            holder[int(last)] = value
        else:
            holder[last] = copy.deepcopy(value)
    return changed
