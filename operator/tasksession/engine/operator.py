"""The operator as a whole: connects, checks what it stands on, watches, works, sweeps, and stops cleanly.

The command line builds one and runs it. Everything that can be wrong at start ends it with one sentence
(StartupError); after that, faults are waited out, and nothing is granted while anything is unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
import time

from tasksession.api import names
from tasksession.cluster import events, paths
from tasksession.cluster.applying import Applier
from tasksession.cluster.client import Client, ConfigurationError
from tasksession.cluster.errors import ClusterError, Refused
from tasksession.cluster.expected_guards import GUARDS
from tasksession.cluster.lease import LeaseGate, LeaseSettings
from tasksession.cluster.questions import Questions
from tasksession.cluster.watching import Watch
from tasksession.engine.condition_evaluator import ConditionEvaluator
from tasksession.engine.deadlines import Deadlines
from tasksession.engine.denials import Denials
from tasksession.engine.guards import Guards
from tasksession.engine.health import Health
from tasksession.engine.intake import Intake
from tasksession.engine.memory import Memory
from tasksession.engine.queue import WorkQueue
from tasksession.engine.rechecks import Rechecks
from tasksession.engine.reconciler import Reconciler
from tasksession.engine.reviews import Reviewer
from tasksession.engine.schedule import Schedule
from tasksession.engine.settings import Settings
from tasksession.engine.sweep import Sweep
from tasksession.engine.telemetry import Telemetry, failure_fields
from tasksession.engine.view import View
from tasksession.lifecycle.case import Cases
from tasksession.lifecycle.drive import Unstorable
from tasksession.lifecycle.incarnations import Incarnations
from tasksession.lifecycle.key import Key
from tasksession.lifecycle.requests import Unread

_logger = logging.getLogger(__name__)

#: Python's thresholds for collecting cycles, in objects, and in collections of the generation before. What is read
#: and remembered has no cycles; with the usual ones, reading many objects takes twice as long.
_COLLECT_AFTER = (50_000, 20, 100)
#: For how long the watch's thread may keep the interpreter from the thread that ends sessions, in seconds.
_SWITCH_SECONDS = 0.0005
_KINDS = ("tasksessions", "sessionpolicies", "sessionapprovals")
#: Workers that take only what takes rights away: slow grants of some must not keep the rights of others alive.
_URGENT_WORKERS = 4
#: For how long nothing more of a listing of the watch has to come before looking again.
_LISTING_SECONDS = 1.0
#: How long the first sweep waits at most for the watch to list.
_FIRST_LISTING_SECONDS = 10.0
#: How long to wait at most before a look that failed is repeated.
_LONGEST_LOOK_SECONDS = 30.0


class StartupError(Exception):
    """The operator cannot work like this; the message says in one sentence what is wrong and what to do."""


class Operator:
    """One process's operator."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._memory = Memory()
        self._cases = Cases()
        self._queue = WorkQueue()
        self._guards = Guards(GUARDS)
        self._deadlines = Deadlines(self._due)
        self._stopping = asyncio.Event()
        self.ready = asyncio.Event()
        """Set once it works: it leads, has seen the cluster, and its workers have begun."""
        self._health = Health(
            guards=self._guards,
            queue=self._queue,
            sweep_interval=settings.sweep_interval,
            standby=settings.lease_namespace is not None,
        )
        self._watch: Watch | None = None
        self._lease: LeaseGate | None = None
        self._client: Client
        self._events: events.Poster
        self._schedule: Schedule
        self._denials: Denials
        self._reconciler: Reconciler
        self._rechecks: Rechecks
        self._intake: Intake

    def stop(self) -> None:
        """Ask the operator to finish what it is at and end; callable from a signal handler."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop` is called. Raises StartupError before any work was done."""
        gc.set_threshold(*_COLLECT_AFTER)
        sys.setswitchinterval(_SWITCH_SECONDS)
        probes = self._health.server(self._settings.probe_host, self._settings.probe_port)
        try:
            await probes.start()
        except OSError as error:
            address = f"{self._settings.probe_host}:{self._settings.probe_port}"
            raise StartupError(f"the probe address {address} cannot be used: {error.strerror or error}") from error
        address = f"{self._settings.probe_host}:{probes.port}"
        _logger.info("the probes are served", extra={"address": address})
        background = [asyncio.create_task(self._health.beat(), name="heartbeat")]
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
        self._client.on_return = self._queue.hurry
        self._queue.away = lambda: self._client.away
        username = await self._check()
        self._guards.belong_to(username, now=self._client.clock.now)
        if not await self._become_leader():
            return
        evaluator = ConditionEvaluator()
        try:
            questions = Questions(self._client)
            reviewer = Reviewer(
                questions=questions,
                memory=self._memory,
                cases=self._cases,
                evaluator=evaluator,
                clock=self._client.clock,
                excluded_namespaces=self._settings.excluded_namespaces,
            )
            self._assemble(reviewer, username)
            self._intake = Intake(
                memory=self._memory,
                guards=self._guards,
                queue=self._queue,
                rechecks=self._rechecks,
                clock=self._client.clock,
            )
            watch = Watch(
                loop=asyncio.get_running_loop(),
                client=self._client,
                callback=self._intake.seen,
                listed=self._intake.seen_all,
                kubeconfig=self._settings.kubeconfig,
                namespaces=self._settings.namespaces,
            )
            self._health.silence_of_server = lambda: time.monotonic() - self._client.answered
            self._health.swept()
            versions = await self._first_look()
            self._watch = watch
            watch.start(versions)
            self._health.watch = watch
            workers = [
                asyncio.create_task(self._worker(urgent_only=number < _URGENT_WORKERS), name=f"worker-{number}")
                for number in range(self._settings.workers + _URGENT_WORKERS)
            ]
            background.append(asyncio.create_task(self._deadlines.run(), name="deadlines"))
            background.append(asyncio.create_task(self._sweep_regularly(), name="sweep"))
            _logger.info("the operator is ready", extra={"user": username, "deadlines": len(self._deadlines)})
            self.ready.set()
            try:
                await self._until_stopped(background)
            finally:
                await self._drain(workers, background)
        finally:
            # The Lease goes as soon as nothing writes any more: a standby waits for it.
            if self._lease is not None:
                await self._lease.release()
            await evaluator.close()
            if self._watch is not None:
                await self._watch.stop()

    def _assemble(self, reviewer: Reviewer, username: str) -> None:
        memory, clock = self._memory, self._client.clock
        self._events = events.Poster(self._client, busy=lambda: self._queue.busy)
        telemetry = Telemetry(memory, self._events, clock)
        self._schedule = Schedule(self._queue, self._deadlines, memory, self._cases, clock)
        self._denials = Denials(Applier(self._client), memory, self._cases, telemetry, self._schedule)
        view = View(memory, self._guards, self._denials, clock, username)
        self._reconciler = Reconciler(
            client=self._client,
            reviewer=reviewer,
            denials=self._denials,
            incarnations=Incarnations(self._cases, view, telemetry, self._schedule),
            schedule=self._schedule,
        )
        self._rechecks = Rechecks(memory=memory, reviewer=reviewer, schedule=self._schedule)

    # Start

    async def _check(self) -> str:
        """Make sure that the API server answers, knows our kinds, and lets us read them."""
        questions = Questions(self._client)
        try:
            username = await questions.own_username()
            for plural in _KINDS:
                name = f"{plural}.{names.GROUP}"
                if await self._client.find(paths.one("CustomResourceDefinition", None, name)) is None:
                    message = f"the custom resource {name} is not installed: install the chart, or its CRDs, first"
                    raise StartupError(message)
            namespace = self._settings.namespaces[0] if self._settings.namespaces else None
            await self._client.request("GET", paths.collection("TaskSession", namespace), query=[("limit", "1")])
        except Refused as error:
            if error.status == 429 or error.status >= 500:
                raise StartupError(f"the API server cannot answer now, try again later: {error}") from error
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
        gate = LeaseGate(self._client, lease, on_lost=_leave_at_once)
        try:
            await gate.check()
        except Refused as error:
            where = f"{settings.lease_namespace}/{settings.lease_name}"
            raise StartupError(f"the Lease {where} cannot be used: {error.message}") from error
        except ClusterError as error:
            _logger.warning("the Lease could not be read yet", extra={"error": str(error)})
        self._lease = self._health.lease = gate
        acquiring = asyncio.create_task(self._lease.acquire())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({acquiring, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not acquiring.done():
            acquiring.cancel()
            await asyncio.gather(acquiring, return_exceptions=True)
            return False
        acquiring.result()
        self._client.may_write = lambda: gate.held
        self._health.standby = False
        return True

    async def _first_look(self) -> dict[str, str]:
        """See what there is before any worker starts: endings must come before anything else.

        Returns the versions that sessions and Jobs were listed at. What is read now stays. Collecting cycles meanwhile
        would take as long as reading, and for ever after, each collection would look at all of it and stop everything
        for that time.
        """
        gc.disable()
        try:
            while not self._stopping.is_set():
                sweep = self._sweep()
                try:
                    await sweep.look()
                except Exception:
                    _logger.exception("the first look at the cluster failed")
                    gc.collect()
                    await asyncio.sleep(1.0)
                else:
                    self._health.synced = True
                    return sweep.versions
        finally:
            gc.freeze()
            gc.enable()
        return {}

    def _sweep(self) -> Sweep:
        return Sweep(
            client=self._client,
            memory=self._memory,
            guards=self._guards,
            schedule=self._schedule,
            rechecks=self._rechecks,
            namespaces=self._settings.namespaces,
        )

    # Work

    async def _worker(self, *, urgent_only: bool) -> None:
        while True:
            key, order = await self._queue.take(urgent_only=urgent_only)
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
        unexpected = not isinstance(error, ClusterError | Unstorable | Unread)
        _logger.warning(
            "a session is tried again", extra=failure_fields(key, error, delay), exc_info=error if unexpected else None
        )

    def _due(self, key: Key) -> None:
        self._intake.due(key)

    async def _sweep_regularly(self) -> None:
        """Sweep at the interval, and look again whenever the watch has listed.

        Between our look and the watch's listing, a deletion goes unseen. The first sweep comes after the first listing.
        """
        due = time.monotonic() + _FIRST_LISTING_SECONDS
        first = True
        delay = _LISTING_SECONDS
        while True:
            listed = await self._intake.has_listed(within=max(0.0, due - time.monotonic()), quiet=delay)
            try:
                if first or time.monotonic() >= due:
                    first = False
                    due = time.monotonic() + self._settings.sweep_interval
                    await self._sweep().run()
                    self._health.swept()
                else:
                    await self._sweep().look()
            except Exception as error:
                # What failed was logged with its cause; the probe tells when it goes on failing.
                _logger.warning("a sweep failed", extra={"error": f"{type(error).__name__}: {error}"})
                if listed:
                    self._intake.listed.set()
                    delay = min(2 * delay, _LONGEST_LOOK_SECONDS)
            else:
                delay = _LISTING_SECONDS

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

    async def _drain(self, workers: list[asyncio.Task[None]], background: list[asyncio.Task[None]]) -> None:
        """Let sessions that workers are at come to rest, and take up no new ones."""
        _logger.info("stopping")
        self._queue.close()
        for task in background:
            if task.get_name() != "heartbeat":
                task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_timeout):
                await asyncio.gather(*workers, return_exceptions=True)
                await self._reconciler.drain(self._cases.held)
                await self._denials.stop()
                await self._events.drain()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _leave_at_once() -> None:
    """End the process without another write: somebody else may be the leader already."""
    logging.shutdown()
    os._exit(1)
