"""How long a session's token outlives its Job: from the first ending condition in a watch to the first refusal.

The token is the pod's own, and what is tried is a GET by name: a LIST would wait for the watch cache after it was
authorised. Trying begins when the RoleBinding's deletion is seen, so that it takes nothing from what is measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.benchmark.audit import Entry
from tests.benchmark.ground import Ground, clock, wait_quiet
from tests.benchmark.throughput import names
from tests.benchmark.tokens import finish, tokens
from tests.cluster.api import Object
from tests.support.world import OPERATOR_USER, World

_ENDING = {"SuccessCriteriaMet", "Complete", "FailureTarget", "Failed"}
_SESSION_LABEL = "tasksession.dev/session"
#: Between two tries of a token, in seconds: what is measured is too long by as much, and the try before, at most.
_PAUSE = 0.002
#: From the end of one pod to that of the next, in seconds at least, where nothing else is to go on at a session's end.
_BETWEEN_ENDS = 0.8
#: More would be a failure of its own.
_LONGEST = 60.0


@dataclass
class Moments:
    """When a Job was first seen ended, and when its token was first refused, by session, in Unix seconds."""

    ended: dict[str, float] = field(default_factory=dict)
    refused: dict[str, float] = field(default_factory=dict)


class Observer:
    """Watches the Jobs and RoleBindings of some sessions and tries their tokens."""

    def __init__(self, ground: Ground, world: World, shown: dict[str, str]) -> None:
        self._ground = ground
        self._world = world
        self._tokens = shown
        self._path = f"/api/v1/namespaces/{world.namespace}/configmaps/kube-root-ca.crt"
        self._tasks: set[asyncio.Task[None]] = set()
        self.moments = Moments()
        self._refused = {name: asyncio.Event() for name in shown}

    async def __aenter__(self) -> Observer:
        for name, shown in self._tokens.items():
            status = await self._ground.bearer.status_of(self._path, token=shown)
            assert status == 200, f"the token of {name} is refused before its time: {status}"
        for watch in (self._watch_jobs, self._watch_bindings):
            ready = asyncio.Event()
            self._tasks.add(asyncio.create_task(watch(ready)))
            await asyncio.wait_for(ready.wait(), 30)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait(self, sessions: Sequence[str], *, timeout: float) -> None:  # noqa: ASYNC109
        """Wait until the tokens of these sessions are refused."""
        async with asyncio.timeout(timeout):
            for name in sessions:
                await self._refused[name].wait()

    async def _watch_jobs(self, ready: asyncio.Event) -> None:
        async for event in self._ground.admin.watch(self._world.path("Job"), ready=ready):
            name = event["object"]["metadata"]["name"]
            conditions = (event["object"].get("status") or {}).get("conditions") or ()
            if name in self._tokens and any(c["type"] in _ENDING and c["status"] == "True" for c in conditions):
                self.moments.ended.setdefault(name, event["received"])

    async def _watch_bindings(self, ready: asyncio.Event) -> None:
        async for event in self._ground.admin.watch(self._world.path("RoleBinding"), ready=ready):
            name = _session_of(event["object"])
            if event["type"] == "DELETED" and name in self._tokens:
                task = asyncio.create_task(self._try(name))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _try(self, name: str) -> None:
        shown = self._tokens[name]
        while await self._ground.bearer.status_of(self._path, token=shown) == 200:  # noqa: ASYNC110 - nobody tells
            # Many tokens tried without a pause would keep the API server from what is measured.
            await asyncio.sleep(_PAUSE)
        self.moments.refused[name] = clock()
        self._refused[name].set()


def _session_of(item: Object) -> str:
    labels: dict[str, str] = item["metadata"].get("labels") or {}
    return labels.get(_SESSION_LABEL, "")


@dataclass(frozen=True, slots=True)
class Costs:
    """Requests of the operator for one session's whole life, Events and Lease apart."""

    writes: float
    reads: float


@dataclass(frozen=True, slots=True)
class Steps:
    """Where the time from a Job's end to its token's refusal goes, in milliseconds, one value for each session."""

    reaction: list[float]
    """From the Job's end in this observer's watch to the API server's receipt of the RoleBinding's deletion."""
    deletion: list[float]
    """From that receipt to the answer."""
    effect: list[float]
    """From that answer to the first refusal."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """From a Job's end to its token's refusal, in milliseconds, where it goes, and what a session cost."""

    milliseconds: list[float]
    steps: Steps
    costs: Costs


async def idle(ground: Ground, count: int) -> Refusals:
    """End one session after another, nothing else going on.

    The Job controller takes a second from a pod's end to its Job's. The next pod ends before that second is over, and
    its Job after the end of the session before it is written and cleared away.
    """
    world = ground.world()
    sessions = names(count)
    with ground.running_operator(world):
        # Questions to the API server have no namespace: all requests of the operator are counted, it has no other work.
        audit = ground.audit(OPERATOR_USER)
        await ground.request(world, sessions)
        async with Observer(ground, world, await tokens(ground, world, sessions)) as observer:
            for number, name in enumerate(sessions):
                await finish(ground, world, [name])
                await asyncio.sleep(_BETWEEN_ENDS)
                # On a machine that is slower than this, the ends are further apart.
                what = f"the last status of the session before {name}"
                await audit.wait(_final_status, count=count + number, timeout=_LONGEST, what=what)
            await observer.wait(sessions, timeout=_LONGEST)
            await audit.wait(_final_status, count=2 * count, timeout=_LONGEST, what="the last statuses")
    entries = [
        entry
        for entry in audit.read()
        if entry.verb not in ("watch", "list") and entry.resource not in ("events", "leases")
    ]
    writes = sum(entry.writes for entry in entries)
    costs = Costs(writes / count, (len(entries) - writes) / count)
    return Refusals(_latencies(observer.moments), _steps(observer.moments, entries), costs)


async def crowded(ground: Ground, *, measured: int, others: int) -> list[float]:
    """End all sessions at once, `measured` of them spread among the others; milliseconds of the measured."""
    world = ground.world()
    mine, rest = names(measured, "measured"), names(others, "other")
    step = max(1, others // measured)
    with ground.running_operator(world):
        await ground.request(world, [*rest, *mine])
        shown = await tokens(ground, world, [*rest, *mine])
        async with Observer(ground, world, {name: shown[name] for name in mine}) as observer:
            order = list(rest)
            for number, name in enumerate(mine):
                order.insert(number * (step + 1), name)
            await finish(ground, world, order)
            await observer.wait(mine, timeout=2 * _LONGEST)
        wait_quiet(world)
    return _latencies(observer.moments)


def _steps(moments: Moments, entries: Sequence[Entry]) -> Steps:
    """Take the latencies apart by the audit log; the sessions ended one after another, so that order tells whose."""
    gone = [entry for entry in entries if entry.verb == "delete" and entry.resource == "rolebindings"]
    deletions = sorted(gone, key=lambda entry: entry.received)
    ended, refused = sorted(moments.ended.values()), sorted(moments.refused.values())
    parts = list(zip(ended, deletions, refused, strict=True))
    return Steps(
        reaction=[(deletion.received - end) * 1000 for end, deletion, _ in parts],
        deletion=[(deletion.answered - deletion.received) * 1000 for _, deletion, _ in parts],
        effect=[(refusal - deletion.answered) * 1000 for _, deletion, refusal in parts],
    )


def _final_status(entry: Entry) -> bool:
    return entry.resource == "tasksessions/status" and entry.verb == "patch" and entry.code == 200


def _latencies(moments: Moments) -> list[float]:
    # The operator may be told of the end before this observer is.
    return [max(0.0, (moments.refused[name] - ended) * 1000) for name, ended in moments.ended.items()]
