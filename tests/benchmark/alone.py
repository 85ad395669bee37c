"""One session on an idle cluster: from apply to granted, ours and raw by turns, by the audit log's times.

Granted means released: the Job may start. Applied is when the API server received the TaskSession.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from tasksession.api.session import TaskSession
from tests.benchmark.audit import AuditLog, Entry
from tests.benchmark.ground import Ground, manifest
from tests.benchmark.raw import RawOperator
from tests.support.world import World


@dataclass(frozen=True, slots=True)
class Latency:
    """From apply to granted, in milliseconds, one value for each session."""

    ours: list[float]
    raw: list[float]

    @property
    def ratio(self) -> float:
        """Ours in units of the raw client's, by the medians."""
        return statistics.median(self.ours) / statistics.median(self.raw)


async def alone(ground: Ground, count: int) -> Latency:
    """Grant to one session after another, ours and raw by turns."""
    mine, limit = ground.world(), ground.world()
    client = RawOperator(ground.operator, limit)
    ours, raw = [], []
    with ground.running_operator(mine):
        # The first request of a connection is another matter: nobody is measured by it.
        await granted_by_operator(ground, mine, "warm-up")
        await _granted_raw(ground, limit, client, "warm-up")
        for number in range(count):
            ours.append(await granted_by_operator(ground, mine, f"s-{number}"))
            raw.append(await _granted_raw(ground, limit, client, f"s-{number}"))
    return Latency(ours, raw)


async def granted_by_operator(ground: Ground, world: World, name: str, **spec: object) -> float:
    """Ask for one session and wait until it is released; milliseconds."""
    audit = ground.audit(world.namespace)
    await ground.jane.create(world.sessions, manifest(world, name, **spec))
    return await _between(audit, name)


async def _granted_raw(ground: Ground, world: World, client: RawOperator, name: str) -> float:
    audit = ground.audit(world.namespace)
    asked = await ground.jane.create(world.sessions, manifest(world, name))
    await client.grant(TaskSession.model_validate(asked))
    return await _between(audit, name)


async def _between(audit: AuditLog, name: str) -> float:
    def matters(entry: Entry) -> bool:
        applied = entry.verb == "create" and entry.resource == "tasksessions"
        return applied or (entry.verb == "patch" and entry.resource == "jobs" and entry.name == name)

    found = await audit.wait(matters, count=2, timeout=60, what=f"{name} to be asked for and released")
    return (found[-1].answered - found[0].received) * 1000
