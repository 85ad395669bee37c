"""A proxy between one operator and the API server that breaks things by plan.

TLS on both sides, with a certificate of the test cluster's own authority; the operator's bearer token is passed on, and
so is the API server's Date, which is the only clock that the operator believes. It numbers writes and watch events, and
carries out plans. It lives in the event loop of `ProxyLoop`, a thread of its own; what other threads may call says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from tests.support.plans import Fault, Plan, Traffic
from tests.support.traffic import Request, identify

_Result = TypeVar("_Result")
_NOT_FORWARDED = frozenset(("host", "connection", "content-length", "transfer-encoding", "keep-alive"))
_LONGEST = 120.0


class Line(StrEnum):
    """The state of the line between operator and API server."""

    OPEN = "open"
    PARTITIONED = "partitioned"
    """Nothing comes through, and nothing says so."""
    REFUSED = "refused"
    """Connections are reset."""


class ProxyLoop:
    """A thread with an event loop, for any number of proxies."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="fault-proxies", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _Result], *, timeout: float = 30.0) -> _Result:
        """Run a coroutine there and wait for its result; callable from any other thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def close(self) -> None:
        """End the thread; its proxies have to be closed before."""
        self.run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    @staticmethod
    async def _cancel_all() -> None:
        """Cancel what still waits for a connection that is gone."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class FaultProxy:
    """One port of 127.0.0.1 behind which the API server lies. Made, armed, read and closed from any thread."""

    def __init__(self, runs: ProxyLoop, *, upstream: str, authority: Path, certificate: tuple[Path, Path]) -> None:
        self._runs = runs
        self._upstream = upstream
        self._to_server = ssl.create_default_context(cafile=str(authority))
        self._to_operator = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._to_operator.load_cert_chain(*certificate)
        self._session: aiohttp.ClientSession
        self._runner: web.AppRunner
        self._plans: list[_Armed] = []
        self._streams: dict[int, web.BaseRequest] = {}
        self._open = asyncio.Event()
        self._remembered: dict[str, tuple[int, dict[str, str], bytes]] | None = None
        self._latest: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self._era = 0
        self._writes = 0
        self._armed_at = time.monotonic()
        self.line = Line.OPEN
        self.delay = 0.0
        self.agent: str | None = None
        """The user agent that the API server and its audit log see, in place of the operator's own."""
        self.chaos: Callable[[Request], Plan | None] = lambda _: None
        """Asked for a fault for each request and event for which no plan is armed."""
        self.requests: list[Request] = []
        self.fired: list[Plan] = []
        self.kill: Callable[[], None] = lambda: None
        """Ends the operator at once. Called in the proxy's loop."""
        self.terminate: Callable[[], None] = lambda: None
        """Tells the operator to stop. Called in the proxy's loop."""
        runs.run(self._start())

    @property
    def url(self) -> str:
        """Return the address that the operator is given."""
        host, port = self._runner.addresses[0][:2]
        return f"https://{host}:{port}"

    @property
    def writes(self) -> list[Request]:
        """Return the numbered requests so far."""
        return [request for request in list(self.requests) if request.number]

    def silence(self) -> float:
        """Return for how many seconds no write has come, since the plans were armed at the longest."""
        return time.monotonic() - max((request.arrived for request in self.writes), default=self._armed_at)

    def arm(self, *plans: Plan) -> None:
        """Replace all plans, and begin to number anew."""
        self._runs.run(self._arm(plans))

    def remember(self) -> None:
        """Keep what every read was answered last; a stale read is answered from that."""
        self._runs.run(self._remember())

    def has_answered(self, resource: str, text: str) -> bool:
        """Whether a list of a resource was answered with a text in it, when it was last asked for."""
        lists = [data for path, (_, _, data) in list(self._latest.items()) if path.split("?")[0].endswith(resource)]
        return any(text.encode() in _plain(data) for data in lists)

    def set_line(self, line: Line) -> None:
        """Break the line, or mend it. Mending it breaks all connections that hung in it."""
        self._runs.run(self._set_line(line))

    def sever(self) -> None:
        """Break all connections."""
        self._runs.run(self._sever())

    def close(self) -> None:
        """Stop listening, and end everything that is under way."""
        self._runs.run(self._close())

    # All that follows runs in the loop.

    async def _start(self) -> None:
        self._open.set()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._to_server, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "Content-Type", "User-Agent"),
            trust_env=False,
        )
        # A request that the operator has given up is committed all the same, as it would be without a proxy.
        server = web.Server(self._handle, handler_cancellation=False, keepalive_timeout=400.0)
        self._runner = web.ServerRunner(server, access_log=None, shutdown_timeout=0.1)  # type: ignore[assignment]
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._to_operator).start()

    async def _close(self) -> None:
        await self._set_line(Line.REFUSED)
        await self._session.close()
        await self._runner.cleanup()

    async def _arm(self, plans: Sequence[Plan]) -> None:
        self._plans = [_Armed(plan) for plan in plans]
        self._writes = 0
        self._armed_at = time.monotonic()
        self.requests, self.fired = [], []

    async def _remember(self) -> None:
        self._remembered = dict(self._latest)

    async def _set_line(self, line: Line) -> None:
        before, self.line = self.line, line
        self._open.clear()
        if line is not Line.PARTITIONED:
            self._open.set()
        if line is Line.REFUSED or before is Line.PARTITIONED:
            await self._sever()

    async def _sever(self) -> None:
        self._era += 1
        for request in list(self._streams.values()):
            _abort(request)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        about = identify(request.method, request.path, request.query, agent=request.headers.get("User-Agent", ""))
        self._streams[id(request)] = request
        try:
            return await self._answer(request, about)
        except (ConnectionError, aiohttp.ClientError, TimeoutError):
            _abort(request)
            return web.Response(status=502)
        finally:
            self._streams.pop(id(request), None)

    async def _answer(self, request: web.BaseRequest, about: Request) -> web.StreamResponse:
        era = self._era
        body = await request.read()
        await self._pass_line()
        if self.delay:
            await asyncio.sleep(self.delay)
        if era != self._era:
            # The operator that sent it is gone, or the line broke meanwhile.
            raise ConnectionResetError
        if about.traffic is Traffic.WRITE:
            self._writes += 1
            about.number = self._writes
        self.requests.append(about)
        plan = self._due(about)
        if plan is not None:
            answered = await self._before(plan, request)
            if answered is not None:
                about.status = answered.status
                return answered
        if about.traffic is Traffic.WATCH:
            return await self._watch(request, about)
        status, headers, data = await self._forward(request, body, plan)
        about.status = status
        if plan is not None and plan.fault in (Fault.KILL_AFTER, Fault.LOSE_REPLY):
            await self._after(plan)
            raise ConnectionResetError
        await self._pass_line()
        if era != self._era:
            raise ConnectionResetError
        return web.Response(status=status, headers=headers, body=data)

    async def _pass_line(self) -> None:
        if self.line is Line.REFUSED:
            raise ConnectionResetError
        await self._open.wait()

    def _due(self, about: Request) -> Plan | None:
        for armed in self._plans:
            if armed.fits(about):
                self.fired.append(armed.plan)
                return armed.plan
        plan = self.chaos(about)
        if plan is not None:
            self.fired.append(plan)
        return plan

    async def _before(self, plan: Plan, request: web.BaseRequest) -> web.Response | None:
        """Do what comes before a request is passed on; an answer means that it is not."""
        match plan.fault:
            case Fault.KILL_BEFORE:
                self.kill()
                await self._sever()
                raise ConnectionResetError
            case Fault.TERMINATE:
                self.terminate()
            case Fault.RESET:
                raise ConnectionResetError
            case Fault.HANG:
                await self._until_given_up(request)
                raise ConnectionResetError
            case Fault.DELAY:
                await asyncio.sleep(plan.seconds)
            case Fault.ANSWER:
                return _status(plan)
            case Fault.STALE:
                remembered = (self._remembered or {}).get(request.path_qs)
                if remembered is not None:
                    status, headers, data = remembered
                    return web.Response(status=status, headers=headers, body=data)
        return None

    async def _after(self, plan: Plan) -> None:
        if plan.fault is Fault.KILL_AFTER:
            self.kill()
            await self._sever()

    async def _until_given_up(self, request: web.BaseRequest) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST):
                while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

    async def _forward(
        self, request: web.BaseRequest, body: bytes, plan: Plan | None
    ) -> tuple[int, dict[str, str], bytes]:
        async with self._session.request(
            request.method, self._upstream + request.path_qs, data=body, headers=self._onward(request)
        ) as answer:
            data = await answer.read()
            found = answer.status, _headers(answer.headers), data
        if request.method == "GET" and plan is None:
            self._latest[request.path_qs] = found
        return found

    def _onward(self, request: web.BaseRequest) -> dict[str, str]:
        headers = _headers(request.headers)
        if self.agent is not None:
            headers = {name: value for name, value in headers.items() if name.lower() != "user-agent"}
            headers["User-Agent"] = self.agent
        return headers

    # Watches

    async def _watch(self, request: web.BaseRequest, about: Request) -> web.StreamResponse:
        era = self._era
        async with self._session.get(self._upstream + request.path_qs, headers=self._onward(request)) as answer:
            about.status = answer.status
            if answer.status != 200:
                return web.Response(status=answer.status, headers=_headers(answer.headers), body=await answer.read())
            response = web.StreamResponse(status=200, headers=_headers(answer.headers))
            response.enable_chunked_encoding()
            await response.prepare(request)
            rest = b""
            while True:
                try:
                    async with asyncio.timeout(0.5):
                        chunk = await answer.content.readany()
                except TimeoutError:
                    if era != self._era or request.transport is None or request.transport.is_closing():
                        raise ConnectionResetError from None
                    continue
                if not chunk:
                    break
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if not await self._pass_event(request, response, about, line):
                        return response
                if era != self._era:
                    raise ConnectionResetError
        await response.write_eof()
        return response

    async def _pass_event(
        self, request: web.BaseRequest, response: web.StreamResponse, about: Request, line: bytes
    ) -> bool:
        """Pass one event on, or not; False where the watch is over."""
        await self._pass_line()
        event = json.loads(line)
        metadata = event["object"].get("metadata") or {}
        seen = Request(event["type"], about.resource, metadata.get("namespace", ""), metadata.get("name", ""),
                       Traffic.EVENT)  # fmt: skip
        plan = self._due(seen)
        match plan.fault if plan else None:
            case Fault.SWALLOW:
                return True
            case Fault.KILL_BEFORE:
                self.kill()
                await self._sever()
                raise ConnectionResetError
            case Fault.STALL:
                await self._until_given_up(request)
                raise ConnectionResetError
            case Fault.RESET:
                raise ConnectionResetError
            case Fault.END:
                await response.write_eof()
                return False
            case Fault.GONE:
                gone = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
                        "reason": "Expired", "message": "too old resource version"}  # fmt: skip
                await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
                await response.write_eof()
                return False
            case Fault.DELAY:
                assert plan is not None
                await asyncio.sleep(plan.seconds)
        await response.write(line + b"\n")
        return True


class _Armed:
    """A plan with the count of what has fitted it so far."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._seen = 0

    def fits(self, about: Request) -> bool:
        """Whether the plan's moment is now."""
        trigger = self.plan.trigger
        wanted = (
            (trigger.traffic, about.traffic),
            (trigger.verb, about.verb),
            (trigger.resource, about.resource),
            (trigger.name, about.name),
        )
        if not all(not asked or asked == found for asked, found in wanted):
            return False
        self._seen += 1
        return trigger.number <= self._seen < trigger.number + trigger.times


def _headers(given: Any) -> dict[str, str]:
    return {name: value for name, value in given.items() if name.lower() not in _NOT_FORWARDED}


def _plain(data: bytes) -> bytes:
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


def _status(plan: Plan) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": plan.status,
            "reason": plan.reason, "message": plan.message}  # fmt: skip
    headers = {"Content-Type": "application/json"}
    if plan.retry_after is not None:
        headers["Retry-After"] = str(plan.retry_after)
    return web.Response(status=plan.status, headers=headers, body=json.dumps(body).encode())
