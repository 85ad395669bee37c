"""The operator dies in the midst of annotated and joined Jobs' lives and stays dead: Kubernetes alone ends the rights.

At each stage three sessions are held in the middle of the same write, and the operator is killed. Then the Job of one
is deleted, the TaskSession of another, and the third is left to its deadline. Past it nothing is left of any of them.
An operator that comes back much later finds nothing that has rights, and clears up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.cluster.api import Object
from tests.cluster.waiting import wait_for
from tests.support.lane import Ground, Lane
from tests.support.plans import Fault, Plan, Trigger
from tests.support.world import FINAL, World

#: Long enough for three sessions to come to their release on a busy machine.
_TTL = 25
#: The timer rounds up to whole seconds, and Job controller, TTL controller and garbage collection take their moment.
_AFTER_DEADLINE = 10
_AT_ONCE = 4

BY_JOB, BY_SESSION, BY_DEADLINE = NAMES = ("by-job", "by-session", "by-deadline")
ACCESS: Object = {
    "roles": [{"kind": "ClusterRole", "name": "view"}],
    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["triage"], "verbs": ["get", "patch"]}],
}


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the operator dies: before a write, or, without one, while the Jobs run; `finished`: once they ended."""

    verb: str = ""
    resource: str = ""
    finished: bool = False

    def __str__(self) -> str:
        """Say it for a failure's message."""
        return f"before {self.verb} {self.resource}" if self.verb else "while running"


GRANTING = [
    Stage("create", "jobs"),
    Stage("create", "serviceaccounts"),
    Stage("create", "roles"),
    Stage("create", "rolebindings"),
    Stage("patch", "tasksessions/status"),
    Stage("patch", "jobs"),
    Stage(),
    Stage("delete", "rolebindings", finished=True),
]


def annotated(world: World, name: str) -> None:
    """Create an annotated Job."""
    asked = {"policy": world.policy, "ttl": f"{_TTL}s", "access": json.dumps(ACCESS)}
    marks = {f"tasksession.dev/{key}": value for key, value in asked.items()}
    world.jane.create(world.path("Job"), {"metadata": {"name": name, "annotations": marks}, "spec": world.job_spec()})


def joined(world: World, name: str) -> None:
    """Create a Job that joins a session, and the session."""
    marks = {"tasksession.dev/session": name}
    world.jane.create(world.path("Job"), {"metadata": {"name": name, "annotations": marks}, "spec": world.job_spec()})
    world.request(name, ttl=f"{_TTL}s", access=ACCESS, task={"job": {"name": name}})


@pytest.fixture(scope="module")
def ground(operator_cluster: Cluster) -> Iterator[Ground]:
    """Return what the lanes share."""
    made = Ground(operator_cluster)
    yield made
    made.close()


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("create", "stages"),
    [
        # What lies between is in the tests of faults, for annotated Jobs.
        pytest.param(annotated, [Stage("create", "tasksessions"), *GRANTING[-2:]], id="annotated"),
        pytest.param(joined, GRANTING, id="joined"),
    ],
)
def test_rights_end_wherever_the_operator_died(
    ground: Ground, tmp_path: Path, create: Callable[[World, str], None], stages: list[Stage]
) -> None:
    """Killed before any write, and not started again, the rights end by either deletion and at the deadline."""

    def one(stage: Stage) -> str | None:
        lane = Lane(ground, tmp_path / str(stages.index(stage)))
        try:
            _die_at(lane, stage, create)
        except (AssertionError, TimeoutError) as error:
            return f"{stage}: {error}"
        finally:
            lane.close()
        return None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        failed = [found for found in pool.map(one, stages) if found]
    assert not failed, f"{len(failed)} of {len(stages)} stages did not hold:\n" + "\n".join(failed)


def _die_at(lane: Lane, stage: Stage, create: Callable[[World, str], None]) -> None:
    world = lane.world
    lane.tends = False
    _start(lane)
    plan = Plan(Trigger(verb=stage.verb, resource=stage.resource, times=1000), Fault.HANG)
    if stage.verb and not stage.finished:
        lane.proxy.arm(plan)
    for name in NAMES:
        create(world, name)
    uids = {name: str(world.admin.get(world.path("Job", name))["metadata"]["uid"]) for name in NAMES}
    if stage.finished or not stage.verb:
        for name in NAMES:
            wait_for(lambda name=name: _is_active(world, name), timeout=_TTL, what=f"{name} to be active")  # type: ignore[misc]
    if stage.finished:
        lane.proxy.arm(plan)
        for name in NAMES:
            world.finish_pod(name)
    if stage.verb:
        wait_for(lambda: len(_held(lane, stage)) >= len(NAMES), timeout=_TTL, what=f"three sessions held {stage}")
    lane.operator.kill()
    lane.check()
    assert not lane.violations, lane.violations
    before = _names(world)
    _end_all(world, uids, join=create is joined)
    _come_back(lane, stage, before)


def _start(lane: Lane) -> None:
    lane.operator.start(wait=False)
    # Several start at once.
    lane.operator.wait_ready(60)


def _is_active(world: World, name: str) -> bool:
    found = world.admin.find(f"{world.sessions}/{name}")
    return found is not None and found["status"]["state"] == "Active"


def _held(lane: Lane, stage: Stage) -> list[str]:
    return [
        str(request)
        for request in lane.proxy.writes
        if (request.verb, request.resource, request.status) == (stage.verb, stage.resource, None)
    ]


def _rights(world: World, uid: str) -> bool:
    """Whether a token of the Job's identity would have rights: it takes the ServiceAccount and a RoleBinding."""
    return all(any(uid in name for name in world.children(kind)) for kind in ("ServiceAccount", "RoleBinding"))


def _end_all(world: World, uids: dict[str, str], *, join: bool) -> None:
    """Delete the Job of one and the TaskSession of another, await the third's deadline; none keeps its rights."""
    latest = datetime.now(UTC).timestamp() + _TTL + _AFTER_DEADLINE
    world.jane.delete(world.path("Job", BY_JOB))
    if world.admin.find(f"{world.sessions}/{BY_SESSION}") is not None:
        world.jane.delete(f"{world.sessions}/{BY_SESSION}")
    for name in (BY_JOB, BY_SESSION):
        uid = uids[name]
        if name == BY_JOB and join:
            # Its rights hang on the TaskSession, and stay until the deadline: nobody is left to use them.
            gone = lambda uid=uid: not _living_pods(world, uid)  # noqa: E731
            wait_for(gone, timeout=5, what="the pods of the deleted Job to be gone")
        else:
            wait_for(lambda uid=uid: not _rights(world, uid), timeout=5, what=f"the rights to end {name}")  # type: ignore[misc]
    identities = [name for name in world.children("ServiceAccount") if uids[BY_DEADLINE] in name]
    wait_for(
        lambda: not any(world.children(kind) for kind in ("RoleBinding", "ServiceAccount", "Role", "Job")),
        timeout=max(1.0, latest - time.time()), what="rights, timers, identities and Roles to be gone", interval=0.3,
    )  # fmt: skip
    assert not _rights(world, uids[BY_DEADLINE])
    for name in identities:
        assert time.time() <= int(name.rpartition("-")[2]) + _AFTER_DEADLINE
    # The Job controller counts from the start it saw: it may end the pods a moment after the rights are gone.
    wait_for(
        lambda: not _living_pods(world, uids[BY_DEADLINE]),
        timeout=max(1.0, latest - time.time()), what="the pods past their deadline to be ended", interval=0.3,
    )  # fmt: skip


def _living_pods(world: World, uid: str) -> list[str]:
    """Name the Job's pods that nobody has ended or deleted."""
    return [
        str(pod["metadata"]["name"])
        for pod in world.admin.list(world.path("Pod"))
        if uid in str(pod) and pod["status"]["phase"] == "Pending" and "deletionTimestamp" not in pod["metadata"]
    ]


def _come_back(lane: Lane, stage: Stage, before: set[str]) -> None:
    """Much later an operator starts: what was there when the other one died is gone, and no session is left open."""
    lane.proxy.arm()
    _start(lane)
    wait_for(lambda: not before & _names(lane.world), timeout=20, what="the operator to clear up", interval=0.3)
    if stage.resource != "tasksessions":
        # One that had come to nothing yet may be granted now, and then ends at its deadline.
        lane.world.wait_state(BY_DEADLINE, *FINAL, timeout=_TTL + 20)


def _names(world: World) -> set[str]:
    return {name for found in world.all_children().values() for name in found}
