"""The operator of the state machine: the reconciler's loop around `plan`, without I/O, and with faults on demand.

It takes the same steps in the same order as the engine and the applying side: ask `plan`, do one action after
another, learn from each outcome, read again after a conflict. Each effect on the world is one numbered call, before
or after which it can be made to fail or die.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from tasksession.api import names
from tasksession.api.conditions import State
from tasksession.api.session import TaskSession
from tasksession.engine.memory import Memory, key_of
from tasksession.engine.queue import Key
from tasksession.lifecycle import actions, manifests
from tasksession.lifecycle.asking import is_bare
from tasksession.lifecycle.decision import Decision
from tasksession.lifecycle.observed import Child, Observed, ObservedJob, Progress, Refusal, RefusalKind, Review
from tasksession.lifecycle.task_job import asking_job, is_joined, job_name
from tests.unit import make
from tests.unit.lifecycle.consistency import CREATES
from tests.unit.lifecycle.world import Manifest, World

Result = TypeVar("Result")
Plan = Callable[[TaskSession, Observed, datetime], Decision]
Asking = Callable[[ObservedJob, TaskSession | None, Refusal | None], Decision]

#: The names that sessions are created and re-created under.
NAMES = ("alpha", "beta")
#: More steps than any life has.
_STEP_LIMIT = 60


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


@dataclass
class Attempt:
    """What one drive of one session has learnt."""

    session: TaskSession
    progress: Progress
    review: Review | None = None
    refusal: Refusal | None = None


class OperatorModel:
    """One process of the operator, from its start to its crash."""

    def __init__(self, world: World, plan: Plan, asking: Asking) -> None:
        self.world = world
        self.asking = asking
        self.plan = plan
        self.memory = Memory()
        self.fault: Fault | None = None
        self._calls = 0
        self._progress: dict[str, Progress] = {}
        self._recheck: set[str] = set()
        self._identity_missing: dict[str, str] = {}
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
        for session in self.world.sessions.values():
            if session.status.state is State.ACTIVE:
                self._recheck.add(session.metadata.uid)
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
        if any(key not in self.world.objects for key in wanted):
            self._identity_missing[session.metadata.uid] = "Something of the identity was deleted by somebody."

    # The loop of the reconciler

    def reconcile(self, key: Key) -> None:
        """Bring every session of a name to rest."""
        for gone in self.memory.removed(key):
            if not gone.status.state.final:
                self._drive(gone, removed=True)
            self.memory.forget_end(gone)
            self.memory.cleared(gone)
        used = self.memory.name_used_at(key)
        if used is None or self.world.now >= used + timedelta(seconds=1):
            self._attend(key)
        session = self.memory.session(key)
        if session is not None:
            self._drive(session, removed=False)

    def _drive(self, session: TaskSession, *, removed: bool) -> None:
        uid = session.metadata.uid
        attempt = Attempt(session, self._progress.pop(uid, Progress()))
        try:
            for _ in range(_STEP_LIMIT):
                decision = self.plan(attempt.session, self._observe(attempt, removed=removed), self.world.now)
                if decision.needs_review:
                    attempt.review = self._review(attempt.session)
                elif decision.actions:
                    self._apply(attempt, decision)
                else:
                    return
                if not removed and self._superseded(attempt):
                    return
            raise AssertionError(f"no rest: {decision}")
        except Unavailable:
            if attempt.session.status.state is State.ACTIVE or removed:
                self._progress[uid] = attempt.progress
            elif attempt.progress.timer_uid is not None and attempt.progress.found is None:
                self._progress[uid] = attempt.progress.for_next_attempt
            raise

    def _observe(self, attempt: Attempt, *, removed: bool) -> Observed:
        session = attempt.session
        job = self.memory.job_of(session)
        if not removed and _is_doubtful(session, job):
            job = self._read_job(session, job)
        return make.observed(
            job=job,
            review=attempt.review,
            removed=removed,
            recheck_due=session.metadata.uid in self._recheck and session.status.state is State.ACTIVE,
            guards_missing=self.world.guards_missing,
            identity_missing=self._identity_missing.get(session.metadata.uid),
            refusal=attempt.refusal,
            progress=attempt.progress,
        )

    def _read_job(self, session: TaskSession, known: ObservedJob | None) -> ObservedJob | None:
        reference = session.status.job_ref
        job = self.world.job(reference.name if reference else job_name(session) or "")
        if job is None:
            if known is not None:
                self.memory.lose_job(known)
            return None
        self.memory.see_job(job)
        return job if reference is None or job.uid == reference.uid else None

    def _review(self, session: TaskSession) -> Review:
        review = self._call(lambda: self.world.review(session))
        if session.status.state is State.ACTIVE and review.failed is None:
            self._recheck.discard(session.metadata.uid)
        elif session.status.state is State.ACTIVE:
            # The engine puts the session back into the queue; here the next sweep asks again.
            self._recheck.discard(session.metadata.uid)
        return review

    def _superseded(self, attempt: Attempt) -> bool:
        known = self.memory.session(key_of(attempt.session))
        if known is None or known.metadata.uid != attempt.session.metadata.uid:
            return True
        if int(known.metadata.resource_version) > int(attempt.session.metadata.resource_version):
            attempt.session = known
        return False

    def _refresh(self, attempt: Attempt) -> None:
        attempt.progress, attempt.review, attempt.refusal = Progress(), None, None
        name = attempt.session.metadata.name
        session = self.world.sessions.get(name)
        if session is not None:
            self.memory.see_session(session)
        if session is None or session.metadata.uid != attempt.session.metadata.uid:
            self.memory.lose_session(attempt.session)
            return
        attempt.session = session
        job = self.world.job(job_name(session) or "")
        known = self.memory.job_of(session)
        if job is not None:
            self.memory.see_job(job)
        elif known is not None:
            self.memory.lose_job(known)

    # Actions

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

    def _apply(self, attempt: Attempt, decision: Decision) -> None:
        if any(isinstance(action, CREATES) for action in decision.actions):
            attempt.refusal = None
        for action in decision.actions:
            if isinstance(action, CREATES) and self.world.guards_missing:
                return
            self._judge_grant(attempt, action)
            stale = self._call(lambda action=action: self._do(attempt, action))  # type: ignore[misc]
            if stale:
                self._refresh(attempt)
            if stale or (attempt.refusal is not None and isinstance(action, CREATES)):
                return
        if any(isinstance(action, actions.DeleteRoleBinding) for action in decision.actions):
            attempt.progress = replace(attempt.progress, role_bindings_gone=True)

    def _judge_grant(self, attempt: Attempt, action: actions.Action) -> None:
        """S3 at the moment of the grant: an answer of this very attempt allows this very role to this very session."""
        if not isinstance(action, actions.CreateRoleBinding):
            return
        review, access = attempt.review, attempt.session.spec.access
        assert review is not None and review.verdict is not None and review.verdict.allowed, "granted without a yes"
        assert review.policy is not None and access is not None
        assert not self.world.guards_missing, "granted without guards"
        role = action.manifest["roleRef"]["name"]
        asked = {reference.name for reference in access.roles}
        allowed = {reference.name for reference in review.policy.spec.access.roles}
        assert role in asked & allowed or (names.parse_identity(role) and access.rules), "granted beyond the verdict"

    def _do(self, attempt: Attempt, action: actions.Action) -> bool:
        """Carry an action out; True where what it was meant for is not there any more."""
        world = self.world
        match action:
            case (
                actions.CreateJob(manifest)
                | actions.CreateTimer(manifest)
                | actions.CreateServiceAccount(manifest)
                | actions.CreateRole(manifest)
                | actions.CreateRoleBinding(manifest)
            ):
                self._create(attempt, dict(manifest))
            case actions.ReleaseJob() | actions.StopJob():
                return self._patch_job(attempt, action)
            case actions.FindChildren(_, session_uid):
                found = [key for key in world.children(session_uid) if key[0] in ("RoleBinding", "Job")]
                children = tuple(
                    Child(kind, name, world.objects[kind, name]["metadata"]["uid"]) for kind, name in found
                )
                attempt.progress = replace(attempt.progress, found=children)
            case actions.DeleteRoleBinding(_, name):
                self._delete("RoleBinding", name)
            case actions.DeleteTimer(_, name, _):
                self._delete("Job", name)
                attempt.progress = replace(attempt.progress, timer_gone=True)
            case actions.DeleteSession(_, name, uid):
                if name in world.sessions and world.sessions[name].metadata.uid == uid:
                    world.writes += 1
                    world.delete_session(name)
                # Without this the loop would delete again and again until the watch brings the news.
                self.memory.lose_session(attempt.session)
            case actions.WriteStatus():
                session = world.sessions.get(action.name)
                if session is None or session.metadata.uid != action.uid:
                    return True
                if session.metadata.resource_version != action.resource_version:
                    return True
                attempt.session = world.write_status(action.name, action.status)
                self.memory.see_session(attempt.session)
                if attempt.session.status.state.final:
                    self._identity_missing.pop(action.uid, None)
                    self.memory.forget_end(attempt.session)
        return False

    def _create(self, attempt: Attempt, manifest: Manifest) -> None:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        object_kind = "timer" if kind == "Job" and names.parse_identity(name) else kind
        existing = self.world.objects.get((kind, name))
        if existing is None and object_kind in self.world.refusing:
            attempt.refusal = Refusal(self.world.refusing[object_kind], object_kind, "refused")
            return
        if existing is not None and object_kind != "Job" and not manifests.matches(existing, manifest):
            attempt.refusal = Refusal(RefusalKind.MISMATCH, object_kind, "another hand's")
            return
        made = existing if existing is not None else self.world.create(manifest)
        uid = made["metadata"]["uid"]
        progress = attempt.progress
        if object_kind == "Job":
            self.memory.see_job(ObservedJob.from_object(made))
        elif object_kind == "timer":
            attempt.progress = Progress(identity=name, timer_uid=uid)
        elif object_kind == "ServiceAccount":
            attempt.progress = replace(progress, service_account_uid=uid)
        elif object_kind == "Role":
            attempt.progress = replace(progress, role_made=True)
        else:
            attempt.progress = replace(progress, role_bindings_made=progress.role_bindings_made | {name})

    def _delete(self, kind: str, name: str) -> None:
        """Delete until it is gone, whoever put it there."""
        if (kind, name) in self.world.objects:
            self.world.writes += 1
            self.world.delete(kind, name)

    def _patch_job(self, attempt: Attempt, action: actions.ReleaseJob | actions.StopJob) -> bool:
        item = self.world.objects.get(("Job", action.name))
        stopping = isinstance(action, actions.StopJob)
        if stopping:
            attempt.progress = replace(attempt.progress, stopped=True)
        if item is None or item["metadata"]["uid"] != action.uid:
            return not stopping
        if isinstance(action, actions.StopJob):
            self.memory.see_job(self.world.stop(action.name))
            return False
        identity = names.parse_identity(action.service_account)
        assert identity is not None and identity.uid == action.uid, "released as another Job's identity"
        self.memory.see_job(self.world.release(action.name, action.service_account, action.active_deadline_seconds))
        return False

    # Jobs that ask for a session, and Jobs whose session is no more

    def _attend(self, key: Key) -> None:
        for job in self.memory.jobs_of(key):
            self._carry_out(key, job, self.asking(job, self.memory.session(key), None))

    def _carry_out(self, key: Key, job: ObservedJob, decision: Decision) -> None:
        for action in decision.actions:
            if isinstance(action, actions.CreateSession):
                self._ask(key, job, action)
            elif isinstance(action, actions.StopJob):
                self._stop(key, job, action)

    def _ask(self, key: Key, job: ObservedJob, action: actions.CreateSession) -> None:
        refusal = self._call(lambda: self._create_session(dict(action.manifest)))
        if refusal is None:
            if self.memory.session(key) is not None:
                self._carry_out(key, job, self.asking(job, self.memory.session(key), None))
        elif refusal.kind is not RefusalKind.INVALID or not is_bare(action.manifest):
            self._carry_out(key, job, self.asking(job, None, refusal))

    def _create_session(self, manifest: Manifest) -> Refusal | None:
        name = manifest["metadata"]["name"]
        session = self.world.sessions.get(name)
        if session is None and "TaskSession" in self.world.refusing:
            return Refusal(self.world.refusing["TaskSession"], "TaskSession", "refused")
        if session is None:
            try:
                session = self.world.ask_for_session(manifest)
            except ValueError as error:
                return Refusal(RefusalKind.INVALID, "TaskSession", str(error))
        self.memory.see_session(session)
        return None

    def _stop(self, key: Key, job: ObservedJob, action: actions.StopJob) -> None:
        session = self.world.sessions.get(key.name)
        if session is not None:
            self.memory.see_session(session)
        current = self.world.job(job.name)
        if current is None:
            self.memory.lose_job(job)
            return
        self.memory.see_job(current)
        if action in self.asking(current, session, None).actions:
            self._call(lambda: self._stop_unless_replaced(action))

    def _stop_unless_replaced(self, action: actions.StopJob) -> None:
        job = self.world.job(action.name)
        if job is not None and job.uid == action.uid:
            self.memory.see_job(self.world.stop(action.name))


def _is_doubtful(session: TaskSession, job: ObservedJob | None) -> bool:
    """Whether the watch's word on a Job is not enough, as the reconciler asks it."""
    if session.status.state is State.ACTIVE:
        return job is None
    if session.status.state.final or is_joined(session):
        return False
    owner = asking_job(session)
    if owner is not None:
        return job is None or job.uid != owner
    return job is not None and job.owner_uid != session.metadata.uid
