"""The operator as a whole: connects, checks what it stands on, watches, works, sweeps, and stops cleanly.

The command line builds one and runs it. Everything that can be wrong at start ends it with one sentence
(StartupError); after that, faults are waited out, and nothing is granted while anything is unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from typing import Any

from tasksession.api import names
from tasksession.api.conditions import State
from tasksession.cluster import paths
from tasksession.cluster.client import Client, ConfigurationError
from tasksession.cluster.errors import ClusterError, Missing, Refused
from tasksession.cluster.expected_guards import EXPECTED_GUARDS
from tasksession.cluster.lease import LeaseGate, LeaseSettings
from tasksession.cluster.questions import Questions
from tasksession.cluster.watching import Watch
from tasksession.engine.conditions import ConditionEvaluator
from tasksession.engine.deadlines import Deadlines
from tasksession.engine.guards import Guards
from tasksession.engine.memory import Memory, key_of
from tasksession.engine.queue import NORMAL, Key, WorkQueue
from tasksession.engine.reconciler import Reconciler, failure_fields
from tasksession.engine.reviews import Reviewer
from tasksession.engine.settings import Settings
from tasksession.engine.sweep import Sweep, readable
from tasksession.lifecycle.observed import ObservedJob
from tasksession.observability.probes import ProbeServer

_logger = logging.getLogger(__name__)

_KINDS = ("tasksessions", "sessionpolicies", "sessionapprovals")
#: A loop that did not turn for this long, in seconds, is blocked.
_LOOP_LIMIT = 10.0
#: A sweep that is this many intervals overdue is stuck.
_SWEEP_LIMIT = 3


class StartupError(Exception):
    """The operator cannot work like this; the message says in one sentence what is wrong and what to do."""


class Operator:
    """One process's operator."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._memory = Memory()
        self._queue = WorkQueue()
        self._guards = Guards(EXPECTED_GUARDS)
        self._deadlines = Deadlines(self._due)
        self._stopping = asyncio.Event()
        self._beat = time.monotonic()
        self._swept: float | None = None
        self._standby = settings.lease_namespace is not None
        self._watch: Watch | None = None
        self._lease: LeaseGate | None = None
        self._client: Client
        self._reconciler: Reconciler

    def stop(self) -> None:
        """Ask the operator to finish what it is at and end; callable from a signal handler."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop` is called. Raises StartupError before any work was done."""
        probes = self._probes()
        try:
            await probes.start()
        except OSError as error:
            address = f"{self._settings.probe_host}:{self._settings.probe_port}"
            raise StartupError(f"the probe address {address} cannot be used: {error.strerror or error}") from error
        address = f"{self._settings.probe_host}:{probes.port}"
        _logger.info("the probes are served", extra={"address": address})
        background = [asyncio.create_task(self._heartbeat(), name="heartbeat")]
        try:
            try:
                self._client = await Client.connect(
                    kubeconfig=self._settings.kubeconfig, request_timeout=self._settings.request_timeout
                )
            except ConfigurationError as error:
                raise StartupError(str(error)) from error
            try:
                await self._work(background)
            finally:
                for task in background:
                    task.cancel()
                await asyncio.gather(*background, return_exceptions=True)
                await self._client.close()
        finally:
            await probes.stop()

    async def _work(self, background: list[asyncio.Task[None]]) -> None:
        username = await self._check()
        if not await self._become_leader():
            return
        evaluator = ConditionEvaluator()
        try:
            questions = Questions(self._client)
            reviewer = Reviewer(
                questions=questions,
                memory=self._memory,
                evaluator=evaluator,
                clock=self._client.clock,
                excluded_namespaces=self._settings.excluded_namespaces,
            )
            self._reconciler = Reconciler(
                client=self._client,
                memory=self._memory,
                queue=self._queue,
                deadlines=self._deadlines,
                guards=self._guards,
                reviewer=reviewer,
                operator_username=username,
            )
            self._watch = Watch(
                loop=asyncio.get_running_loop(),
                callback=self._seen,
                kubeconfig=self._settings.kubeconfig,
                namespaces=self._settings.namespaces,
            )
            self._watch.start()
            await self._first_sweep()
            workers = [
                asyncio.create_task(self._worker(), name=f"worker-{number}") for number in range(self._settings.workers)
            ]
            background.append(asyncio.create_task(self._deadlines.run(), name="deadlines"))
            background.append(asyncio.create_task(self._sweep_regularly(), name="sweep"))
            _logger.info("the operator is ready", extra={"user": username})
            await self._until_stopped(background)
            await self._drain(workers)
        finally:
            await evaluator.close()
            if self._watch is not None:
                await self._watch.stop()
            if self._lease is not None:
                await self._lease.release()

    # Start

    async def _check(self) -> str:
        """Make sure that the API server answers, knows our kinds, and lets us read them."""
        questions = Questions(self._client)
        try:
            username = await questions.own_username()
            for plural in _KINDS:
                name = f"{plural}.{names.GROUP}"
                try:
                    await self._client.get(paths.one("CustomResourceDefinition", None, name))
                except Missing as error:
                    message = f"the custom resource {name} is not installed: install the chart, or its CRDs, first"
                    raise StartupError(message) from error
            namespace = self._settings.namespaces[0] if self._settings.namespaces else None
            await self._client.request("GET", paths.collection("TaskSession", namespace), query=[("limit", "1")])
        except Refused as error:
            raise StartupError(
                f"the API server refused what the operator needs ({error.message}): "
                "run it as the ServiceAccount that the chart creates"
            ) from error
        except ClusterError as error:
            raise StartupError(f"the API server does not answer: {error}") from error
        return username

    async def _become_leader(self) -> bool:
        """Wait for the Lease; False where the process was told to stop while it waited."""
        settings = self._settings
        if settings.lease_namespace is None:
            return True
        lease = LeaseSettings(
            namespace=settings.lease_namespace,
            name=settings.lease_name,
            identity=settings.identity,
            duration=settings.lease_duration,
            renew_deadline=settings.lease_renew_deadline,
            retry=settings.lease_retry,
        )
        self._lease = LeaseGate(self._client, lease, on_lost=_leave_at_once)
        acquiring = asyncio.create_task(self._lease.acquire())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({acquiring, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not acquiring.done():
            acquiring.cancel()
            await asyncio.gather(acquiring, return_exceptions=True)
            return False
        acquiring.result()
        self._standby = False
        return True

    async def _first_sweep(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._sweep().run(first=True)
            except ClusterError as error:
                _logger.warning("the first sweep failed", extra={"error": str(error)})
                await asyncio.sleep(1.0)
            else:
                self._swept = time.monotonic()
                return

    def _sweep(self) -> Sweep:
        return Sweep(
            client=self._client,
            memory=self._memory,
            guards=self._guards,
            queue=self._queue,
            reconciler=self._reconciler,
            namespaces=self._settings.namespaces,
        )

    # Work

    async def _worker(self) -> None:
        while True:
            key, order = await self._queue.take()
            try:
                await self._reconciler.reconcile(key)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self._failed(key, order, error)
            else:
                self._queue.succeed(key)
            finally:
                self._queue.done(key)

    def _failed(self, key: Key, order: float, error: Exception) -> None:
        asked = error.retry_after if isinstance(error, Refused) else None
        urgent = min(order, self._memory.urgency(key, self._client.clock.now()))
        delay = self._queue.retry(key, order=urgent, at_least=asked or 0.0)
        unexpected = not isinstance(error, ClusterError)
        _logger.warning(
            "a session is tried again", extra=failure_fields(key, error, delay), exc_info=error if unexpected else None
        )

    def _due(self, key: Key) -> None:
        self._queue.add(key, self._memory.urgency(key, self._client.clock.now()))

    def _seen(self, plural: str, kind: str | None, item: dict[str, Any]) -> None:
        """Take in one event of the watch. Never raises: kopf would log and drop it, here the sweep comes after."""
        if Guards.concerns(plural):
            self._seen_guard(plural, kind, item)
        elif plural == "tasksessions":
            self._seen_session(kind, item)
        elif plural == "jobs":
            self._seen_job(kind, item)
        elif plural == "namespaces":
            if self._memory.see_namespace(item, deleted=kind == "DELETED"):
                self._namespace_ends(item["metadata"]["name"])
        elif plural == "sessionpolicies":
            changed = self._memory.lose_policy(item) if kind == "DELETED" else self._memory.see_policy(item)
            if changed:
                self._policy_changed(item["metadata"]["name"])

    def _seen_session(self, kind: str | None, item: dict[str, Any]) -> None:
        session = readable(item)
        if session is None:
            return
        changed = self._memory.lose_session(session) if kind == "DELETED" else self._memory.see_session(session)
        if changed:
            self._add(key_of(session))

    def _seen_job(self, kind: str | None, item: dict[str, Any]) -> None:
        job = ObservedJob.from_object(item)
        if kind == "DELETED":
            self._memory.lose_job(job)
        elif not self._memory.see_job(job):
            return
        self._add(self._memory.session_key_of_job(job))

    def _seen_guard(self, plural: str, kind: str | None, item: dict[str, Any]) -> None:
        before = self._guards.missing()
        if kind == "DELETED":
            self._guards.lose(plural, item)
        else:
            self._guards.see(plural, item)
        after = self._guards.missing()
        if before and not after:
            for session in self._memory.sessions():
                if not session.status.state.final and session.status.state is not State.ACTIVE:
                    self._queue.add(key_of(session))

    def _namespace_ends(self, name: str) -> None:
        for session in self._memory.sessions():
            if session.metadata.namespace == name and session.status.state is State.ACTIVE:
                self._add(key_of(session))

    def _policy_changed(self, name: str) -> None:
        for session in self._memory.sessions_of_policy(name):
            if session.status.state is State.ACTIVE:
                self._reconciler.recheck(session)
            else:
                self._queue.add(key_of(session))

    def _add(self, key: Key) -> None:
        now = self._client.clock.now() if self._client.clock.is_known else None
        self._queue.add(key, self._memory.urgency(key, now) if now else NORMAL)

    async def _sweep_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._settings.sweep_interval)
            try:
                await self._sweep().run(first=False)
            except ClusterError as error:
                _logger.warning("a sweep failed", extra={"error": str(error)})
            else:
                self._swept = time.monotonic()

    async def _heartbeat(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(1.0)

    # Stop

    async def _until_stopped(self, background: list[asyncio.Task[None]]) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while not stopping.done():
                await asyncio.wait({stopping, *background}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                ended = next((task for task in background if task.done()), None)
                if ended is not None:
                    raise RuntimeError(f"{ended.get_name()} ended") from ended.exception()
                if self._watch is not None and self._watch.failure is not None:
                    raise RuntimeError("the watch ended") from self._watch.failure
        finally:
            stopping.cancel()

    async def _drain(self, workers: list[asyncio.Task[None]]) -> None:
        """Let sessions that workers are at come to rest, and take up no new ones."""
        _logger.info("stopping")
        self._queue.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_timeout):
                await asyncio.gather(*workers, return_exceptions=True)
                await self._reconciler.drain()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    # Probes

    def _probes(self) -> ProbeServer:
        return ProbeServer(
            host=self._settings.probe_host,
            port=self._settings.probe_port,
            live={"loop": self._loop_turns, "watch": self._watch_runs, "sweep": self._sweep_is_recent},
            ready={"lease": self._is_leader, "synced": self._is_synced, "guards": self._guards_in_force},
        )

    def _loop_turns(self) -> str | None:
        lag = time.monotonic() - self._beat
        return f"the event loop did not turn for {lag:.0f} s" if lag > _LOOP_LIMIT else None

    def _watch_runs(self) -> str | None:
        if self._watch is None or self._stopping.is_set():
            return None
        return "the watch has ended" if self._watch.failure is not None else None

    def _sweep_is_recent(self) -> str | None:
        if self._swept is None:
            return None
        late = time.monotonic() - self._swept
        limit = self._settings.sweep_interval * _SWEEP_LIMIT + 60
        return f"no sweep succeeded for {late:.0f} s" if late > limit else None

    def _is_leader(self) -> str | None:
        # A standby is ready to be one: taking it out of service would help nobody.
        if self._lease is None or self._standby:
            return None
        return None if self._lease.held else "the Lease could not be renewed"

    def _is_synced(self) -> str | None:
        return None if self._standby or self._swept is not None else "the first look at the cluster is not done"

    def _guards_in_force(self) -> str | None:
        if self._standby or self._swept is None:
            return None
        missing = self._guards.missing()
        return f"missing or weakened: {', '.join(missing[:5])}; nothing is granted" if missing else None


def _leave_at_once() -> None:
    """End the process without another write: somebody else may be the leader already."""
    logging.shutdown()
    os._exit(1)
