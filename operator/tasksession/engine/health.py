"""What the probes answer: whether this process still does its work, from what it knows of itself.

The operator notes here what it achieves; the probe server asks. Nothing here calls the API server.
"""

from __future__ import annotations

import asyncio
import faulthandler
import sys
import time
from collections.abc import Callable

from tasksession.cluster.lease import LeaseGate
from tasksession.cluster.streams import DEAD_STREAM_SECONDS
from tasksession.cluster.watching import Watch
from tasksession.engine.guards import Guards
from tasksession.engine.queue import WorkQueue
from tasksession.observability.probes import ProbeServer

#: A loop that did not turn for this long, in seconds, is blocked.
_LOOP_LIMIT = 10.0
#: A loop that did not turn for this long will not: the process ends, so that a fresh one can work.
_LOOP_END = 30
#: A stream of the watch that was opened longer ago than this, in seconds, is dead, or cannot be opened.
_STREAM_LIMIT = DEAD_STREAM_SECONDS + 3.0
#: Where the API server does answer this process otherwise, a stream that stays dead is this process's own fault.
_STREAM_END = 90.0
_ANSWER_LIMIT = 30.0
#: A session that waits for a worker this long, or that a worker is at this long, in seconds: the queue is stuck.
_QUEUE_LIMIT = 20.0
_WORK_LIMIT = 25.0
#: Requests have time-outs, so that no worker can be at one session for this long, unless something is broken.
_WORK_END = 600.0
#: A sweep that is this many intervals overdue is stuck.
_SWEEP_LIMIT = 3


class Health:
    """The facts behind the probes; None where there is nothing to judge yet."""

    def __init__(self, *, guards: Guards, queue: WorkQueue, sweep_interval: float, standby: bool) -> None:
        self._guards = guards
        self._queue = queue
        self._sweep_interval = sweep_interval
        self._beat = time.monotonic()
        self._swept: float | None = None
        self.standby = standby
        self.synced = False
        self.watch: Watch | None = None
        self.silence_of_server: Callable[[], float] = lambda: 0.0
        """Seconds since the API server last answered this process, the watch apart."""
        self.lease: LeaseGate | None = None

    def server(self, host: str, port: int) -> ProbeServer:
        """Build the probe server."""
        return ProbeServer(
            host=host,
            port=port,
            live={
                "loop": self._loop_turns,
                "watch": self._watch_runs,
                "workers": self._workers_move,
                "sweep": self._sweep_is_recent,
            },
            ready={
                "streams": self._streams_are_fresh,
                "queue": self._queue_moves,
                "lease": self._is_leader,
                "synced": self._is_synced,
                "guards": self._guards_in_force,
            },
            role=lambda: "standby" if self.standby else "worker",
        )

    def swept(self) -> None:
        """Note that a sweep succeeded, or that the time for the first one begins."""
        self._swept = time.monotonic()

    async def beat(self) -> None:
        """Show that the event loop turns, for ever; where it stops, a watchdog outside of it ends the process.

        The probes are served by the same loop: one that is blocked answers nothing, and that is noticed too.
        """
        try:
            while True:
                self._beat = time.monotonic()
                faulthandler.dump_traceback_later(_LOOP_END, exit=True, file=sys.__stderr__ or sys.stderr)
                await asyncio.sleep(1.0)
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _loop_turns(self) -> str | None:
        lag = time.monotonic() - self._beat
        return f"the event loop did not turn for {lag:.0f} s" if lag > _LOOP_LIMIT else None

    def _watch_runs(self) -> str | None:
        if self.watch is None:
            return None
        if self.watch.failure is not None:
            return "the watch has ended"
        plural, seconds = self.watch.silence()
        if seconds > _STREAM_END and self.silence_of_server() < _ANSWER_LIMIT:
            return f"nothing was heard of {plural} for {seconds:.0f} s, while the API server answers otherwise"
        return None

    def _streams_are_fresh(self) -> str | None:
        if self.watch is None:
            return None
        plural, seconds = self.watch.silence()
        return f"nothing was heard of {plural} for {seconds:.0f} s" if seconds > _STREAM_LIMIT else None

    def _workers_move(self) -> str | None:
        longest = self._queue.longest()
        return f"a worker has been at one session for {longest:.0f} s" if longest > _WORK_END else None

    def _queue_moves(self) -> str | None:
        oldest, longest = self._queue.oldest(), self._queue.longest()
        # Before the first look is done nobody takes anything: `synced` says so.
        if self.synced and oldest > _QUEUE_LIMIT:
            return f"a session has waited for a worker for {oldest:.0f} s"
        return f"a worker has been at one session for {longest:.0f} s" if longest > _WORK_LIMIT else None

    def _sweep_is_recent(self) -> str | None:
        if self._swept is None:
            return None
        late = time.monotonic() - self._swept
        limit = self._sweep_interval * _SWEEP_LIMIT + 60
        return f"no sweep succeeded for {late:.0f} s" if late > limit else None

    def _is_leader(self) -> str | None:
        # A standby is ready to be one: taking it out of service would help nobody.
        if self.lease is None or self.standby:
            return None
        return None if self.lease.held else "the Lease could not be renewed"

    def _is_synced(self) -> str | None:
        return None if self.standby or self.synced else "the first look at the cluster is not done"

    def _guards_in_force(self) -> str | None:
        if self.standby or not self.synced:
            return None
        missing = self._guards.missing()
        return f"missing or weakened: {', '.join(missing[:5])}; nothing is granted" if missing else None
