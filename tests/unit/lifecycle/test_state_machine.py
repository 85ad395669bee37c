"""Random lives of sessions, with everything going wrong: whatever happens, the invariants hold.

Hypothesis drives `plan` through the reconciler's loop against a small world: the operator dies or fails before or
after any call, sees old views, loses events; people revoke, delete, re-create, tamper, change policies and take guards
away; Jobs end; time jumps. After every step and at rest:

- S1 a RoleBinding exists only while its session (same uid) exists and has not ended;
- S3 what is bound was asked for and allowed by an answer of that very attempt, and at rest by the policy as it is;
- S4 one identity never serves two sessions, and one Job is started by one session only: by its own requester's, by
  the one that was made for it where it is annotated, and never where its annotations cannot be used;
- a Job that was started does not run on once its session is gone or over;
- L1 when the faults stop everything settles, and a further round writes nothing;
- L2 a session that is over, gone or past its deadline has no ServiceAccount, RoleBinding, Role or timer left;
- and what hangs on a timer is gone at its deadline though the operator does nothing at all.

`TASKSESSION_SCHEDULES` sets how many schedules are tried, in parts, side by side. `test_broken_plans` shows that
mistakes in `plan` are caught.
"""

import json
import os
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tasksession.api import names
from tasksession.api.conditions import State
from tasksession.api.session import TaskSession
from tasksession.lifecycle.asking import attend
from tasksession.lifecycle.drive import Plan
from tasksession.lifecycle.ending import STOPPING_SECONDS
from tasksession.lifecycle.job_requests import Attend
from tasksession.lifecycle.observed import ObservedJob, RefusalKind
from tests.unit import make
from tests.unit.lifecycle.consistency import decide
from tests.unit.lifecycle.driving import NAMES, Crash, Fault, Process, Unavailable
from tests.unit.lifecycle.world import World

SCHEDULES = int(os.environ.get("TASKSESSION_SCHEDULES", "100"))
#: Each part has a seed of its own: in CI, where Hypothesis derives everything from the test itself, always the same.
PARTS = 4
SEED = 0 if settings().derandomize else random.randrange(10**6)  # noqa: S311
SETTINGS = settings(
    max_examples=SCHEDULES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
RULES = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
ACCESS: dict[str, dict[str, Any]] = {
    "view": {"roles": [{"kind": "ClusterRole", "name": "view"}]},
    "both": {"roles": [{"kind": "ClusterRole", "name": "view"}, {"kind": "ClusterRole", "name": "edit"}]},
    "rules": {"roles": [{"kind": "ClusterRole", "name": "view"}], "rules": RULES},
}
POLICIES: dict[str, dict[str, Any]] = {
    "wide": {"access": {**ACCESS["both"], "rules": RULES}},
    "narrow": {"access": ACCESS["view"]},
    "suspended": {"access": {**ACCESS["both"], "rules": RULES}, "suspended": True},
    "shorter": {"access": {**ACCESS["both"], "rules": RULES}, "defaults": {"ttl": "2m"}},
    "elsewhere": {"access": ACCESS["both"], "namespaces": {"names": ["other"]}},
}
#: What an annotated Job may say of its access: mostly what can be used, else no YAML, no mapping, no valid access.
ASKED = [json.dumps(access) for access in ACCESS.values()] + ["[", "- view", '{"roles": 5}']
USER = st.sampled_from(["jane", "jane", "bob"])
NAME = st.sampled_from(NAMES)
#: A Job joins under a name of its own, or under that of its session.
JOB_NAME = st.sampled_from([*NAMES, "work"])
NUMBER = st.integers(0, 1000)
#: What is broken at random is mended more often than broken, or no session would ever come far.
MOSTLY = st.sampled_from([True, True, False])


class Lives(RuleBasedStateMachine):
    """Two names, any number of sessions under each, one operator at a time."""

    plan: Plan = staticmethod(decide)
    asking: Attend = staticmethod(attend)

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.seen: dict[str, TaskSession] = {}
        self.change_policy("wide")
        self.operator = Process(self.world, type(self).plan, type(self).asking)

    # What people do

    @rule(
        name=NAME,
        access=st.sampled_from(sorted(ACCESS)),
        ttl=st.sampled_from(["1m", "10m", None]),
        keep=st.sampled_from([None, None, 0, 30]),
    )
    def create(self, name: str, access: str, ttl: str | None, keep: int | None) -> None:
        """A requester creates a TaskSession, perhaps under the name of one that is gone."""
        if name not in self.world.sessions:
            self.world.add_session(name, access=ACCESS[access], ttl=ttl, ttlSecondsAfterFinished=keep)

    @rule(name=NAME, access=st.sampled_from(ASKED), user=USER, seconds=st.sampled_from([None, None, 30]))
    def create_annotated_job(self, name: str, access: str, user: str, seconds: int | None) -> None:
        """Somebody creates a Job that asks for a session, perhaps under the name of one that is gone."""
        if ("Job", name) not in self.world.objects:
            asked = {
                names.POLICY_ANNOTATION: "ticket-triage",
                names.TTL_ANNOTATION: "10m",
                names.ACCESS_ANNOTATION: access,
            }
            self.world.add_job(name, creator=user, annotations=asked, seconds=seconds)

    @rule(name=NAME, job=JOB_NAME, user=USER, ttl=st.sampled_from(["1m", "10m"]))
    def create_joined_session(self, name: str, job: str, user: str, ttl: str) -> None:
        """A requester creates a TaskSession for a Job to join; to an annotated Job of its name it is in the way."""
        if name not in self.world.sessions:
            requester = {"username": user}
            self.world.add_session(
                name, access=ACCESS["both"], ttl=ttl, task={"job": {"name": job}}, requester=requester
            )

    @rule(name=JOB_NAME, session=NAME, user=USER)
    def create_joining_job(self, name: str, session: str, user: str) -> None:
        """Somebody creates a Job that is to join a session, whoever's that is, before or after it."""
        if ("Job", name) not in self.world.objects:
            self.world.add_job(name, creator=user, annotations={names.SESSION_ANNOTATION: session})

    @rule(name=NAME)
    def delete(self, name: str) -> None:
        """Somebody deletes a TaskSession."""
        if name in self.world.sessions:
            self.world.delete_session(name)

    @rule(name=NAME)
    def revoke(self, name: str) -> None:
        """Somebody revokes a session."""
        if name in self.world.sessions:
            self.world.change_session(
                name, lambda s: s.model_copy(update={"spec": s.spec.model_copy(update={"revoked": True})})
            )

    @rule(name=NAME)
    def touch(self, name: str) -> None:
        """Another writer changes a label of a TaskSession, which makes the operator's next write a conflict."""
        if name in self.world.sessions:
            self.world.change_session(name, lambda s: make.with_metadata(s, labels={"touched": "yes"}))

    @rule(number=NUMBER)
    def delete_child(self, number: int) -> None:
        """An admin deletes a timer, a ServiceAccount, a Role or a RoleBinding."""
        if children := self.world.children():
            self.world.delete(*children[number % len(children)])

    @rule(name=NAME)
    def widen(self, name: str) -> None:
        """An admin puts another subject into the RoleBindings of a session that is not granted yet."""
        session = self.world.sessions.get(name)
        if session is not None and session.status.state is State.PENDING:
            for key in self.world.children(session.metadata.uid):
                if key[0] == "RoleBinding":
                    self.world.objects[key]["subjects"].append({"kind": "User", "name": "mallory"})

    @rule(policy=st.sampled_from(["wide", "wide", *POLICIES, "gone"]))
    def change_policy(self, policy: str) -> None:
        """An admin changes or deletes the policy."""
        self.world.policy = make.policy(**POLICIES[policy]) if policy in POLICIES else None

    @rule(may_use=MOSTLY)
    def change_use(self, may_use: bool) -> None:
        """The requester loses, or gets back, the right to use the policy."""
        self.world.may_use = may_use

    @rule()
    def change_role(self) -> None:
        """The rules of a bound role change."""
        self.world.role_rules["view"] = (*self.world.role_rules["view"], *self.world.role_rules["edit"])[-3:]

    # What the cluster does

    @rule(name=JOB_NAME, kind=st.sampled_from(["SuccessCriteriaMet", "Complete", "FailureTarget", "Failed"]))
    def end_job(self, name: str, kind: str) -> None:
        """A running Job ends."""
        job = self.world.objects.get(("Job", name))
        if job is not None and not job["spec"]["suspend"] and not job["status"].get("conditions"):
            self.world.end_job(name, kind, "ByItself")

    @rule(name=JOB_NAME)
    def delete_job(self, name: str) -> None:
        """Somebody deletes a Job."""
        if ("Job", name) in self.world.objects:
            self.world.delete("Job", name)

    @rule(seconds=st.sampled_from([0.3, 1, 31, 90, 700]))
    def pass_time(self, seconds: float) -> None:
        """Time passes."""
        self.world.advance(seconds)

    @rule(answering=MOSTLY)
    def look_ups(self, answering: bool) -> None:
        """Look-ups stop to be answered, or are answered again."""
        self.world.answering = answering

    @rule(complete=MOSTLY)
    def guards(self, complete: bool) -> None:
        """Guards vanish or are installed again."""
        self.world.guards_missing = () if complete else ("token",)

    @rule(
        kind=st.sampled_from(
            [None, None, None, "Job", "timer", "ServiceAccount", "Role", "RoleBinding", "TaskSession"]
        ),
        why=st.sampled_from(list(RefusalKind)),
    )
    def refuse(self, kind: str | None, why: RefusalKind) -> None:
        """The API server refuses creates of one kind, or none any more."""
        self.world.refusing = {kind: why} if kind else {}

    # What the operator does

    @rule(count=st.integers(1, 8), kind=st.sampled_from([None, TaskSession, ObservedJob]))
    def deliver(self, count: int, kind: type | None) -> None:
        """The watch brings some events; that of one kind may be ahead of the other."""
        self.operator.deliver(count, kind)

    @rule()
    def lose_events(self) -> None:
        """The watch breaks: what it had not brought is never brought."""
        self.world.events.clear()

    @rule()
    def sweep(self) -> None:
        """A sweep comes round."""
        self.operator.sweep()

    @rule()
    def crash(self) -> None:
        """The operator is killed at rest and started again."""
        # The next process has to take the lease and list everything first.
        self.world.advance(1)
        self.operator = Process(self.world, type(self).plan, type(self).asking)

    @rule()
    def work_in_peace(self) -> None:
        """The operator is up to date, and nothing happens while it works."""
        self.operator.deliver(len(self.world.events))
        self._run(None)
        if self.operator.cases.held:
            # It gave way to others, and comes back.
            self._run(None)

    @rule(
        call=st.integers(0, 14),
        kind=st.sampled_from(["", "", "fail before", "fail after", "die before", "die after"]),
        meanwhile=st.sampled_from(
            ["", "", "delete", "recreate", "revoke", "touch", "end", "delete_job", "replace_job", "guards", "tick"]
        ),
        name=NAME,
    )
    def work(self, call: int, kind: str, meanwhile: str, name: str) -> None:
        """The operator works at all it knows of; at one call something happens beneath it, and it may fail or die."""
        self._run(Fault(call, kind, self._meanwhile(meanwhile, name)))

    def _meanwhile(self, what: str, name: str) -> Callable[[], None] | None:
        def recreate() -> None:
            self.delete(name)
            self.create(name, "view", "10m", None)

        def replace_job() -> None:
            self.delete_job(name)
            self.create_annotated_job(name, ASKED[0], "jane", None)

        happenings: dict[str, Callable[[], None]] = {
            "delete": lambda: self.delete(name),
            "recreate": recreate,
            "revoke": lambda: self.revoke(name),
            "touch": lambda: self.touch(name),
            "end": lambda: self.end_job(name, "SuccessCriteriaMet"),
            "delete_job": lambda: self.delete_job(name),
            "replace_job": replace_job,
            "guards": lambda: self.guards(False),
            "tick": lambda: self.world.advance(0.7),
        }
        return happenings.get(what)

    def _run(self, fault: Fault | None) -> None:
        self.operator.arm(fault)
        for key in self.operator.known_keys():
            try:
                self.operator.reconcile(key)
            except Unavailable:
                continue
            except Crash:
                self.operator.arm(None)
                self.crash()
                return
        self.operator.arm(None)

    # What has to hold

    @invariant()
    def rights_belong_to_living_sessions(self) -> None:
        """S1. What an attempt left under another identity than the session's in the end is the sweep's to find."""
        self.world.collect()
        self.seen.update({session.metadata.uid: session for session in self.world.sessions.values()})
        for kind, name in self.world.children():
            labels = self.world.objects[kind, name]["metadata"]["labels"]
            if kind != "RoleBinding":
                continue
            session = self.world.sessions.get(labels[names.SESSION_LABEL])
            assert session is not None, f"{name}: rights without a session"
            assert session.metadata.uid == labels[names.SESSION_UID_LABEL], f"{name}: rights of a predecessor"
            identity, used = names.identity_of_binding(name), session.status.service_account_name
            forgotten = used is not None and identity is not None and identity.name != used
            assert forgotten or not session.status.state.final, f"{name}: rights after the end"

    @invariant()
    def nothing_outlives_its_deadline(self) -> None:
        """At the deadline, and the second that clocks are cut by, the timer has taken all with it."""
        for kind, name in self.world.children():
            identity = names.identity_of_binding(name)
            assert identity is not None
            timer_lives = ("Job", identity.name) in self.world.objects
            assert not timer_lives or self.world.now.timestamp() < identity.deadline + 2, f"{kind} {name} lives on"

    def settle(self) -> None:
        """Stop all faults and let everybody come to rest. L1, L2, and S3 under the policy as it is now."""
        self.world.answering, self.world.guards_missing, self.world.refusing = True, (), {}
        quiet = 0
        for _ in range(20):
            before = self.world.writes
            self.world.advance(1)
            self._round()
            # A session that was just looked at is left alone for two seconds, whatever it waits for.
            quiet = quiet + 1 if self.world.writes == before and not self.operator.cases.held else 0
            if quiet == 3:
                break
        before = self.world.writes
        self._round()
        assert self.world.writes == before, "no rest: a quiet round writes"
        self.rights_belong_to_living_sessions()
        self._released_jobs_have_a_session()
        for uid in self.seen:
            session = next((s for s in self.world.sessions.values() if s.metadata.uid == uid), None)
            if session is None or session.status.state.final:
                assert self.world.children(uid) == [], "something is left of a session that is over"
            elif session.status.state is not State.ACTIVE:
                rights = [name for kind, name in self.world.children(uid) if kind == "RoleBinding"]
                assert rights == [], "a session that waits has rights"
            else:
                assert session.status.deadline is not None
                assert self.world.now < session.status.deadline, "a session lives past its deadline"
                self._covered(session)

    def _covered(self, session: TaskSession) -> None:
        policy, access = self.world.policy, session.spec.access
        assert policy is not None and access is not None and self.world.may_use, "a session lives without a yes"
        bound = {grant.role for grant in session.status.grants}
        asked = set(access.roles) & set(policy.spec.access.roles)
        assert bound <= asked | {None}, "more is bound than is asked and allowed"
        made = {name for kind, name in self.world.children(session.metadata.uid) if kind == "RoleBinding"}
        assert made == {grant.role_binding for grant in session.status.grants}

    def _released_jobs_have_a_session(self) -> None:
        living = {
            s.status.job_ref.uid for s in self.world.sessions.values() if s.status.job_ref and not s.status.state.final
        }
        for name in self.world.task_jobs():
            job = self.world.job(name)
            if job is None or job.service_account is None or job.end is not None or job.uid in living:
                continue
            seconds = job.active_deadline_seconds
            assert seconds is not None and job.started is not None, f"{name} runs on for ever without a session"
            # One that its own deadline ends within the tolerance that is left to it needs no stopping.
            ends = job.started + timedelta(seconds=seconds + STOPPING_SECONDS)
            about_to_end = self.world.now + timedelta(seconds=3) >= ends
            assert seconds == STOPPING_SECONDS or about_to_end, f"{name} runs on without a session"

    def _round(self) -> None:
        self.world.collect()
        self.operator.deliver(len(self.world.events))
        self.operator.sweep()
        self._run(None)
        self.world.control()

    @rule()
    def come_to_rest(self) -> None:
        """Now and then the faults stop."""
        self.settle()

    def teardown(self) -> None:
        """At the end the faults stop, and later all time is over."""
        self.settle()
        for _ in range(3):
            # A session that waits is over; its tombstone goes, which may make way for the session that an annotated Job
            # still asks for; that one is over.
            self.world.advance(timedelta(days=2).total_seconds())
            self.settle()
        assert self.world.children() == [], "something is left for ever"
        assert all(session.status.state.final for session in self.world.sessions.values())


@pytest.mark.parametrize("part", range(PARTS))
def test_random_lives(part: int) -> None:
    """The invariants hold in all schedules tried."""
    lives = seed(SEED + part)(type(f"Lives{part}", (Lives,), {}))
    run_state_machine_as_test(lives, settings=settings(SETTINGS, max_examples=SCHEDULES // PARTS))


def test_guards_gone_between_two_bindings() -> None:
    """A guard that goes while the first of two RoleBindings is created keeps the second from being created."""
    life = Lives()
    life.create("alpha", "rules", "1m", None)
    life.crash()
    for call in range(15):
        life.work(call, "", "guards", "alpha")
        life.guards(True)
    life.teardown()
