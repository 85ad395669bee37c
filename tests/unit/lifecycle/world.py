"""The world of the state machine: the objects of one namespace and what Kubernetes itself does to them.

It keeps uids, versions, owners and clocks, lets the garbage collector and the Job controller act between steps, and
tells a watcher what changed. It is no API server: it knows no requests, only the effects that the rules count on.
Whatever a rule of the product forbids for good is asserted here, at the moment at which it would happen.
"""

from collections.abc import Callable
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any

from tasksession.api import names
from tasksession.api.access import PolicyRule
from tasksession.api.conditions import State
from tasksession.api.policy import SessionPolicy
from tasksession.api.session import TaskSession, TaskSessionStatus
from tasksession.lifecycle.observed import ObservedJob, RefusalKind, Review
from tasksession.policy.evaluation import evaluate, recheck, roles_to_look_up
from tasksession.policy.facts import Facts, NamespaceFact, RoleFact
from tests.unit import make

Manifest = dict[str, Any]
Event = tuple[bool, TaskSession | ObservedJob]
"""Whether it was deleted, and the last view of it."""


class World:
    """What exists in the cluster, apart from any view of it."""

    def __init__(self) -> None:
        self.now = make.NOW
        self.sessions: dict[str, TaskSession] = {}
        self.objects: dict[tuple[str, str], Manifest] = {}
        self.events: list[Event] = []
        self.policy: SessionPolicy | None = make.policy()
        self.may_use = True
        self.answering = True
        self.guards_missing: tuple[str, ...] = ()
        self.refusing: dict[str, RefusalKind] = {}
        self.role_rules = {"view": (_rule("get"),), "edit": (_rule("get"), _rule("patch"))}
        self.writes = 0
        self._served: dict[str, str] = {}
        self._sequence = 100

    # Identity and time

    def version(self) -> str:
        """The next resourceVersion."""
        self._sequence += 1
        return str(self._sequence)

    def uid(self) -> str:
        """A uid that nothing had before."""
        self._sequence += 1
        return f"{self._sequence:08x}-0000-4000-8000-{self._sequence:012x}"

    def advance(self, seconds: float) -> None:
        """Let time pass; Kubernetes acts on what is due by then."""
        self.now += timedelta(seconds=seconds)
        self.control()

    # TaskSessions

    def add_session(self, name: str, **spec: Any) -> TaskSession:
        """Create a TaskSession, as a requester does."""
        session = make.session(name=name, uid=self.uid(), **spec)
        created = self.now.replace(microsecond=0)
        session = make.with_metadata(session, resource_version=self.version(), creation_timestamp=created)
        return self._put_session(session)

    def change_session(self, name: str, change: Callable[[TaskSession], TaskSession]) -> TaskSession:
        """Write to a TaskSession, with a new version."""
        return self._put_session(make.with_metadata(change(self.sessions[name]), resource_version=self.version()))

    def write_status(self, name: str, status: TaskSessionStatus) -> TaskSession:
        """Write a status; a finished session is never written again."""
        before = self.sessions[name].status
        assert not before.state.final, "a finished session was written again"
        if status.state.final:
            used, uid = status.service_account_name, self.sessions[name].metadata.uid
            left = [child for kind, child in self.children(uid) if kind in ("RoleBinding", "Job")]
            assert not [child for child in left if used is None or child.startswith(used)], (
                "the end was written too soon"
            )
        assert status.state is not State.PENDING or before.state is not State.ACTIVE, "a grant was forgotten"
        self.writes += 1
        return self.change_session(name, lambda session: session.model_copy(update={"status": status}))

    def delete_session(self, name: str) -> None:
        """Delete a TaskSession; what hangs on it is the garbage collector's, a moment later."""
        self.events.append((True, make.with_metadata(self.sessions.pop(name), resource_version=self.version())))

    def _put_session(self, session: TaskSession) -> TaskSession:
        self.sessions[session.metadata.name] = session
        self.events.append((False, session))
        return session

    # Everything else

    def create(self, manifest: Manifest) -> Manifest:
        """Store an object. The caller has seen that its name is free."""
        item = deepcopy(dict(manifest))
        metadata = item["metadata"]
        stamp = {"uid": self.uid(), "resourceVersion": self.version(), "creationTimestamp": make.timestamp(self.now)}
        metadata.update(stamp)
        item["status"] = {}
        if item["kind"] == "Job":
            metadata.setdefault("annotations", {})[names.REQUESTED_BY_ANNOTATION] = make.OPERATOR
        if item["kind"] == "ServiceAccount":
            session_uid = metadata["labels"][names.SESSION_UID_LABEL]
            assert self._served.setdefault(metadata["name"], session_uid) == session_uid, "one identity, two sessions"
        self.objects[item["kind"], metadata["name"]] = item
        self.writes += 1
        self._tell(item)
        return item

    def delete(self, kind: str, name: str) -> None:
        """Delete an object; what hangs on it is the garbage collector's, a moment later."""
        item = self.objects.pop((kind, name))
        item["metadata"]["resourceVersion"] = self.version()
        self._tell(item, deleted=True)

    def change_job(self, name: str, change: Callable[[Manifest], None]) -> Manifest:
        """Write to a Job."""
        item = deepcopy(self.objects["Job", name])
        change(item)
        item["metadata"]["resourceVersion"] = self.version()
        self.objects["Job", name] = item
        self._tell(item)
        return item

    def children(self, session_uid: str | None = None) -> list[tuple[str, str]]:
        """Kind and name of all identities, timers and rights, of one session or of all."""
        return [
            (kind, name)
            for (kind, name), item in self.objects.items()
            if names.identity_of_binding(name)
            and session_uid in (None, item["metadata"]["labels"][names.SESSION_UID_LABEL])
        ]

    def task_jobs(self) -> list[str]:
        """The names of all Jobs that are no timers."""
        return [name for kind, name in self.objects if kind == "Job" and names.parse_identity(name) is None]

    def _tell(self, item: Manifest, *, deleted: bool = False) -> None:
        if item["kind"] == "Job" and names.parse_identity(item["metadata"]["name"]) is None:
            self.events.append((deleted, ObservedJob.from_object(item)))

    # Kubernetes' own controllers

    def collect(self) -> None:
        """Garbage collection: what has no owner left goes, and what hangs on it."""
        living = {session.metadata.uid for session in self.sessions.values()}
        living |= {item["metadata"]["uid"] for item in self.objects.values()}
        for (kind, name), item in list(self.objects.items()):
            owners = item["metadata"]["ownerReferences"]
            if not any(owner["uid"] in living for owner in owners):
                self.delete(kind, name)
                self.collect()
                return

    def control(self) -> None:
        """The Job controller: what runs past its activeDeadlineSeconds fails, and a failed timer is deleted."""
        for (kind, name), item in list(self.objects.items()):
            if kind != "Job" or (kind, name) not in self.objects:
                continue
            start = item["status"].get("startTime") or item["metadata"]["creationTimestamp"]
            seconds = item["spec"].get("activeDeadlineSeconds")
            late = seconds is not None and self.now >= datetime.fromisoformat(start) + timedelta(seconds=seconds)
            if not late or item["spec"].get("suspend") or item["status"].get("conditions"):
                continue
            if names.parse_identity(name):
                self.delete(kind, name)
            else:
                self.end_job(name, "Failed", "DeadlineExceeded")

    def end_job(self, name: str, kind: str, reason: str) -> None:
        """Give a Job its ending condition."""
        condition = {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": make.timestamp(self.now)}
        self.change_job(name, lambda job: job["status"].update(conditions=[condition]))

    # Policy

    def review(self, session: TaskSession) -> Review:
        """Look everything up and judge, as the engine does: freshly, or not at all."""
        if not self.answering:
            return make.failed_review()
        live = session.status.state is State.ACTIVE
        policy = self.policy
        if policy is None:
            return Review(recheck=recheck(session=session, policy=None, facts=None) if live else None)
        facts = Facts(
            now=self.now,
            namespace=NamespaceFact(name=make.NAMESPACE, labels={}),
            excluded_namespaces=frozenset(),
            may_use=self.may_use,
            own_rules=(_rule("*"),),
            roles={role: RoleFact(self.role_rules.get(role.name)) for role in roles_to_look_up(session, policy)},
        )
        if live:
            return Review(policy=policy, recheck=recheck(session=session, policy=policy, facts=facts))
        return Review(policy=policy, verdict=evaluate(session=session, policy=policy, facts=facts))


def _rule(verb: str) -> PolicyRule:
    return PolicyRule(api_groups=("",), resources=("configmaps",), verbs=(verb,))
