"""One user's connections to the API server, with as little between the caller and the wire as Python allows.

The raw client, the load and the probes use it. It shares no code with the product, never retries, and raises for every
answer but 2xx unless it is asked for the status alone.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import aiohttp
import yaml

from tests.cluster.api import MERGE_PATCH, Object

Item = TypeVar("Item")
Result = TypeVar("Result")

_TIMEOUT = aiohttp.ClientTimeout(total=60)
#: A watch lasts as long as what it waits for.
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10)
#: The longest line of a watch, one object, in bytes.
_LINE_LIMIT = 4 << 20


class AnswerError(Exception):
    """The API server refused; the message has status and words."""

    def __init__(self, method: str, path: str, status: int, message: str) -> None:
        super().__init__(f"{method} {path}: {status} {message}")
        self.status = status


class Connection:
    """An aiohttp session for the user of a kubeconfig. Use it as an async context manager."""

    def __init__(self, kubeconfig: Path, *, token: str | None = None) -> None:
        """`token` replaces whatever the kubeconfig shows of the user."""
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._url = cluster["server"].rstrip("/")
        self._tls = _tls(cluster, {} if token else user)
        shown = token or user.get("token")
        self._headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Connection:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, headers=self._headers, timeout=_TIMEOUT, read_bufsize=_LINE_LIMIT
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def request(
        self, method: str, path: str, body: Object | None = None, *, content_type: str = "application/json"
    ) -> Object:
        """Send one request and decode the answer. Raises AnswerError."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type}
        async with self._session.request(method, self._url + path, data=data, headers=headers) as response:
            raw = await response.read()
        answer: Object = json.loads(raw)
        if response.status >= 300:
            raise AnswerError(method, path, response.status, str(answer.get("message")))
        return answer

    async def create(self, path: str, body: Object) -> Object:
        """Create one object."""
        return await self.request("POST", path, body)

    async def patch(self, path: str, body: Object) -> Object:
        """Change one object by a merge patch."""
        return await self.request("PATCH", path, body, content_type=MERGE_PATCH)

    async def delete(self, path: str, *, uid: str) -> Object:
        """Delete one object, with all that it owns, in the background."""
        return await self.request("DELETE", path, {"preconditions": {"uid": uid}, "propagationPolicy": "Background"})

    async def status_of(self, path: str, *, token: str) -> int:
        """Read a path with somebody else's token; the HTTP status alone."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self._session.get(self._url + path, headers=headers) as response:
            await response.read()
            return response.status

    async def watch(self, path: str, *, ready: asyncio.Event | None = None, query: str = "") -> AsyncIterator[Object]:
        """Yield events from now on, each with `received`, the wall clock in seconds; `ready` is set once it watches."""
        version = (await self.request("GET", f"{path}?limit=1"))["metadata"]["resourceVersion"]
        address = f"{self._url}{path}?watch=true&resourceVersion={version}{query}"
        async with self._session.get(address, timeout=_WATCH_TIMEOUT) as response:
            if ready is not None:
                ready.set()
            async for line in response.content:
                yield {**json.loads(line), "received": time.time()}


def _tls(cluster: dict[str, str], user: dict[str, str]) -> ssl.SSLContext:
    if "certificate-authority" in cluster:
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    else:
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=authority)
    if "client-certificate-data" in user:
        # The standard library reads key material from files only.
        with tempfile.TemporaryDirectory() as folder:
            certificate = Path(folder) / "client.pem"
            certificate.touch(mode=0o600)
            material = (user["client-certificate-data"], user["client-key-data"])
            certificate.write_bytes(b"\n".join(base64.b64decode(part) for part in material))
            context.load_cert_chain(certificate)
    return context


async def side_by_side(
    items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], *, limit: int
) -> Sequence[Result]:
    """Do some work for each item, `limit` at a time; the results come in the order of the items."""
    waiting = enumerate(items)
    results: dict[int, Result] = {}

    async def worker() -> None:
        for index, item in waiting:
            results[index] = await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(limit):
            group.create_task(worker())
    return [results[index] for index in sorted(results)]
