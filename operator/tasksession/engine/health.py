"""What the probes answer: whether this process still does its work, from what it knows of itself.

The operator notes here what it achieves; the probe server asks. Nothing here calls the API server.
"""

from __future__ import annotations

import asyncio
import time

from tasksession.cluster.lease import LeaseGate
from tasksession.cluster.watching import Watch
from tasksession.engine.guards import Guards
from tasksession.observability.probes import ProbeServer

#: A loop that did not turn for this long, in seconds, is blocked.
_LOOP_LIMIT = 10.0
#: A sweep that is this many intervals overdue is stuck.
_SWEEP_LIMIT = 3


class Health:
    """The facts behind the probes; None where there is nothing to judge yet."""

    def __init__(self, *, guards: Guards, sweep_interval: float, standby: bool) -> None:
        self._guards = guards
        self._sweep_interval = sweep_interval
        self._beat = time.monotonic()
        self._swept: float | None = None
        self.standby = standby
        self.synced = False
        self.watch: Watch | None = None
        self.lease: LeaseGate | None = None

    def server(self, host: str, port: int) -> ProbeServer:
        """Build the probe server."""
        return ProbeServer(
            host=host,
            port=port,
            live={"loop": self._loop_turns, "watch": self._watch_runs, "sweep": self._sweep_is_recent},
            ready={"lease": self._is_leader, "synced": self._is_synced, "guards": self._guards_in_force},
        )

    def swept(self) -> None:
        """Note that a sweep succeeded, or that the time for the first one begins."""
        self._swept = time.monotonic()

    async def beat(self) -> None:
        """Show that the event loop turns, for ever."""
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(1.0)

    def _loop_turns(self) -> str | None:
        lag = time.monotonic() - self._beat
        return f"the event loop did not turn for {lag:.0f} s" if lag > _LOOP_LIMIT else None

    def _watch_runs(self) -> str | None:
        return "the watch has ended" if self.watch is not None and self.watch.failure is not None else None

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
