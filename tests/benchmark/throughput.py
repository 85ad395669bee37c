"""How many sessions a second are granted and ended when many are asked for at once: ours, raw, and naive.

A turn has a namespace of its own and begins when nothing of the last one is under way. The operators have started and
served one session before: what a start costs is not measured here; the raw client has its connections. The TaskSessions
are there before the clock starts: an operator is stopped in its tracks while they are created. All 1,000 are ended by
one write, the policy's kill switch; the raw client makes the same four writes a session. Times are the audit log's.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from tasksession.api.session import TaskSession
from tests.benchmark.audit import PATCH, AuditLog, Entry
from tests.benchmark.connection import Connection, side_by_side
from tests.benchmark.ground import Ground, clock, job_spec, wait_pods_run, wait_quiet
from tests.benchmark.naive import GROUP, NaiveProcess
from tests.benchmark.raw import RawOperator
from tests.cluster.api import Object
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.waiting import wait_for
from tests.support.world import OPERATOR_USER, World

_NAIVE_USER = "kubernetes-admin"
_WARM_UP = "warm-up"
#: How long the cluster has to be silent before a turn begins, in seconds.
_REST = 0.5


@dataclass(frozen=True, slots=True)
class Rates:
    """Sessions a second."""

    granted: float
    ended: float | None = None


def _releases(entry: Entry) -> bool:
    return entry.verb == "patch" and entry.resource == "jobs" and entry.code == 200


def _by_operator(entry: Entry) -> bool:
    return entry.user == OPERATOR_USER


def _rate(entries: list[Entry], started: float) -> float:
    return len(entries) / (max(entry.answered for entry in entries) - started)


async def ours(ground: Ground, count: int, *, ends: bool) -> Rates:
    """Grant to `count` sessions that wait, and, where `ends`, end them all."""
    world = ground.world()
    with ground.running_operator(world) as operator:
        await _warm_up_ours(ground, world, operator)
        audit = ground.audit(world.namespace, PATCH)
        operator.signal(signal.SIGSTOP)
        await ground.request(world, names(count))
        started = clock()
        operator.signal(signal.SIGCONT)
        released = await audit.wait(
            lambda entry: _releases(entry) and _by_operator(entry), count=count, timeout=300, what="releases"
        )
        granted = _rate(released, started)
        # What the controllers still have to do for this turn must not be part of the next.
        wait_pods_run(world, count + 1)
        if not ends:
            return Rates(granted)
        started = clock()
        world.set_policy(suspended=True)
        done = await audit.wait(
            lambda entry: _writes_status(entry) and _by_operator(entry) and entry.received >= started,
            count=count + 1, timeout=300, what="last status writes",
        )  # fmt: skip
        ended = _rate(done, started)
        wait_quiet(world)
    return Rates(granted, ended)


async def raw(ground: Ground, count: int, *, in_flight: int, ends: bool) -> Rates:
    """Make the same writes with so many sessions in flight."""
    world = ground.world()
    audit = ground.audit(world.namespace, PATCH)
    waiting = [TaskSession.model_validate(item) for item in await ground.request(world, names(count))]
    client = RawOperator(ground.operator, world)
    await ground.until_at_rest(rest=_REST)
    await side_by_side(
        range(in_flight), lambda _: ground.operator.request("GET", world.sessions + "?limit=1"), limit=in_flight
    )
    started = clock()
    granted = await side_by_side(waiting, client.grant, limit=in_flight)
    released = await audit.wait(
        lambda entry: _releases(entry) and _by_operator(entry), count=count, timeout=10, what="releases"
    )
    rate = _rate(released, started)
    wait_pods_run(world, count)
    if not ends:
        return Rates(rate)
    started = clock()
    await side_by_side(granted, client.end, limit=in_flight)
    done = await audit.wait(
        lambda entry: _writes_status(entry) and _by_operator(entry) and entry.received >= started,
        count=count, timeout=10, what="last status writes",
    )  # fmt: skip
    ended = _rate(done, started)
    wait_quiet(world)
    return Rates(rate, ended)


async def naive(ground: Ground, count: int) -> Rates:
    """Have a kopf operator of the plain kind make the same objects for as many objects of its own."""
    world = ground.world()
    folder = ground.folder / f"naive-{world.namespace}"
    with NaiveProcess(kubeconfig=ground.cluster.kubeconfig, folder=folder, namespace=world.namespace) as operator:
        audit: AuditLog = ground.audit(world.namespace, PATCH)
        await _ask(ground.admin, world, _WARM_UP)
        await audit.wait(_releases, count=1, timeout=60, what="the first release")
        await ground.until_at_rest(rest=_REST)
        audit = ground.audit(world.namespace, PATCH)
        operator.signal(signal.SIGSTOP)
        await side_by_side(names(count), lambda name: _ask(ground.admin, world, name), limit=32)
        started = clock()
        operator.signal(signal.SIGCONT)
        released = await audit.wait(
            lambda entry: _releases(entry) and entry.user == _NAIVE_USER, count=count, timeout=300, what="releases"
        )
        wait_pods_run(world, count + 1)
    return Rates(_rate(released, started))


async def _warm_up_ours(ground: Ground, world: World, operator: OperatorProcess) -> None:
    """Have one session granted, and wait until nothing of the operator's start is under way any more."""
    audit = ground.audit(world.namespace, PATCH)
    await ground.request(world, [_WARM_UP])
    await audit.wait(_releases, count=1, timeout=60, what="the first release")
    wait_for(lambda: operator.lines("the doctor has looked"), timeout=60, what="the doctor to have looked")
    await ground.until_at_rest(rest=_REST)


async def _ask(admin: Connection, world: World, name: str) -> Object:
    body = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "NaiveSession",
        "metadata": {"name": name},
        "spec": {"role": "view", "seconds": 1500, "job": {**job_spec(world), "suspend": True}},
    }
    return await admin.create(f"/apis/{GROUP}/v1/namespaces/{world.namespace}/naivesessions", body)


def _writes_status(entry: Entry) -> bool:
    return entry.verb == "patch" and entry.resource == "tasksessions/status" and entry.code == 200


def names(count: int, prefix: str = "s") -> list[str]:
    """Names for so many sessions."""
    return [f"{prefix}-{number:05d}" for number in range(count)]
