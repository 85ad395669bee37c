"""Lists and watches what tenants write, TaskSessions and Jobs, whatever they write; kopf watches everything else.

The watch runs one stream for each kind and namespace, in the operator's own loop: a general reader decodes what it is
sent, and one object of one tenant could stop it for all. An object that is too large or too deep arrives as a Fragment.
A stream begins where the operator's own first listing ended, and lists by itself only where the API server has
forgotten that version. It must never end, and must never keep the loop from others for more than some milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import aiohttp

from tasksession.api import names
from tasksession.cluster import paths
from tasksession.cluster.client import Client
from tasksession.cluster.errors import ClusterError, Refused
from tasksession.cluster.frames import Frames

_logger = logging.getLogger(__name__)

#: The API server ends each stream after so many seconds, and it is opened again where it left off: that is what tells
#: a stream that is only quiet from one that is dead, since the server's own bookmarks come once a minute.
STREAM_SECONDS = 20
#: A stream that has not ended by then is dead: it is closed, and opened again.
DEAD_STREAM_SECONDS = 24
_CONNECT_SECONDS = 10
#: For how long events are handed on before others may go on, in seconds.
_TURN_SECONDS = 0.003
#: A stream that ended as it should is opened again at once, but not more often than this.
_SOONEST = 0.05

#: Resource plural, type of event (None while listing, else ADDED, MODIFIED, DELETED) and the object.
EventCallback = Callable[[str, str | None, dict[str, Any]], None]
#: Told when all of a collection was listed: resource plural, namespace, the uids that there are, and the version.
ListedCallback = Callable[[str, str | None, Collection[str], str], None]


class Expired(Exception):
    """The API server no longer knows the version that was to be watched from."""


class Stream:
    """One collection's events, without end."""

    def __init__(
        self,
        *,
        client: Client,
        kind: str,
        namespace: str | None,
        selector: str | None,
        seen: EventCallback,
        listed: ListedCallback,
    ) -> None:
        self._client = client
        self.plural = paths.plural(kind)
        self._namespace = namespace
        self.path = paths.collection(kind, namespace)
        self._selector = selector
        self._seen = seen
        self._listed = listed
        self._version = ""
        self.answered = time.monotonic()
        """When the API server last answered it, in monotonic seconds."""

    async def run(self, version: str = "") -> None:
        """Watch from a version on; from what a listing shows where there is none. It ends only by being cancelled."""
        self._version = version
        waits = _waits()
        while True:
            opened = time.monotonic()
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except Expired:
                self._version = ""
            except ClusterError as error:
                if isinstance(error, Refused) and error.status == 410:
                    self._version = ""
                if self.answered >= opened:
                    waits = _waits()
                _logger.info("a stream was broken", extra={"resource": self.plural, "error": str(error)})
                await asyncio.sleep(next(waits))
            except Exception:
                # Whatever it is, it must not end the stream: what it was about is found by the sweep.
                _logger.exception("a stream failed", extra={"resource": self.plural})
                self._version = ""
                await asyncio.sleep(next(waits))
            else:
                waits = _waits()
                await asyncio.sleep(max(0.0, _SOONEST - (time.monotonic() - opened)))

    async def _list(self) -> None:
        listing = self._client.list(self.path, label_selector=self._selector)
        there = set()
        async for item in listing:
            there.add(item["metadata"].get("uid", ""))
            self._hand_on("ADDED", item)
        self.answered = time.monotonic()
        self._listed(self.plural, self._namespace, there, listing.resource_version)
        self._version = listing.resource_version

    async def _watch(self) -> None:
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._version),
            ("timeoutSeconds", str(STREAM_SECONDS)),
        ]
        if self._selector:
            query.append(("labelSelector", self._selector))
        timeout = aiohttp.ClientTimeout(total=DEAD_STREAM_SECONDS, sock_connect=_CONNECT_SECONDS)
        async with self._client.opened("GET", self.path, query=query, timeout=timeout, aside=True) as response:
            self.answered = time.monotonic()
            frames = Frames()
            turn = time.monotonic()
            while piece := await response.content.readany():
                async with contextlib.aclosing(frames.feed(piece)) as events:
                    async for kind, item in events:
                        self._take(kind, item)
                        if time.monotonic() - turn > _TURN_SECONDS:
                            await asyncio.sleep(0)
                            turn = time.monotonic()

    def _take(self, kind: str, item: dict[str, Any]) -> None:
        if kind == "ERROR":
            if item.get("code") == 410:
                raise Expired
            raise Refused(
                status=int(item.get("code") or 0),
                reason=str(item.get("reason") or ""),
                message=str(item.get("message") or "the stream ended with an error"),
            )
        metadata = item.get("metadata") or {}
        version = str(metadata.get("resourceVersion") or "")
        if kind != "BOOKMARK":
            self._hand_on(kind, item)
        if version:
            self._version = version

    def _hand_on(self, kind: str, item: dict[str, Any]) -> None:
        try:
            self._seen(self.plural, kind, item)
        except Exception:
            # One object must not keep those behind it from being seen.
            metadata = item.get("metadata") or {}
            fields = {"namespace": metadata.get("namespace"), "object": metadata.get("name")}
            _logger.exception("an event was not taken in", extra={"resource": self.plural, **fields})


class Streams:
    """All streams of TaskSessions and Jobs."""

    def __init__(
        self, *, client: Client, namespaces: Collection[str], seen: EventCallback, listed: ListedCallback
    ) -> None:
        self._streams = [
            Stream(client=client, kind=kind, namespace=namespace, selector=selector, seen=seen, listed=listed)
            for kind, selector in (("TaskSession", None), ("Job", f"{names.MANAGED_LABEL}=true"))
            for namespace in (tuple(namespaces) or (None,))
        ]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, versions: Mapping[str, str]) -> None:
        """Start them, each from the version that its path was listed at."""
        for stream in self._streams:
            version = versions.get(stream.path, "")
            stream.answered = time.monotonic()
            self._tasks.append(asyncio.create_task(stream.run(version), name=f"stream of {stream.path}"))

    @property
    def failure(self) -> BaseException | None:
        """What ended a stream, None while all of them run."""
        for task in self._tasks:
            if task.done():
                error = None if task.cancelled() else task.exception()
                return error or RuntimeError(f"the {task.get_name()} ended")
        return None

    def answered(self) -> Iterator[tuple[str, float]]:
        """Yield for each stream its resource and when the API server last answered it, in monotonic seconds."""
        for stream in self._streams:
            yield stream.plural, stream.answered

    async def stop(self) -> None:
        """End them all."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _waits() -> Iterator[float]:
    """Seconds between attempts to reach the API server, without end."""
    yield from (0.2, 0.5, 1.0, 2.0)
    while True:
        yield random.uniform(2.0, 4.0)  # noqa: S311 - so that replicas do not all come back at once
