"""Many live sessions at once: what they cost at rest, what a restart takes, and what they do to a grant's latency.

The sessions are really granted, by an operator as it is deployed: for all namespaces, with a Lease. Their Jobs start
no pods, which are no concern of the operator's.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from dataclasses import dataclass
from datetime import datetime

from tests.benchmark.alone import granted_by_operator
from tests.benchmark.audit import PATCH, AuditLog, Entry
from tests.benchmark.ground import REST, Ground, clock
from tests.benchmark.machine import memory_of, processor_of
from tests.benchmark.throughput import names
from tests.cluster.api import Object
from tests.cluster.operator_process import NAMESPACE, OperatorProcess
from tests.support.world import OPERATOR_USER, World

_LEASE = ("--lease-namespace", NAMESPACE)
#: The operator's own interval between sweeps, in seconds.
_SWEEP_INTERVAL = 300
#: How many sessions are asked for before their grants are waited for.
_BATCH = 2000


@dataclass(frozen=True, slots=True)
class AtRest:
    """What live sessions cost while nothing happens."""

    writes: int
    processor: float
    """Percent of one core, between sweeps."""
    sweep: float
    """Processor seconds of one sweep."""

    @property
    def processor_swept(self) -> float:
        """Percent of one core, with the sweeps at the operator's own interval."""
        return self.processor + 100 * self.sweep / _SWEEP_INTERVAL


@dataclass(frozen=True, slots=True)
class Live:
    """The figures of many live sessions."""

    memory: list[float]
    at_rest: AtRest
    restart: float
    few: list[float]
    many: list[float]

    @property
    def latency_ratio(self) -> float:
        """A grant's latency with many live in units of that with few, by the medians."""
        return statistics.median(self.many) / statistics.median(self.few)


async def live(ground: Ground, count: int, *, few: int, runs: int, quiet: float) -> Live:
    """Bring `count` sessions to life and measure; `runs`: grants for each latency; `quiet`: seconds of silence."""
    world = ground.world()
    world.set_policy(maxTTL="3h")
    operator = ground.running_operator(None, arguments=_LEASE)
    lists = ground.audit('"verb":"list"')
    with operator:
        await _bring_to_life(ground, world, names(few, "few"))
        with_few = await _latencies(ground, world, runs, "early")
        await _bring_to_life(ground, world, names(count - few - runs, "many"))
        with_many = await _latencies(ground, world, runs, "late")
        await ground.until_at_rest()
        await _between_sweeps(ground, lists, quiet)
        memory = [memory_of(operator.pid)]
        writes, processor = await _silence(ground, operator, quiet)
        await _bring_to_life(ground, world, ["overdue"], ttl="15s")
        # As in an upgrade: a Lease that was not given back would have to run out first.
        operator.stop()
    restarted = ground.running_operator(None, arguments=(*_LEASE, "--sweep-interval", str(quiet)))
    try:
        restart = await _restart(ground, world, restarted)
        with contextlib.suppress(TimeoutError):
            # It may not come to rest before the next sweep, which is to be measured in any case.
            await ground.until_at_rest(timeout=quiet)
        swept_writes, with_sweep = await _silence(ground, restarted, quiet)
        memory.append(memory_of(restarted.pid))
    finally:
        restarted.stop()
    sweep = max(0.0, with_sweep - processor) * quiet / 100
    return Live(
        memory=memory,
        at_rest=AtRest(writes=writes + swept_writes, processor=processor, sweep=sweep),
        restart=restart,
        few=with_few,
        many=with_many,
    )


async def _bring_to_life(ground: Ground, world: World, sessions: list[str], *, ttl: str = "3h") -> None:
    def released(entry: Entry) -> bool:
        return entry.verb == "patch" and entry.resource == "jobs" and entry.code == 200

    for first in range(0, len(sessions), _BATCH):
        batch = sessions[first : first + _BATCH]
        audit = ground.audit(world.namespace, PATCH)
        await ground.request(world, batch, ttl=ttl, task=_without_pods(world))
        await audit.wait(released, count=len(batch), timeout=600, what=f"{len(batch)} grants")


def _without_pods(world: World) -> Object:
    return {"jobTemplate": {"spec": world.job_spec(parallelism=0, completions=1)}}


async def _latencies(ground: Ground, world: World, runs: int, prefix: str) -> list[float]:
    await ground.until_at_rest()
    task = _without_pods(world)
    return [await granted_by_operator(ground, world, name, ttl="3h", task=task) for name in names(runs, prefix)]


async def _between_sweeps(ground: Ground, lists: AuditLog, seconds: float) -> None:
    """Wait for the next sweep where it would come within so many seconds: what it costs is measured by itself."""

    def ends_sweep(entry: Entry) -> bool:
        # Roles are what a sweep lists last.
        return entry.resource == "roles" and entry.user == OPERATOR_USER

    swept = [entry for entry in lists.read() if ends_sweep(entry)]
    if swept and clock() + seconds + REST < swept[-1].answered + _SWEEP_INTERVAL:
        return
    await lists.wait(ends_sweep, count=len(swept) + 1, timeout=2 * _SWEEP_INTERVAL, what="a sweep")
    await ground.until_at_rest()


async def _silence(ground: Ground, operator: OperatorProcess, seconds: float) -> tuple[int, float]:
    """Wait for so long; the operator's writes, the Lease's apart, and its processor time in percent of one core."""
    audit = ground.audit(OPERATOR_USER)
    started, used = clock(), processor_of(operator.pid)
    await asyncio.sleep(seconds)
    percent = 100 * (processor_of(operator.pid) - used) / (clock() - started)
    return sum(entry.writes and entry.resource != "leases" for entry in audit.read()), percent


async def _restart(ground: Ground, world: World, operator: OperatorProcess) -> float:
    """Start an operator that finds one session overdue; seconds until that is ended and all deadlines are armed."""
    deadline = datetime.fromisoformat(world.status("overdue")["deadline"]).timestamp()
    await asyncio.sleep(max(0.0, deadline - clock()) + 1)
    audit = ground.audit(world.namespace)
    started = clock()
    operator.start(wait=False)

    def ended(entry: Entry) -> bool:
        return entry.resource == "tasksessions/status" and entry.name == "overdue" and entry.code == 200

    (end,) = await audit.wait(ended, count=1, timeout=120, what="the overdue session to be ended")
    operator.wait_ready(timeout=120)
    (ready,) = operator.lines("the operator is ready")
    return max(end.answered, datetime.fromisoformat(ready["time"]).timestamp()) - started
