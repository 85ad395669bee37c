"""A small synchronous client of the API server for tests: dictionaries in, dictionaries out, errors with their words.

It shares no code with the product, so that a mistake there cannot hide one here. `as_user` impersonates, `with_token`
uses a bearer token and nothing else. It never retries: what a test asks is asked once.
"""

import base64
import json
import math
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml

from tests.cluster.waiting import Found, wait_for

Object = dict[str, Any]
Objects = list[Object]

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


class ApiError(Exception):
    """The API server refused: HTTP status, Kubernetes reason and message, and the whole Status object."""

    def __init__(self, status: int, reason: str, message: str, body: Object) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.body = body


@dataclass(frozen=True)
class _Connection:
    """Where the API server is and what this process shows it."""

    url: str
    authority: Path
    certificate: Path | None
    key: Path | None
    pool: urllib3.PoolManager
    anonymous_pool: urllib3.PoolManager


class Api:
    """Requests as one user. Get one from a cluster; make others from it with `as_user` and `with_token`."""

    def __init__(
        self, connection: _Connection, *, headers: Sequence[tuple[str, str]] = (), token: bool = False
    ) -> None:
        self._connection = connection
        self._headers = tuple(headers)
        self._token = token
        self._paths: dict[tuple[str, str], tuple[str, bool]] = {}
        self._discoverer: Api = self

    @classmethod
    def from_kubeconfig(cls, path: Path) -> "Api":
        """Connect with the current context of a kubeconfig that holds a client certificate or a token."""
        config = yaml.safe_load(path.read_text())
        context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
        cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
        user = next(u["user"] for u in config["users"] if u["name"] == context["user"])
        # The standard library's TLS reads key material from files only; these go when the folder object goes.
        folder = tempfile.mkdtemp(prefix="api-", dir=path.parent)
        authority = _material(folder, "ca.crt", cluster, "certificate-authority")
        if authority is None:
            raise ValueError(f"the cluster in {path} has no certificate authority: tests verify whom they talk to")
        certificate = _material(folder, "client.crt", user, "client-certificate")
        key = _material(folder, "client.key", user, "client-key")
        token = user.get("token")
        if certificate is None and token is None:
            raise ValueError(f"the user in {path} has neither a client certificate nor a token, which is all tests use")
        common: dict[str, Any] = {"ca_certs": str(authority), "retries": False, "maxsize": 32, "block": False}
        anonymous = urllib3.PoolManager(**common)
        pool = (
            urllib3.PoolManager(**common, cert_file=str(certificate), key_file=str(key)) if certificate else anonymous
        )
        connection = _Connection(cluster["server"].rstrip("/"), authority, certificate, key, pool, anonymous)
        if token:
            return cls(connection, headers=[("Authorization", f"Bearer {token}")], token=True)
        return cls(connection)

    @property
    def url(self) -> str:
        """Return the API server's address."""
        return self._connection.url

    @property
    def authority(self) -> Path:
        """Return the certificate authority's file."""
        return self._connection.authority

    def close(self) -> None:
        """Close the connections, those of the clients made from this one too."""
        self._connection.pool.clear()
        self._connection.anonymous_pool.clear()

    def as_user(
        self, name: str, *, groups: Sequence[str] = (), uid: str = "", extra: Mapping[str, Sequence[str]] | None = None
    ) -> "Api":
        """Return a client that impersonates a user; this client must be allowed to."""
        headers = [("Impersonate-User", name), *(("Impersonate-Group", group) for group in groups)]
        if uid:
            headers.append(("Impersonate-Uid", uid))
        headers += [(f"Impersonate-Extra-{key}", value) for key, values in (extra or {}).items() for value in values]
        return self._derived(headers=[*self._headers, *headers], token=self._token)

    def as_service_account(self, namespace: str, name: str) -> "Api":
        """Return a client that impersonates a ServiceAccount with the groups it has."""
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        return self.as_user(f"system:serviceaccount:{namespace}:{name}", groups=groups)

    def with_token(self, token: str) -> "Api":
        """Return a client that shows this bearer token, and no client certificate."""
        return self._derived(headers=[("Authorization", f"Bearer {token}")], token=True)

    def _derived(self, *, headers: Sequence[tuple[str, str]], token: bool) -> "Api":
        made = Api(self._connection, headers=headers, token=token)
        made._discoverer = self._discoverer
        return made

    def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, object] | None = None,
        content_type: str = "application/json",
        timeout: float = 30.0,
    ) -> Object:
        """Send one request; return the answer's object. Raises `ApiError` for any answer but 2xx.

        A body of text or bytes is sent as it is, any other as JSON. An answer that is not JSON is returned as
        `{"text": …}`.
        """
        return self._read(self._send(method, path, body, query, content_type, timeout, stream=False))

    def get(self, path: str, **query: object) -> Object:
        """Return the object at a path."""
        return self.request("GET", path, query=query)

    def find(self, path: str) -> Object | None:
        """Return the object at a path, or None if there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, path: str, **query: object) -> Objects:
        """Return the items of a collection."""
        items: Objects = self.request("GET", path, query=query)["items"]
        return items

    def create(self, path: str, body: Object, **query: object) -> Object:
        """Create an object in the collection at a path."""
        return self.request("POST", path, body=body, query=query)

    def replace(self, path: str, body: Object, **query: object) -> Object:
        """Replace the object at a path."""
        return self.request("PUT", path, body=body, query=query)

    def patch(self, path: str, body: object, *, content_type: str = MERGE_PATCH, **query: object) -> Object:
        """Patch the object at a path, by a merge patch unless another content type is named."""
        return self.request("PATCH", path, body=body, query=query, content_type=content_type)

    def delete(self, path: str, *, propagation: str | None = "Background", uid: str | None = None) -> Object:
        """Delete the object at a path; with None for `propagation`, what that kind's default is."""
        options: Object = {}
        if propagation is not None:
            options["propagationPolicy"] = propagation
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        return self.request("DELETE", path, body=options or None)

    def apply(
        self,
        source: str | Path | Object | Objects,
        *,
        namespace: str | None = None,
        field_manager: str = "tests",
    ) -> Objects:
        """Apply objects on the server, in order, and return the results: YAML text, a file, a folder, or objects."""
        return [
            self.request(
                "PATCH",
                self.path_of(each, namespace=namespace),
                body=json.dumps(each),
                query={"fieldManager": field_manager, "force": "true"},
                content_type=APPLY,
            )
            for each in objects(source)
        ]

    def path_of(self, item: Object, *, namespace: str | None = None) -> str:
        """Return the path of an object by its apiVersion, kind and name; `namespace` counts where it names none.

        Waits up to 10 s for a kind that the server does not know yet: that of a custom resource just defined.
        """
        version, kind = item["apiVersion"], item["kind"]
        plural, namespaced = wait_for(
            lambda: self._discoverer._resource(version, kind), timeout=10, what=f"the server to know {version} {kind}"
        )
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        if not namespaced:
            return f"{root}/{plural}/{item['metadata']['name']}"
        chosen = item["metadata"].get("namespace") or namespace or "default"
        return f"{root}/namespaces/{chosen}/{plural}/{item['metadata']['name']}"

    def _resource(self, version: str, kind: str) -> tuple[str, bool] | None:
        if (version, kind) not in self._paths:
            found = self.find(f"/api/{version}" if "/" not in version else f"/apis/{version}")
            for each in (found or {}).get("resources", []):
                if "/" not in each["name"]:
                    self._paths[version, each["kind"]] = (each["name"], each["namespaced"])
        return self._paths.get((version, kind))

    def wait(
        self,
        probe: "Callable[[Api], Found | None]",
        *,
        timeout: float = 30,
        what: str = "the condition",
        interval: float = 0.05,
    ) -> Found:
        """Call `probe` with this client until it returns something true; an `ApiError` counts as not yet."""
        return wait_for(lambda: probe(self), timeout=timeout, what=what, interval=interval, ignoring=(ApiError,))

    def watch(self, path: str, *, timeout: float = 30.0, **query: object) -> "Iterator[Object]":
        """Yield the events of a collection as they arrive; end after `timeout` seconds or when the server ends it.

        Pass `resourceVersion` to begin after a list; without it, each present object comes first, as ADDED. Each
        event has, beside `type` and `object`, `received`: the monotonic clock at its arrival, in seconds.
        """
        asked = {"watch": "true", "timeoutSeconds": math.ceil(timeout), **query}
        deadline = time.monotonic() + timeout
        response = self._send("GET", path, None, asked, "application/json", timeout + 1, stream=True)
        try:
            if response.status != 200:
                self._read(response)
            rest = b""
            for chunk in response.stream(amt=None):
                received = time.monotonic()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield {**json.loads(line), "received": received}
                if received >= deadline:
                    return
        except urllib3.exceptions.ReadTimeoutError:
            return
        finally:
            # A watch that is left early would otherwise go back to the pool with events still to come.
            response.close()

    def _send(
        self,
        method: str,
        path: str,
        body: object,
        query: Mapping[str, object] | None,
        content_type: str,
        timeout: float,
        *,
        stream: bool,
    ) -> urllib3.BaseHTTPResponse:
        headers = urllib3.HTTPHeaderDict({"Accept": "application/json"})
        for name, value in self._headers:
            headers.add(name, value)
        if body is not None:
            headers["Content-Type"] = content_type
            body = body if isinstance(body, str | bytes) else json.dumps(body)
        pool = self._connection.anonymous_pool if self._token else self._connection.pool
        url = self._connection.url + path
        if query:
            separator = "&" if "?" in path else "?"
            url += separator + urlencode({key: _query_value(value) for key, value in query.items()}, doseq=True)
        return pool.request(
            method, url, body=body, headers=headers, timeout=timeout, preload_content=not stream, redirect=False
        )

    @staticmethod
    def _read(response: urllib3.BaseHTTPResponse) -> Object:
        raw = response.data
        try:
            answer = json.loads(raw) if raw else {}
        except ValueError:
            answer = {"text": raw.decode(errors="replace")}
        if not isinstance(answer, dict):
            answer = {"value": answer}
        if not 200 <= response.status <= 299:
            message = answer.get("message", answer.get("text", ""))
            raise ApiError(response.status, answer.get("reason", response.reason or ""), message, answer)
        return answer


def objects(source: str | Path | Object | Objects) -> Objects:
    """Return the objects in YAML text, a file, a folder (by name), or as they are given; lists are taken apart."""
    if isinstance(source, dict):
        found = [source]
    elif isinstance(source, list):
        found = source
    elif isinstance(source, Path) and source.is_dir():
        found = [each for path in sorted(source.glob("*.y*ml")) for each in objects(path)]
    else:
        text = source.read_text() if isinstance(source, Path) else textwrap.dedent(source)
        found = [each for each in yaml.safe_load_all(text) if each]
    return [inner for each in found for inner in (each["items"] if each["kind"].endswith("List") else [each])]


def _query_value(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _material(folder: str, name: str, source: Mapping[str, str], key: str) -> Path | None:
    if data := source.get(f"{key}-data"):
        path = Path(folder) / name
        path.touch(mode=0o600)
        path.write_bytes(base64.b64decode(data))
        return path
    return Path(source[key]) if key in source else None
