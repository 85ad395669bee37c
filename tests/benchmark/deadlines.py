"""How late a session's token is refused after its deadline, with many random deadlines in one minute."""

from __future__ import annotations

import random
from datetime import datetime

from tests.benchmark.connection import side_by_side
from tests.benchmark.ground import LOAD, Ground, clock, manifest, wait_quiet
from tests.benchmark.refusal import Observer
from tests.benchmark.throughput import names
from tests.benchmark.tokens import tokens
from tests.cluster.api import Object


async def lateness(ground: Ground, count: int, *, head_start: float, window: float) -> list[float]:
    """Let `count` sessions reach their deadlines; milliseconds from each deadline to its token's refusal.

    `head_start`: seconds in which all of them have to be granted and their pods to run. `window`: seconds in which
    the deadlines then lie. A deadline is a whole second, so several sessions share one.
    """
    world = ground.world()
    sessions = names(count)
    chance = random.Random(4711)  # noqa: S311 - the same deadlines in each run
    first = clock() + head_start

    async def ask(name: str) -> Object:
        ttl = first + chance.random() * window - clock()
        return await ground.jane.create(world.sessions, manifest(world, name, ttl=f"{ttl:.3f}s"))

    with ground.running_operator(world):
        await side_by_side(sessions, ask, limit=LOAD)
        shown = await tokens(ground, world, sessions)
        deadlines = {
            item["metadata"]["name"]: datetime.fromisoformat(item["status"]["deadline"]).timestamp()
            for item in world.admin.list(world.sessions)
        }
        # One that ended before its token could be had would be missed: the head start was too short then.
        assert min(deadlines.values()) > clock() + 1, "the first deadline came before all tokens were there"
        async with Observer(ground, world, shown) as observer:
            await observer.wait(sessions, timeout=head_start + window + 60)
        wait_quiet(world)
    return [(observer.moments.refused[name] - deadline) * 1000 for name, deadline in deadlines.items()]
