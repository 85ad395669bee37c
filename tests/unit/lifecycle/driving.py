"""Runs the product's own drives against the world of the state machine, with faults on demand.

What `lifecycle` asks for is carried out here at once, as the applying side would: create, adopt, delete, patch. Each
effect on the world is one numbered call, before or after which it can be made to fail or die. The sweep is told in a
few lines: what it lists, and what it leaves notes of.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from tasksession.api import names
from tasksession.api.conditions import State
from tasksession.api.session import TaskSession
from tasksession.engine.memory import Memory
from tasksession.lifecycle import actions, manifests
from tasksession.lifecycle.case import Cases, is_ungranted
from tasksession.lifecycle.drive import Plan
from tasksession.lifecycle.incarnations import Incarnations
from tasksession.lifecycle.job_requests import Attend
from tasksession.lifecycle.key import Key, key_of
from tasksession.lifecycle.observed import Child, ObservedJob, Progress, Refusal, RefusalKind, Review
from tasksession.lifecycle.requests import (
    Apply,
    ApplyTogether,
    AskPolicy,
    Outcome,
    ReadJob,
    ReadSession,
    Request,
    Settled,
    WriteAside,
)
from tests.unit import make
from tests.unit.lifecycle.world import Manifest, World

Result = TypeVar("Result")

#: The names that sessions are created and re-created under.
NAMES = ("alpha", "beta")


class Crash(Exception):
    """The operator dies: all it had in memory is lost."""


class Unavailable(Exception):
    """A call had no answer: the attempt is given up, and made again later."""


@dataclass
class Fault:
    """What goes wrong at one call: it dies or fails before or after its effect, or the world changes beneath it."""

    call: int
    kind: str
    meanwhile: Callable[[], None] | None = None


class Seen(Memory):
    """What one process knows: its memory, and of the world what it needs no call for."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.operator_username = make.OPERATOR

    def now(self) -> datetime:
        """The API server's time."""
        return self._world.now

    def guards_missing(self) -> tuple[str, ...]:
        """The guards that are not in force."""
        return self._world.guards_missing

    def stamped_since(self) -> datetime | None:
        """Since when it is known who asks: since long before the world began."""
        return make.NOW - timedelta(days=1)

    def is_denied_aside(self, session: TaskSession) -> bool:
        """Never: in this world all sessions can be read."""
        return False

    def cleared(self, session: TaskSession) -> None:
        """Take in that nothing is left of a session that is gone."""
        self.over(session)
        super().cleared(session)


class Silence:
    """Nobody listens, and every name is looked at in every round: log, Events and queue are the engine's."""

    def granted(self, session: TaskSession) -> None:
        """Say nothing."""

    def ended(self, session: TaskSession, *, recorded: bool) -> None:
        """Say nothing."""

    def removed(self, session: TaskSession, *, recorded: bool) -> None:
        """Say nothing."""

    def announced(self, session: TaskSession, announcement: actions.Announcement) -> bool:
        """Say nothing."""
        return True

    def told(self, job: ObservedJob, announcement: actions.Announcement) -> bool:
        """Say nothing."""
        return True

    def refused_status(self, session: TaskSession, action: actions.WriteStatus, refusal: Refusal) -> None:
        """Say nothing."""

    def contended(self, session: TaskSession, seconds: float) -> None:
        """Say nothing."""

    def settled(self, end: Settled) -> None:
        """Wait for the next round."""

    def later(self, key: Key, seconds: float) -> None:
        """Wait for the next round."""

    def now(self, key: Key) -> None:
        """Wait for the next round."""

    def place_is_free(self, policy: str) -> None:
        """Wait for the next round."""


class Process:
    """One process of the operator, from its start to its crash."""

    def __init__(self, world: World, plan: Plan, attend: Attend) -> None:
        self.world = world
        self.memory = Seen(world)
        self.cases = Cases()
        self.fault: Fault | None = None
        self._calls = 0
        self._reviewed: dict[str, tuple[TaskSession, Review]] = {}
        silence = Silence()
        self._incarnations = Incarnations(self.cases, self.memory, silence, silence, plan=plan, attend=attend)
        world.events.clear()
        self.sweep()

    # Views

    def deliver(self, count: int, kind: type | None = None) -> None:
        """Let the watch, or that of one kind, bring the next events; what is not brought yet leaves a stale view."""
        waiting = [event for event in self.world.events if kind is None or isinstance(event[1], kind)]
        arrived = waiting[:count]
        brought = {id(event) for event in arrived}
        self.world.events[:] = [event for event in self.world.events if id(event) not in brought]
        for deleted, item in arrived:
            if isinstance(item, TaskSession):
                (self.memory.lose_session if deleted else self.memory.see_session)(item)
            elif deleted:
                self.memory.lose_job(item)
            else:
                self.memory.see_job(item)

    def known_keys(self) -> list[Key]:
        """Every name that there is something to do for."""
        known = {key_of(session) for session in self.memory.sessions()}
        removed = {key for key in (Key(make.NAMESPACE, name) for name in NAMES) if self.memory.removed(key)}
        asking = {self.memory.session_key_of_job(job) for job in self.memory.jobs()}
        return sorted(known | removed | asking)

    def sweep(self) -> None:
        """List everything afresh: what the watch missed, rights without a session, identities that are gone."""
        for known_job in self.memory.jobs():
            fresh = self.world.job(known_job.name)
            if fresh is None or fresh.uid != known_job.uid:
                self.memory.lose_job(known_job)
        for name in self.world.task_jobs():
            self.memory.see_job(ObservedJob.from_object(self.world.objects["Job", name]))
        known = {session.metadata.uid: session for session in self.memory.sessions()}
        for session in self.world.sessions.values():
            known.pop(session.metadata.uid, None)
            self.memory.see_session(session)
        for session in known.values():
            self.memory.lose_session(session)
        for kind, name in self.world.children():
            if (kind, name) in self.world.objects and kind in ("RoleBinding", "Job") and self._is_orphan(kind, name):
                self._call(lambda kind=kind, name=name: self._delete(kind, name))  # type: ignore[misc]
        for kind, name in self.world.children():
            labels = self.world.objects[kind, name]["metadata"]["labels"]
            waiting = self.memory.session(Key(make.NAMESPACE, labels[names.SESSION_LABEL]))
            same = waiting is not None and waiting.metadata.uid == labels[names.SESSION_UID_LABEL]
            if kind == "RoleBinding" and same and waiting is not None and is_ungranted(waiting):
                self.cases.open(waiting.metadata.uid).left_rights = True
        for session in self.world.sessions.values():
            if session.status.state is State.ACTIVE:
                self.cases.open(session.metadata.uid).asked += 1
                self._check_identity(session)

    def _is_orphan(self, kind: str, name: str) -> bool:
        labels = self.world.objects[kind, name]["metadata"]["labels"]
        session = self.world.sessions.get(labels[names.SESSION_LABEL])
        if session is None or session.metadata.uid != labels[names.SESSION_UID_LABEL] or session.status.state.final:
            return True
        identity, granted = names.identity_of_binding(name), session.status.service_account_name
        return granted is not None and (identity is None or identity.name != granted)

    def _check_identity(self, session: TaskSession) -> None:
        name = session.status.service_account_name or ""
        wanted = [("ServiceAccount", name), ("Job", name)]
        wanted += [("RoleBinding", grant.role_binding) for grant in session.status.grants]
        case = self.cases.find(session.metadata.uid)
        held = case is not None and case.held is not None
        if not held and any(key not in self.world.objects for key in wanted):
            self.cases.open(
                session.metadata.uid
            ).identity_missing = "Something of the identity was deleted by somebody."

    # What drives ask for

    def reconcile(self, key: Key) -> None:
        """Bring every session of a name, and its Jobs, to rest."""
        self._reviewed.clear()
        steps = self._incarnations.steps(key)
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                request = steps.throw(error) if error is not None else steps.send(answer)
            except StopIteration:
                return
            answer, error = None, None
            try:
                answer = self._answer(request)
            except (Unavailable, Crash) as met:
                error = met

    def _answer(self, request: Request) -> Any:
        match request:
            case ReadSession(_, name):
                return self.world.sessions.get(name)
            case ReadJob(_, name):
                return self.world.job(name)
            case AskPolicy(session, live):
                return self._review(session, live=live)
            case Apply(action, progress):
                return self._apply(action, progress)
            case ApplyTogether(together, progress):
                return self._apply_together(together, progress)
            case WriteAside():
                raise AssertionError("all sessions of this world can be read")

    def _review(self, session: TaskSession, *, live: bool) -> Review:
        review = self._call(lambda: self.world.review(session))
        assert live == (session.status.state is State.ACTIVE)
        self._reviewed[session.metadata.uid] = session, review
        return review

    def _apply_together(self, together: tuple[actions.Action, ...], progress: Progress) -> tuple[BaseException, ...]:
        failed: list[BaseException] = []
        for action in together:
            try:
                self._apply(action, progress)
            except Unavailable as error:
                failed.append(error)
        return tuple(failed)

    def _call(self, effect: Callable[[], Result]) -> Result:
        number, self._calls = self._calls, self._calls + 1
        fault = self.fault
        if fault is None or number != fault.call:
            return effect()
        self.fault = None
        if fault.meanwhile is not None:
            fault.meanwhile()
        if fault.kind in ("fail after", "die after"):
            effect()
        if fault.kind.startswith("fail"):
            raise Unavailable
        if fault.kind.startswith("die"):
            raise Crash
        return effect()

    def arm(self, fault: Fault | None) -> None:
        """Set what goes wrong at which of the next calls."""
        self.fault, self._calls = fault, 0

    # Actions

    def _apply(self, action: actions.Action, progress: Progress) -> Outcome:
        self._judge_grant(action)
        return self._call(lambda: self._do(action, progress))

    def _judge_grant(self, action: actions.Action) -> None:
        """S3 at the moment of the grant: an answer of this very round allows this very role to this very session."""
        if not isinstance(action, actions.CreateRoleBinding):
            return
        session, review = self._reviewed[action.manifest["metadata"]["labels"][names.SESSION_UID_LABEL]]
        access = session.spec.access
        assert review.verdict is not None and review.verdict.allowed, "granted without a yes"
        assert review.policy is not None and access is not None
        assert not self.world.guards_missing, "granted without guards"
        role = action.manifest["roleRef"]["name"]
        asked = {reference.name for reference in access.roles}
        allowed = {reference.name for reference in review.policy.spec.access.roles}
        assert role in asked & allowed or (names.parse_identity(role) and access.rules), "granted beyond the verdict"

    def _do(self, action: actions.Action, progress: Progress) -> Outcome:
        """Carry an action out, as the applying side does."""
        match action:
            case actions.CreateSession(manifest):
                return self._create_session(dict(manifest), progress)
            case (
                actions.CreateJob(manifest)
                | actions.CreateTimer(manifest)
                | actions.CreateServiceAccount(manifest)
                | actions.CreateRole(manifest)
                | actions.CreateRoleBinding(manifest)
            ):
                return self._create(dict(manifest), progress)
            case actions.ReleaseJob() | actions.StopJob():
                return self._patch_job(action, progress)
            case actions.FindChildren(_, session_uid):
                found = [key for key in self.world.children(session_uid) if key[0] in ("RoleBinding", "Job")]
                children = tuple(
                    Child(kind, name, self.world.objects[kind, name]["metadata"]["uid"]) for kind, name in found
                )
                return Outcome(replace(progress, found=children))
            case actions.DeleteRoleBinding(_, name):
                self._delete("RoleBinding", name)
                return Outcome(progress)
            case actions.DeleteTimer(_, name, _):
                self._delete("Job", name)
                return Outcome(replace(progress, timer_gone=True))
            case actions.DeleteSession(_, name, uid):
                if name in self.world.sessions and self.world.sessions[name].metadata.uid == uid:
                    self.world.writes += 1
                    self.world.delete_session(name)
                return Outcome(progress)
            case actions.WriteStatus():
                return self._write_status(action, progress)
            case actions.TellJob():
                raise AssertionError("an Event is no effect on this world")

    def _write_status(self, action: actions.WriteStatus, progress: Progress) -> Outcome:
        session = self.world.sessions.get(action.name)
        if session is None or session.metadata.uid != action.uid:
            return Outcome(progress, stale=True)
        if session.metadata.resource_version != action.resource_version:
            return Outcome(progress, stale=True)
        return Outcome(progress, session=self.world.write_status(action.name, action.status))

    def _create(self, manifest: Manifest, progress: Progress) -> Outcome:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        object_kind = "timer" if kind == "Job" and names.parse_identity(name) else kind
        existing = self.world.objects.get((kind, name))
        if existing is None and object_kind in self.world.refusing:
            return Outcome(progress, refusal=Refusal(self.world.refusing[object_kind], object_kind, "refused"))
        if existing is not None and object_kind != "Job" and not manifests.matches(existing, manifest):
            return Outcome(progress, refusal=Refusal(RefusalKind.MISMATCH, object_kind, "another hand's"))
        made = existing if existing is not None else self.world.create(manifest)
        uid = made["metadata"]["uid"]
        if object_kind == "Job":
            return Outcome(progress, job=ObservedJob.from_object(made))
        if object_kind == "timer":
            return Outcome(Progress(identity=name, timer_uid=uid))
        if object_kind == "ServiceAccount":
            return Outcome(replace(progress, service_account_uid=uid))
        if object_kind == "Role":
            return Outcome(replace(progress, role_made=True))
        made_so_far = progress.role_bindings_made | {name}
        return Outcome(replace(progress, role_bindings_made=made_so_far, role_bindings_gone=False))

    def _create_session(self, manifest: Manifest, progress: Progress) -> Outcome:
        session = self.world.sessions.get(manifest["metadata"]["name"])
        if session is None and "TaskSession" in self.world.refusing:
            return Outcome(progress, refusal=Refusal(self.world.refusing["TaskSession"], "TaskSession", "refused"))
        if session is None:
            try:
                session = self.world.ask_for_session(manifest)
            except ValueError as error:
                return Outcome(progress, refusal=Refusal(RefusalKind.INVALID, "TaskSession", str(error)))
        return Outcome(progress, session=session)

    def _delete(self, kind: str, name: str) -> None:
        """Delete until it is gone, whoever put it there."""
        if (kind, name) in self.world.objects:
            self.world.writes += 1
            self.world.delete(kind, name)

    def _patch_job(self, action: actions.ReleaseJob | actions.StopJob, progress: Progress) -> Outcome:
        item = self.world.objects.get(("Job", action.name))
        there = item is not None and item["metadata"]["uid"] == action.uid
        if isinstance(action, actions.StopJob):
            job = self.world.stop(action.name) if there else None
            return Outcome(replace(progress, stopped=True), job=job)
        if not there:
            return Outcome(progress, stale=True)
        identity = names.parse_identity(action.service_account)
        assert identity is not None and identity.uid == action.uid, "released as another Job's identity"
        released = self.world.release(action.name, action.service_account, action.active_deadline_seconds)
        return Outcome(progress, job=released)
