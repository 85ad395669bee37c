"""LIST and WATCH: what tenants write by streams of our own, everything else by kopf, in a thread and loop of its own.

This is the only module that imports kopf. The engine starts it and gets every event through one callback in its own
loop. kopf reads only what cluster administrators write: it decodes whatever it is sent, and cannot be told not to. It
keeps no state here: no create, update or delete handlers (their progress lives in annotations that users may write), no
timers or daemons (they add finalizers), no peering, no Events. What it misses in a gap, the sweep finds.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import random
import threading
import time
from collections.abc import Collection, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import kopf

from tasksession.api import admission, names
from tasksession.cluster.client import Client
from tasksession.cluster.expected_guards import GUARD_LABEL
from tasksession.cluster.handover import Handover
from tasksession.cluster.streams import (
    DEAD_STREAM_SECONDS,
    STREAM_SECONDS,
    EventCallback,
    ListedCallback,
    Streams,
)

_logger = logging.getLogger(__name__)

#: Group, version and plural of what kopf watches.
_RESOURCES = (
    (names.GROUP, names.VERSION, "sessionpolicies"),
    ("", "v1", "namespaces"),
    *((admission.GROUP, "v1", plural) for plural in admission.RESOURCES),
)


class _Backoffs:
    """Seconds between attempts to reach the API server, without end: kopf's own list ends, and the watch with it."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1.0, 2.0)
        while True:
            yield random.uniform(2.0, 4.0)  # noqa: S311 - so that replicas do not all come back at once


class _NoDiff(kopf.DiffBaseStorage):
    """kopf copies each object for a diff that nobody here reads."""

    def fetch(self, *, body: Any) -> None:
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        return None

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:
        return {}


def kopf_settings() -> kopf.OperatorSettings:
    """Build the settings; a misspelt name would be accepted silently, hence a test for each."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.queueing.idle_timeout = 0.5
    settings.posting.enabled = False
    settings.watching.server_timeout = STREAM_SECONDS
    settings.watching.client_timeout = DEAD_STREAM_SECONDS
    settings.watching.inactivity_timeout = DEAD_STREAM_SECONDS
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 100
    settings.networking.request_timeout = 15
    settings.networking.error_backoffs = _Backoffs()
    settings.process.ultimate_exiting_timeout = 40
    settings.persistence.diffbase_storage = _NoDiff()
    for plural in admission.RESOURCES:
        settings.watching.label_selectors["admissionregistration.k8s.io", plural] = GUARD_LABEL
    return settings


class Watch:
    """One run of all streams. It is started once and stopped once."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        client: Client,
        callback: EventCallback,
        listed: ListedCallback,
        kubeconfig: Path | None,
        namespaces: Collection[str],
    ) -> None:
        self._handover = Handover(loop, callback)
        self._streams = Streams(client=client, namespaces=namespaces, seen=callback, listed=listed)
        self._kubeconfig = kubeconfig
        self._namespaces = tuple(namespaces)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._started = time.monotonic()
        #: When the API server last answered each path that is listed or watched.
        self._answered: dict[str, dict[str, float]] = {plural: {} for _, _, plural in _RESOURCES}
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self, versions: Mapping[str, str]) -> None:
        """Start watching; events begin to arrive at the callback.

        Streams of our own go on from the versions, by path, that the operator has listed itself.
        """
        if self._kubeconfig is not None:
            os.environ["KUBECONFIG"] = str(self._kubeconfig)  # the only way kopf's login takes it
        self._started = time.monotonic()
        self._thread.start()
        self._streams.start(versions)

    @property
    def failure(self) -> BaseException | None:
        """What ended the watch, None while it runs."""
        if self._failure is None and not self._thread.is_alive() and not self._stop.is_set():
            return RuntimeError("the watch ended without an error")
        return self._failure or self._streams.failure

    def silence(self) -> tuple[str, float]:
        """The resource whose stream was opened longest ago, and how many seconds ago; callable from any thread."""
        since = {
            plural: min(list(answered.values()), default=self._started) for plural, answered in self._answered.items()
        }
        for plural, moment in self._streams.answered():
            since[plural] = min(moment, since.get(plural, moment))
        plural = min(since, key=lambda each: since[each])
        return plural, time.monotonic() - since[plural]

    async def stop(self) -> None:
        """Stop watching and wait for the thread."""
        self._stop.set()
        await self._streams.stop()
        await asyncio.to_thread(self._thread.join, 30)

    def _run(self) -> None:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**kwargs: Any) -> kopf.AiohttpSession | None:
            found = kopf.login_with_kubeconfig(**kwargs) or _in_pod(kopf.login_with_service_account(**kwargs))
            return None if found is None else self._session(found)

        async def seen(event: Any, resource: Any, **_: Any) -> None:
            self._handover.put(resource.plural, event["type"], event["object"])

        for group, version, plural in _RESOURCES:
            kopf.on.event(group, version, plural, registry=registry)(seen)
        scope: dict[str, Any] = {"namespaces": self._namespaces} if self._namespaces else {"clusterwide": True}
        # Nobody sees it, for there is no peering. Left to itself kopf asks for the user's name, and in a container the
        # user may have none.
        scope["identity"] = "tasksession-operator"
        try:
            asyncio.run(
                self._watch(kopf.operator(registry=registry, settings=kopf_settings(), stop_flag=self._stop, **scope))
            )
        except BaseException as error:
            self._failure = error
            _logger.error("the watch ended", extra={"error": f"{type(error).__name__}: {error}"})

    def _session(self, info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
        """Make the session that kopf would make, and note in it what is answered: kopf itself does not tell."""
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._note)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
            headers={**(info.as_http_headers() or {}), "Accept-Encoding": "identity"},
            trust_env=False,
            trace_configs=[trace],
        )
        return kopf.AiohttpSession(
            server=info.server,
            aiohttp_session=session,
            default_namespace=info.default_namespace,
            priority=info.priority,
            expiration=info.expiration,
        )

    async def _note(self, _: aiohttp.ClientSession, __: Any, ended: aiohttp.TraceRequestEndParams) -> None:
        path = ended.url.path
        answered = self._answered.get(path.rpartition("/")[2])
        if answered is not None and ended.response.status == 200:
            answered[path] = time.monotonic()

    async def _watch(self, operator: Coroutine[Any, Any, None]) -> None:
        asyncio.get_running_loop().set_exception_handler(self._stray_error)
        await operator

    def _stray_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Report what no task of kopf's caught, but for the streams that it drops half-open when it is stopped."""
        if not self._stop.is_set():
            loop.default_exception_handler(context)


def _in_pod(found: kopf.ConnectionInfo | None) -> kopf.ConnectionInfo | None:
    """Reach the API server as the client does, by the address that the kubelet gives each pod.

    kopf takes the name of the Service: without DNS, or with another one for the pods, it would never connect.
    """
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
    if found is None or not host or not port:
        return found
    return dataclasses.replace(found, server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")
