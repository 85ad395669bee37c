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
from tasksession.api.session import INITIAL_STATUS, TaskSession, TaskSessionStatus
from tasksession.lifecycle.asking import Unusable, read_access
from tasksession.lifecycle.ending import STOPPING_SECONDS
from tasksession.lifecycle.observed import ObservedJob, RefusalKind, Review
from tasksession.lifecycle.task_job import asking_job, was_released
from tasksession.policy.evaluation import evaluate, recheck, roles_to_look_up
from tasksession.policy.facts import Ceiling, Facts, NamespaceFact, RoleFact
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
        self._released: dict[str, str] = {}
        self._ever: dict[str, TaskSession] = {}
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

    def ask_for_session(self, manifest: Manifest) -> TaskSession:
        """Create the TaskSession of an annotated Job, as the operator does. Raises ValueError for what is no valid one.

        The caller has seen that its name is free.
        """
        metadata = {
            **manifest["metadata"],
            "uid": self.uid(),
            "generation": 1,
            "resourceVersion": self.version(),
            "creationTimestamp": make.timestamp(self.now),
        }
        session = TaskSession.model_validate({**manifest, "metadata": metadata, "status": INITIAL_STATUS})
        job = self.job(manifest["spec"]["task"]["job"]["name"])
        if job is not None and job.uid == asking_job(session):
            requester = session.spec.requester
            assert requester is not None and requester.username == job.requested_by, "asked in another's name"
            assert not was_released(job), "asked again for a Job that ran"
        self.writes += 1
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
        self._ever[session.metadata.uid] = session
        self.events.append((False, session))
        return session

    # Everything else

    def create(self, manifest: Manifest, *, creator: str = make.OPERATOR) -> Manifest:
        """Store an object. The caller has seen that its name is free."""
        item = deepcopy(dict(manifest))
        metadata = item["metadata"]
        stamp = {"uid": self.uid(), "resourceVersion": self.version(), "creationTimestamp": make.timestamp(self.now)}
        metadata.update(stamp)
        item["status"] = {}
        if item["kind"] == "Job":
            metadata.setdefault("annotations", {})[names.REQUESTED_BY_ANNOTATION] = creator
        if item["kind"] == "ServiceAccount":
            session_uid = metadata["labels"][names.SESSION_UID_LABEL]
            assert self._served.setdefault(metadata["name"], session_uid) == session_uid, "one identity, two sessions"
        self.objects[item["kind"], metadata["name"]] = item
        if creator == make.OPERATOR:
            self.writes += 1
        self._tell(item)
        return item

    def add_job(self, name: str, *, creator: str, annotations: dict[str, str], seconds: int | None = None) -> None:
        """Create a suspended Job, as a requester does; admission stamps it."""
        spec: Manifest = {"suspend": True, "template": {}}
        if seconds is not None:
            spec["activeDeadlineSeconds"] = seconds
        metadata = {"name": name, "namespace": make.NAMESPACE, "annotations": dict(annotations)}
        self.create({"kind": "Job", "metadata": metadata, "spec": spec}, creator=creator)

    def job(self, name: str) -> ObservedJob | None:
        """The Job of that name, as a fresh read shows it."""
        item = self.objects.get(("Job", name))
        return ObservedJob.from_object(item) if item is not None else None

    def release(self, name: str, service_account: str, seconds: int | None) -> ObservedJob:
        """Let a Job start as an identity: one session only ever does that, and it is the Job's own."""
        job = self.job(name)
        assert job is not None
        uid = self._served[service_account]
        session = self._ever[uid]
        assert self._released.setdefault(job.uid, uid) == uid, "one Job, granted to twice"
        assert job.service_account in (None, service_account), "one Job, two identities"
        if session.spec.task.job is not None:
            requester = session.spec.requester
            assert requester is not None and requester.username == job.requested_by, "started for another requester"
        if job.asks is not None:
            assert asking_job(session) == job.uid, "started for a session that was not made for it"
            try:
                read_access(job.asks.access or "{}")
            except Unusable as error:
                raise AssertionError("started with annotations that cannot be used") from error
        elif session.spec.task.job is not None:
            assert job.session == session.metadata.name, "started for a session that it does not join"

        def change(item: Manifest) -> None:
            item["spec"]["suspend"] = False
            if seconds is not None:
                item["spec"]["activeDeadlineSeconds"] = seconds
            item["spec"]["template"] = {
                "metadata": {"annotations": {names.SERVICE_ACCOUNT_ANNOTATION: service_account}}
            }
            item["status"].setdefault("startTime", make.timestamp(self.now))

        self.writes += 1
        return ObservedJob.from_object(self.change_job(name, change))

    def stop(self, name: str) -> ObservedJob:
        """Have the Job controller end a Job."""
        self.writes += 1
        changed = self.change_job(name, lambda job: job["spec"].update(activeDeadlineSeconds=STOPPING_SECONDS))
        return ObservedJob.from_object(changed)

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
        for session in list(self.sessions.values()):
            references = session.metadata.owner_references
            if references and not any(reference.uid in living for reference in references):
                self.delete_session(session.metadata.name)
                self.collect()
                return
        for (kind, name), item in list(self.objects.items()):
            owners = item["metadata"].get("ownerReferences")
            if owners and not any(owner["uid"] in living for owner in owners):
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
            ceiling=Ceiling(cluster_roles=frozenset(self.role_rules), rules=(_rule("*"),)),
            own_rules=(_BIND, _rule("*")),
            roles={role: RoleFact(self.role_rules.get(role.name)) for role in roles_to_look_up(session, policy)},
        )
        if live:
            return Review(policy=policy, recheck=recheck(session=session, policy=policy, facts=facts))
        return Review(policy=policy, verdict=evaluate(session=session, policy=policy, facts=facts))


_BIND = PolicyRule(api_groups=("rbac.authorization.k8s.io",), resources=("clusterroles",), verbs=("bind",))


def _rule(verb: str) -> PolicyRule:
    return PolicyRule(api_groups=("",), resources=("configmaps",), verbs=(verb,))
