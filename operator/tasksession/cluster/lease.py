"""The gate that lets one replica work at a time: a Lease, held while it can be renewed, else the process ends.

The official client's leader election cannot create the Lease and keeps running after losing it, so this is our
own. Time is measured by the monotonic clock of the observer, as client-go does: a holder's clock is never believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasksession.cluster import paths
from tasksession.cluster.client import MERGE_PATCH, Client, Object
from tasksession.cluster.errors import ClusterError, Conflict, Missing, Taken

_logger = logging.getLogger(__name__)

#: How long after the end of the holder's time a standby tries, in seconds.
_MARGIN = 0.05


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Which Lease, and its times in seconds.

    A holder that could not renew for `renew_deadline` ends itself; a standby takes over after `duration` without a
    change. The difference is what keeps two from writing at once.
    """

    namespace: str
    name: str
    identity: str
    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0


class LeaseGate:
    """Acquires, renews and releases the Lease."""

    def __init__(self, client: Client, settings: LeaseSettings, *, on_lost: Callable[[], None]) -> None:
        self._client = client
        self._settings = settings
        self._on_lost = on_lost
        self._path = paths.one("Lease", settings.namespace, settings.name)
        self._renewed: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._observed: str | None = None
        self._expires = 0.0
        self._lease: Object = {}
        self._taken = False

    @property
    def held(self) -> bool:
        """Whether this process may write."""
        return self._renewed is not None and time.monotonic() - self._renewed < self._settings.renew_deadline

    @property
    def age(self) -> float | None:
        """Seconds since the last renewal, None for a standby."""
        return None if self._renewed is None else time.monotonic() - self._renewed

    async def check(self) -> None:
        """Make sure that the Lease can be read, or created. Raises Refused where that is not allowed."""
        with contextlib.suppress(Missing):
            await self._client.get(self._path)

    async def acquire(self) -> None:
        """Wait until the Lease is ours, then keep renewing it in the background."""
        while not await self._try():  # noqa: ASYNC110 - what is waited for is in the API server
            await asyncio.sleep(self._pause())
        _logger.info("the Lease is held", extra={"identity": self._settings.identity})
        self._task = asyncio.create_task(self._keep(), name="lease")

    def _pause(self) -> float:
        """How long a standby waits: not beyond the moment in which the holder's time is over."""
        left = self._expires - time.monotonic()
        return min(self._settings.retry, left + _MARGIN) if left > 0 else self._settings.retry

    async def release(self) -> None:
        """Stop renewing and let a standby take over at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if not self.held:
            return
        spec = {**self._lease.get("spec", {}), "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await self._write(spec)
        except (ClusterError, TimeoutError) as error:
            _logger.warning("the Lease was not released", extra={"error": str(error)})
        finally:
            self._renewed = None

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._settings.retry)
            renewed = await self._try()
            if not renewed and (self._taken or not self.held):
                self._renewed = None
                _logger.error("the Lease is lost")
                self._on_lost()
                return

    async def _try(self) -> bool:
        """Make one attempt; any error is a no."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._patience()):
                renewed = await self._acquire_or_renew()
        except Exception as error:
            # Also an answer of an odd shape: it would end the renewing, and the process would neither work nor leave.
            _logger.warning("the Lease was not renewed", extra={"error": str(error) or type(error).__name__})
            return False
        if renewed:
            # Counted from before the request: the write took effect at some time after this.
            self._renewed = started
        return renewed

    def _patience(self) -> float:
        """How long an attempt may take: a holder has to know of its loss before anybody else takes over."""
        half = self._settings.renew_deadline / 2
        age = self.age
        return half if age is None else max(0.1, min(half, self._settings.renew_deadline - age))

    async def _acquire_or_renew(self) -> bool:
        now = self._stamp()
        mine = self._settings.identity
        try:
            self._lease = await self._client.get(self._path)
        except Missing:
            return await self._create(now)
        spec = self._lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        version = self._lease["metadata"]["resourceVersion"]
        self._taken = bool(holder) and holder != mine
        if self._taken and not self._expired(version, spec):
            return False
        transitions = int(spec.get("leaseTransitions") or 0) + (holder != mine)
        return await self._write(
            {
                "holderIdentity": mine,
                "leaseDurationSeconds": int(self._settings.duration),
                "acquireTime": spec.get("acquireTime") if holder == mine else now,
                "renewTime": now,
                "leaseTransitions": transitions,
            }
        )

    def _expired(self, version: str, spec: dict[str, Any]) -> bool:
        """Whether the holder has not renewed for as long as it said, by our own watching of it."""
        if self._observed != version:
            self._observed = version
            duration = max(float(spec.get("leaseDurationSeconds") or 0), self._settings.duration)
            self._expires = time.monotonic() + duration
            return False
        return time.monotonic() > self._expires

    async def _create(self, now: str) -> bool:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._settings.name, "namespace": self._settings.namespace},
            "spec": {
                "holderIdentity": self._settings.identity,
                "leaseDurationSeconds": int(self._settings.duration),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }
        try:
            path = paths.collection("Lease", self._settings.namespace)
            self._lease = await self._client.request("POST", path, body, gated=False)
        except Taken:
            return False
        return True

    async def _write(self, spec: dict[str, Any]) -> bool:
        metadata = self._lease["metadata"]
        body = {
            "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
            "spec": spec,
        }
        try:
            self._lease = await self._client.request("PATCH", self._path, body, content_type=MERGE_PATCH, gated=False)
        except (Conflict, Missing):
            return False
        return True

    def _stamp(self) -> str:
        """The server's time for people to read; before the first answer there is none to give."""
        if not self._client.clock.is_known:
            return "1970-01-01T00:00:00.000000Z"
        return self._client.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
