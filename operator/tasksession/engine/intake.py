"""Takes in what the watch brings: remembers it, and queues the sessions that it may concern.

The watch calls `seen` in the operator's own loop, once for each event. It must never raise, since the event would then
be logged and dropped, and it never waits: what an event means is decided later, by the reconciler.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from typing import Any

from tasksession.api.conditions import State
from tasksession.cluster.clock import ServerClock
from tasksession.engine.guards import Guards
from tasksession.engine.memory import Memory, readable
from tasksession.engine.queue import NORMAL, WorkQueue
from tasksession.engine.rechecks import Rechecks
from tasksession.lifecycle.key import Key, key_of
from tasksession.lifecycle.observed import ObservedJob

#: A listing that takes longer is looked after once before it is whole, and once more then.
_LONGEST_LISTING_SECONDS = 30.0


class Intake:
    """Where events come in."""

    def __init__(
        self, *, memory: Memory, guards: Guards, queue: WorkQueue, rechecks: Rechecks, clock: ServerClock
    ) -> None:
        self._memory = memory
        self._guards = guards
        self._queue = queue
        self._rechecks = rechecks
        self._clock = clock
        self.listed = asyncio.Event()
        """Set when the watch lists anew: what was deleted before that, it never tells."""

    async def has_listed(self, *, within: float, quiet: float) -> bool:
        """Wait for a listing of the watch, and for all of it: until no more of it has come for `quiet` seconds.

        Returns False where none began `within` so many seconds.
        """
        try:
            async with asyncio.timeout(within):
                await self.listed.wait()
        except TimeoutError:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_LISTING_SECONDS):
                while self.listed.is_set():
                    self.listed.clear()
                    await asyncio.sleep(quiet)
        return True

    def due(self, key: Key) -> None:
        """Queue a session whose moment has come."""
        now = self._clock.now() if self._clock.is_known else None
        self._queue.add(key, self._memory.urgency(key, now) if now else NORMAL)

    def seen(self, plural: str, kind: str | None, item: dict[str, Any]) -> None:
        """Take in one event: the resource, ADDED, MODIFIED, DELETED, or None while listing, and the object."""
        deleted = kind == "DELETED"
        if kind is None:
            self.listed.set()
        if Guards.concerns(plural):
            self._seen_guard(plural, item, deleted=deleted)
        elif plural == "tasksessions":
            self._seen_session(item, deleted=deleted)
        elif plural == "jobs":
            self._seen_job(item, deleted=deleted)
        elif plural == "namespaces":
            if self._memory.see_namespace(item, deleted=deleted):
                self._namespace_ends(item["metadata"]["name"])
        elif plural == "sessionpolicies":
            changed = self._memory.lose_policy(item) if deleted else self._memory.see_policy(item)
            if changed:
                self._rechecks.policy_changed(item["metadata"]["name"])

    def seen_all(self, plural: str, namespace: str | None, uids: Collection[str], version: str) -> None:
        """Take in that a stream has listed all there was at a version: what it should show and did not is gone."""
        if plural == "tasksessions":
            for session in self._memory.absent_sessions(namespace, uids, version):
                if self._memory.lose_session(session):
                    self._queue.add(key_of(session), 0.0)
        elif plural == "jobs":
            for job in self._memory.absent_jobs(namespace, uids, version):
                self._memory.lose_job(job)
                self.due(self._memory.session_key_of_job(job))

    def _seen_session(self, item: dict[str, Any], *, deleted: bool) -> None:
        if not deleted and self._memory.knows_session(item):
            # The echo of a write of ours, mostly.
            return
        session = readable(item)
        if session is None and deleted:
            # Its last view may not be readable: what is known of it is enough to bury it.
            session = self._memory.session_of(item)
        if session is None:
            return
        changed = self._memory.lose_session(session) if deleted else self._memory.see_session(session)
        if changed:
            self.due(key_of(session))

    def _seen_job(self, item: dict[str, Any], *, deleted: bool) -> None:
        if not deleted and self._memory.knows_job(item):
            return
        job = ObservedJob.from_object(item)
        if deleted:
            self._memory.lose_job(job)
        elif not self._memory.see_job(job):
            return
        self.due(self._memory.session_key_of_job(job))

    def _seen_guard(self, plural: str, item: dict[str, Any], *, deleted: bool) -> None:
        before = self._guards.missing()
        if deleted:
            self._guards.lose(plural, item)
        else:
            self._guards.see(plural, item)
        if before and not self._guards.missing():
            for session in self._memory.sessions():
                if not session.status.state.final and session.status.state is not State.ACTIVE:
                    self._queue.add(key_of(session))

    def _namespace_ends(self, name: str) -> None:
        for session in self._memory.sessions():
            if session.metadata.namespace == name and session.status.state is State.ACTIVE:
                self.due(key_of(session))
