"""What must hold after every fault, judged from what the API server lists.

S1 rights only of living sessions, S3 no more than was asked for, S4 no identity twice, S5 no token anywhere, L2 nothing
left. S2 is tried with a real token by the lives, L1 by comparing with the reference run. Each check returns sentences,
one for each violation.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tasksession.api import names
from tests.cluster.api import Object
from tests.support.audit import Entry
from tests.support.snapshot import Snapshot

FINAL = ("Completed", "Failed", "Expired", "Revoked", "Denied")
#: A Job's seconds count from when the Job controller has started it, which takes it a moment on a busy machine.
START_LAG = timedelta(seconds=10)
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")


def rights_only_of_living_sessions(seen: Snapshot) -> list[str]:
    """S1: a RoleBinding of ours has a session of its uid that exists and is not over."""
    sessions = {item["metadata"]["uid"]: item for item in seen.of("TaskSession")}
    found = []
    for binding in seen.of_sessions("RoleBinding"):
        name = binding["metadata"]["name"]
        session = sessions.get((binding["metadata"].get("labels") or {}).get(names.SESSION_UID_LABEL, ""))
        if session is None:
            found.append(f"S1: RoleBinding {name} has no session")
        elif session["status"]["state"] in FINAL:
            found.append(f"S1: RoleBinding {name} outlived its session, which is {session['status']['state']}")
    return found


def rights_within_what_was_asked(seen: Snapshot) -> list[str]:
    """S3: each RoleBinding binds one identity to what its session asked for, and its Role holds that and no more."""
    sessions = {item["metadata"]["uid"]: item for item in seen.of("TaskSession")}
    found = []
    for binding in seen.of_sessions("RoleBinding"):
        metadata = binding["metadata"]
        session = sessions.get((metadata.get("labels") or {}).get(names.SESSION_UID_LABEL, ""))
        identity = names.identity_of_binding(metadata["name"])
        if session is None or identity is None:
            continue
        access = session["spec"].get("access") or {}
        index = metadata["name"].removeprefix(identity.name).removeprefix("-")
        role = _asked_role(access, index, identity.name)
        given = {key: binding["roleRef"][key] for key in ("kind", "name")}
        subject = {"kind": "ServiceAccount", "name": identity.name, "namespace": metadata["namespace"]}
        if given != role:
            found.append(f"S3: RoleBinding {metadata['name']} gives {given}, asked was {role}")
        if binding.get("subjects") != [subject]:
            found.append(f"S3: RoleBinding {metadata['name']} is for {binding.get('subjects')}")
    for role_object in seen.of_sessions("Role"):
        session = sessions.get((role_object["metadata"].get("labels") or {}).get(names.SESSION_UID_LABEL, ""))
        asked = ((session or {}).get("spec", {}).get("access") or {}).get("rules") or []
        if session is not None and [_plain(rule) for rule in role_object["rules"]] != [_plain(rule) for rule in asked]:
            found.append(f"S3: Role {role_object['metadata']['name']} holds {role_object['rules']}, asked was {asked}")
    return found


def _asked_role(access: Object, index: str, identity: str) -> Object | None:
    if not index:
        return {"kind": "Role", "name": identity} if access.get("rules") else None
    roles = access.get("roles") or []
    return roles[int(index)] if int(index) < len(roles) else None


def _plain(rule: Object) -> Object:
    return {key: value for key, value in rule.items() if value}


def deadlines_kept(seen: Snapshot, *, lag: timedelta = START_LAG) -> list[str]:
    """S2: what makes Kubernetes end a Job and a timer comes at the session's deadline, not later.

    `lag` is what the Job controller may have taken to start them.
    """
    found = []
    for session in seen.of("TaskSession"):
        status = session["status"]
        identity = names.parse_identity(status.get("serviceAccountName") or "")
        if identity is None:
            continue
        deadline = datetime.fromisoformat(status["deadline"])
        if int(deadline.timestamp()) != identity.deadline:
            found.append(f"S2: {identity.name} names another deadline than {status['deadline']}")
        for job in seen.of("Job"):
            started = (job.get("status") or {}).get("startTime")
            if started is None or job["metadata"]["name"] not in (identity.name, status["jobRef"]["name"]):
                continue
            ends = datetime.fromisoformat(started) + timedelta(seconds=job["spec"]["activeDeadlineSeconds"])
            if ends > deadline + lag:
                found.append(f"S2: Job {job['metadata']['name']} would end at {ends}, after {deadline}")
    return found


def identities_used_once(entries: list[Entry], sessions: int) -> list[str]:
    """S4: no identity was made twice, and no more identities than sessions."""
    made = Counter(
        entry.name for entry in entries
        if entry.committed and entry.verb == "create" and entry.resource == "serviceaccounts"
        and entry.name.startswith("ts-")
    )  # fmt: skip
    found = [f"S4: identity {name} was created {count} times" for name, count in made.items() if count > 1]
    if len(made) > sessions:
        found.append(f"S4: {len(made)} identities were created for {sessions} sessions: {', '.join(sorted(made))}")
    return found


@dataclass(frozen=True, slots=True)
class Granted:
    """What a session's status says of its identity."""

    identity: str
    session_uid: str
    account_uid: str
    at: datetime


def granted(session: Object) -> Granted | None:
    """The identity that a session has, or had; None for one that was never granted."""
    status = session.get("status") or {}
    if not status.get("serviceAccountName"):
        return None
    return Granted(
        identity=status["serviceAccountName"],
        session_uid=session["metadata"]["uid"],
        account_uid=status["serviceAccountUID"],
        at=datetime.fromisoformat(status["grantedAt"]),
    )


def identities_serve_one_session(seen: Collection[Granted], entries: list[Entry]) -> list[str]:
    """S4: no identity was granted to two sessions, or twice, and none was made again once it was granted."""
    found = []
    holders: dict[str, list[Granted]] = {}
    for each in seen:
        holders.setdefault(each.identity, []).append(each)
    for identity, held in holders.items():
        if len({(each.session_uid, each.account_uid) for each in held}) > 1:
            found.append(f"S4: identity {identity} served {len(held)} times")
    made: dict[str, datetime] = {}
    for entry in entries:
        if entry.committed and entry.verb == "create" and entry.resource == "serviceaccounts":
            made[entry.name] = datetime.fromisoformat(entry.time)
    return found + [
        f"S4: identity {each.identity} was made again after it was granted"
        for each in seen
        # A status is cut to whole seconds.
        if each.identity in made and made[each.identity] > each.at + timedelta(seconds=1)
    ]


def made_again(entries: list[Entry]) -> int:
    """How many identities were made more than once."""
    made = Counter(
        entry.name for entry in entries
        if entry.committed and entry.verb == "create" and entry.resource == "serviceaccounts"
    )  # fmt: skip
    return sum(count > 1 for count in made.values())


def no_tokens(*texts: Any) -> list[str]:
    """S5: nothing that looks like a token stands in objects, logs or Events."""
    written = (text if isinstance(text, str) else json.dumps(text) for text in texts)
    return ["S5: something that looks like a token was written" for text in written if _TOKEN.search(text)]


def nothing_left(seen: Snapshot) -> list[str]:
    """L2: no identity, right, timer or Secret of a session is there; for when all sessions are over."""
    return [f"L2: {kind} {name} is left" for kind, names in seen.left.items() for name in names]


def crashes(log: str) -> list[str]:
    """Errors that the operator did not expect: tracebacks in its log, but for those of requests that failed."""
    return [
        f"a traceback: {line[:1500]}"
        for line in log.splitlines()
        if "Traceback" in line and "tasksession.cluster.errors." not in line
    ]
