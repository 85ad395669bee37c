"""The one way to the API server: dict in, dict out, with time-outs, preconditions and the server's time.

One client a process, over the asyncio half of the official client. Everything the operator reads or writes goes
through `opened`, which makes it the place to count, to time and to inject faults. It never retries: whether a
write may be repeated is known only to its caller. It never holds or decodes more of an answer than an ordinary object
has: of one that is larger, or nested too deeply, a Fragment is returned, be it read or the outcome of a write.
"""

from __future__ import annotations

import asyncio.sslproto
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from tasksession.api.fragment import LARGEST
from tasksession.cluster.clock import ServerClock
from tasksession.cluster.decoding import read_object
from tasksession.cluster.errors import Missing, NotLeader, Refused, Unreachable, refusal
from tasksession.cluster.pages import Listing, PageSizes

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
#: Whom managedFields name as the owner of what this process wrote.
FIELD_MANAGER = "tasksession-operator"
#: Asks for lists without spec and status: the sweep needs names, uids, labels and owners only.
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

#: What a connection reads at once, in bytes. asyncio sets aside, and fills, a quarter of a megabyte for each: with as
#: many connections as workers that is a fifth of what an operator holds, and most of it never goes back.
_READ_BYTES = 1 << 16
#: When nothing but failures came for so long, the API server counts as having been away.
_OUTAGE_SECONDS = 5.0
#: An API server that comes back refuses some requests for a moment: it is back when so many in a row were served.
_SETTLED = 8

Object = dict[str, Any]


class ConfigurationError(Exception):
    """There is no usable way to an API server; the message says what was tried."""


class Client:
    """A connection to one API server, under one identity."""

    def __init__(self, api: Any, *, request_timeout: float) -> None:
        self._api = api
        self._timeout = request_timeout
        self.clock = ServerClock(monotonic=time.monotonic)
        self.answered = time.monotonic()
        """When the API server last answered, whatever it said, in monotonic seconds."""
        self.on_return: Callable[[], None] = lambda: None
        """Called when an outage is over: requests failed for some seconds, and one is served again, then many are."""
        self._troubled = False
        self._served = self.answered
        self._returned = float("-inf")
        self._in_a_row = 0
        self._page_sizes = PageSizes()
        self.may_write: Callable[[], bool] = lambda: True
        """Asked before each request that is not a read: a replica that has lost its Lease must not write."""

    @classmethod
    async def connect(
        cls, *, kubeconfig: Path | None, context: str | None = None, request_timeout: float = 10.0
    ) -> Client:
        """Connect with a kubeconfig and one of its contexts, or, for None, as a pod. Raises ConfigurationError."""
        asyncio.sslproto.SSLProtocol.max_size = _READ_BYTES
        configuration = client.Configuration()
        try:
            if kubeconfig is not None:
                await config.load_kube_config(str(kubeconfig), context=context, client_configuration=configuration)
            else:
                config.load_incluster_config(configuration)
        except (config.ConfigException, OSError) as error:
            where = f"kubeconfig {kubeconfig}" if kubeconfig else "a pod's ServiceAccount (no kubeconfig was given)"
            raise ConfigurationError(f"cannot connect with {where}: {error}") from error
        # With trust_env each request takes a thread hop to read .netrc: a sixth of the speed. There are no cookies.
        configuration.client_session_kwargs = {
            "trust_env": False,
            "cookie_jar": aiohttp.DummyCookieJar(),
            "read_bufsize": _READ_BYTES,
        }
        # No limit of its own: there are as many requests at once as there are workers, and what ends must not wait.
        configuration.connection_pool_maxsize = 0
        return cls(client.ApiClient(configuration=configuration), request_timeout=request_timeout)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    @property
    def away(self) -> bool:
        """Whether the API server does not serve this process, or does so again only since a moment ago.

        It is away when it has served nothing for some seconds and failed what it was last asked. It is back when it has
        served enough in a row, or for some seconds: one session that it always refuses must not hold up the others.
        What ends an absence calls `on_return`.
        """
        now = time.monotonic()
        if self._troubled and now - self._served > _OUTAGE_SECONDS:
            return True
        return self._in_a_row < _SETTLED and now - self._returned < _OUTAGE_SECONDS

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float | None = None,  # noqa: ASYNC109 - passed on to the HTTP client, which owns the time-out
        gated: bool = True,
        largest: int = LARGEST,
    ) -> Object:
        """Send one request and decode the answer. Raises Refused and its kinds, Unreachable, or NotLeader.

        `gated` False is for the Lease itself, which has to be written before it is held. An answer that has more than
        `largest` bytes is returned as a Fragment.
        """
        opened = self.opened(
            method, path, body, query=query, content_type=content_type, accept=accept, timeout=timeout, gated=gated
        )
        async with opened as response:
            found = await read_object(response.content, largest=largest)
        if found is None:
            raise Unreachable(f"{method} {path}: the answer is not an object")
        return found

    @contextlib.asynccontextmanager
    async def opened(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float | aiohttp.ClientTimeout | None = None,  # noqa: ASYNC109 - passed on to the HTTP client
        gated: bool = True,
        aside: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request and hand out the answer, to be read in pieces. Raises like `request`, also while it is read.

        An answer that is not read to its end costs its connection. What is asked `aside`, as streams are, says nothing
        of whether the API server serves this process.
        """
        if gated and method != "GET" and not self.may_write():
            raise NotLeader(f"{method} {path}: this replica does not hold the Lease")
        # Compressing a list and reading it again costs more processor time, on both sides, than sending it as it is.
        headers = {"Accept": accept, "Content-Type": content_type, "Accept-Encoding": "identity"}
        owner = [("fieldManager", FIELD_MANAGER)] if method in ("POST", "PUT", "PATCH") else []
        method_, url, headers_, _, _ = await self._api.param_serialize(
            method, path, query_params=[*query, *owner], header_params=headers, auth_settings=["BearerToken"]
        )
        # The body goes by it: it is plain JSON already, and would be copied value by value.
        data = dict(body) if body is not None else None
        sent = time.monotonic()
        try:
            answer = await self._api.call_api(method_, url, headers_, data, _request_timeout=timeout or self._timeout)
            response: aiohttp.ClientResponse = answer.response
            async with response:
                if not aside:
                    self._note_answer(response.status)
                    self.clock.observe(response.headers.get("Date", ""), sent=sent, received=self.answered)
                if not 200 <= response.status <= 299:
                    raise await _refused(method, path, response)
                yield response
        except ApiException as error:
            self._note_failure(aside=aside)
            raise Unreachable(f"{method} {path}: {error.reason}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self._note_failure(aside=aside)
            raise Unreachable(f"{method} {path}: {type(error).__name__} {error}".rstrip()) from error

    def _note_failure(self, *, aside: bool = False) -> None:
        if aside:
            return
        self._troubled = True
        self._in_a_row = 0

    def _note_answer(self, status: int) -> None:
        """Notice when an outage is over: an API server that comes back refuses everything for a moment first."""
        self.answered = time.monotonic()
        if status == 403 or status >= 500:
            self._note_failure()
        elif status != 429:
            before, self._served = self._served, self.answered
            troubled, self._troubled = self._troubled, False
            self._in_a_row += 1
            # One request that fails beside others that are answered is no outage, and its back-off is to be kept.
            if troubled and self._served - before > _OUTAGE_SECONDS:
                self._returned, self._in_a_row = self._served, 1
                self.on_return()
            elif self._in_a_row == _SETTLED and self._served - self._returned < _OUTAGE_SECONDS:
                self.on_return()

    async def get(self, path: str) -> Object:
        """Read one object."""
        return await self.request("GET", path)

    async def find(self, path: str, *, largest: int = LARGEST) -> Object | None:
        """Read one object; None where there is none."""
        try:
            return await self.request("GET", path, largest=largest)
        except Missing:
            return None

    async def create(self, path: str, body: Mapping[str, Any], *, strict: bool = False) -> Object:
        """Create one object; `strict` has unknown and duplicate fields refused."""
        return await self.request("POST", path, body, query=[("fieldValidation", "Strict")] if strict else ())

    async def merge_patch(self, path: str, body: Mapping[str, Any]) -> Object:
        """Change one object; the body names the uid, and where it matters the resourceVersion, that it is meant for."""
        return await self.request("PATCH", path, body, content_type=MERGE_PATCH)

    async def delete(self, path: str, *, uid: str | None) -> Object:
        """Delete one object, with all it owns, in the background; a uid makes sure that it is the one meant."""
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        return await self.request("DELETE", path, body)

    def list(self, path: str, *, label_selector: str | None = None, metadata_only: bool = False) -> Listing:
        """Read a collection page by page; each item once, as far as the API server's continue tokens promise it."""
        accept = METADATA_LIST if metadata_only else JSON
        query = (("labelSelector", label_selector),) if label_selector else ()

        def ask(more: Sequence[tuple[str, str]]) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
            return self.opened("GET", path, query=[*more, *query], accept=accept)

        return Listing(ask, self._page_sizes.of(f"{path} {accept}"))


async def _refused(method: str, path: str, response: aiohttp.ClientResponse) -> Refused:
    said = await read_object(response.content, text_as="message") or {}
    retry_after: float | None = None
    with contextlib.suppress(ValueError):
        retry_after = float(response.headers["Retry-After"]) if "Retry-After" in response.headers else None
    return refusal(
        status=response.status,
        reason=str(said.get("reason") or ""),
        message=str(said.get("message") or f"{method} {path} was refused"),
        retry_after=retry_after,
    )
