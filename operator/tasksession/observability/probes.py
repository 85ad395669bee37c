"""The probes: /livez says whether this process still does its work, /readyz whether it is set up to.

Kubernetes and people ask them. Each check is a function that returns None when all is well, else a sentence; a probe
answers 200 or 503 with all sentences. They read only what the process itself knows and never call the API server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

Check = Callable[[], str | None]


class ProbeServer:
    """Serves /livez and /readyz on one address."""

    def __init__(
        self, *, host: str, port: int, live: Mapping[str, Check], ready: Mapping[str, Check], role: Callable[[], str]
    ) -> None:
        """`role` says what this replica is, in a word or a few: a probe's last line."""
        self._role = role
        self._host, self._port = host, port
        self._live, self._ready = dict(live), dict(ready)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to listen. Raises OSError where the address cannot be had."""
        app = web.Application()
        app.router.add_get("/livez", self._handler(self._live))
        app.router.add_get("/readyz", self._handler({**self._live, **self._ready}))
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    @property
    def port(self) -> int:
        """The port that was bound, which matters where 0 was asked for."""
        assert self._runner is not None  # noqa: S101 - only asked after start
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _handler(self, checks: Mapping[str, Check]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(_: web.Request) -> web.StreamResponse:
            problems = {name: problem for name, check in checks.items() if (problem := check()) is not None}
            lines = [f"{name}: {problems.get(name, 'ok')}" for name in checks]
            lines.append(f"role: {self._role()}")
            return web.Response(text="\n".join(lines) + "\n", status=503 if problems else 200)

        return answer
