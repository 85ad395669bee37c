"""LIST and WATCH, by kopf, in a thread and an event loop of its own; this is the only module that imports kopf.

The engine starts it and gets every event through one callback in its own loop. kopf keeps no state here: no
create, update or delete handlers (their progress lives in annotations that users may write), no timers or daemons
(they add finalizers), no peering, no Events. What it misses in a gap, the sweep finds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any

import kopf

from tasksession.api import names
from tasksession.cluster.expected_guards import GUARD_LABEL

_logger = logging.getLogger(__name__)

#: Resource plural, type of event (None while listing, else ADDED, MODIFIED, DELETED) and the object.
EventCallback = Callable[[str, str | None, dict[str, Any]], None]

#: Group, version and plural of everything that is watched.
GUARD_RESOURCES = (
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
)
_RESOURCES = (
    (names.GROUP, names.VERSION, "tasksessions"),
    (names.GROUP, names.VERSION, "sessionpolicies"),
    ("batch", "v1", "jobs"),
    ("", "v1", "namespaces"),
    *(("admissionregistration.k8s.io", "v1", plural) for plural in GUARD_RESOURCES),
)


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
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 15
    settings.process.ultimate_exiting_timeout = 40
    settings.persistence.diffbase_storage = _NoDiff()
    settings.watching.label_selectors["batch", "jobs"] = f"{names.MANAGED_LABEL}=true"
    for plural in GUARD_RESOURCES:
        settings.watching.label_selectors["admissionregistration.k8s.io", plural] = GUARD_LABEL
    return settings


class Watch:
    """One run of kopf's watch streams. It is started once and stopped once."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        callback: EventCallback,
        kubeconfig: Path | None,
        namespaces: Collection[str],
    ) -> None:
        self._loop = loop
        self._callback = callback
        self._kubeconfig = kubeconfig
        self._namespaces = tuple(namespaces)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._last_event = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Start watching; events begin to arrive at the callback."""
        if self._kubeconfig is not None:
            os.environ["KUBECONFIG"] = str(self._kubeconfig)  # the only way kopf's login takes it
        self._thread.start()

    @property
    def failure(self) -> BaseException | None:
        """What ended the watch, None while it runs."""
        if self._failure is None and not self._thread.is_alive() and not self._stop.is_set():
            return RuntimeError("the watch ended without an error")
        return self._failure

    @property
    def last_event(self) -> float:
        """Monotonic time of the last event."""
        return self._last_event

    async def stop(self) -> None:
        """Stop watching and wait for the thread."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 30)

    def _run(self) -> None:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
            return kopf.login_with_kubeconfig(**kwargs) or kopf.login_with_service_account(**kwargs)

        async def seen(event: Any, resource: Any, **_: Any) -> None:
            self._last_event = time.monotonic()
            self._loop.call_soon_threadsafe(self._callback, resource.plural, event["type"], event["object"])

        for group, version, plural in _RESOURCES:
            kopf.on.event(group, version, plural, registry=registry)(seen)
        scope: dict[str, Any] = {"namespaces": self._namespaces} if self._namespaces else {"clusterwide": True}
        try:
            asyncio.run(
                self._watch(kopf.operator(registry=registry, settings=kopf_settings(), stop_flag=self._stop, **scope))
            )
        except BaseException as error:
            self._failure = error
            _logger.error("the watch ended", extra={"error": f"{type(error).__name__}: {error}"})

    async def _watch(self, operator: Coroutine[Any, Any, None]) -> None:
        asyncio.get_running_loop().set_exception_handler(self._stray_error)
        await operator

    def _stray_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Report what no task of kopf's caught, but for the streams that it drops half-open when it is stopped."""
        if not self._stop.is_set():
            loop.default_exception_handler(context)
