"""Clients whose answers a test has written down: the one seam at which the engine meets the API server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasksession.cluster.client import Client, Object
from tasksession.cluster.errors import refusal


@dataclass
class Sent:
    """One request."""

    method: str
    path: str
    body: Mapping[str, Any] | None


@dataclass
class Script:
    """What is answered, in order, and what was asked. An answer that is an exception is raised."""

    answers: list[Object | Exception]
    sent: list[Sent] = field(default_factory=list)


class ScriptedClient(Client):
    """Sends nothing: each request gets the script's next answer."""

    def __init__(self, script: Script) -> None:
        super().__init__(None, request_timeout=1.0)
        self._script = script

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        **_: Any,
    ) -> Object:
        """Note the request and give the next answer."""
        self._script.sent.append(Sent(method, path, body))
        answer = self._script.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class AnsweringClient(Client):
    """Sends nothing: each request gets the answer that is written down for its method and path, however often."""

    def __init__(self, answers: Mapping[tuple[str, str], Object | Exception]) -> None:
        super().__init__(None, request_timeout=1.0)
        self.answers = dict(answers)
        self.sent: list[Sent] = []

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        **_: Any,
    ) -> Object:
        """Note the request and give its answer; what nobody wrote down does not exist."""
        self.sent.append(Sent(method, path, body))
        missing = refusal(status=404, reason="NotFound", message=f"{path} not found", retry_after=None)
        answer = self.answers.get((method, path), missing)
        if isinstance(answer, Exception):
            raise answer
        return answer
