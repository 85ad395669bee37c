"""Runs one examination for the `doctor` command and returns the report.

It connects as whoever the kubeconfig says, and only reads.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from tasksession.cluster.client import Client, ConfigurationError
from tasksession.cluster.errors import ClusterError
from tasksession.cluster.expected_guards import GUARDS, UPSTREAM
from tasksession.cluster.questions import Questions
from tasksession.doctor.collecting import Collector
from tasksession.doctor.examination import examine
from tasksession.doctor.finding import Report


class CannotExamineError(Exception):
    """There is no way to the cluster; the message says in a sentence what was tried."""


def run_doctor(
    *, kubeconfig: Path | None, context: str | None, namespaces: tuple[str, ...], request_timeout: float
) -> tuple[str, Report]:
    """Examine the cluster; who examined it, and what was found. Raises CannotExamineError."""
    try:
        return asyncio.run(_examine(kubeconfig, context, namespaces, request_timeout))
    except (ConfigurationError, ClusterError) as error:
        raise CannotExamineError(f"the cluster cannot be examined: {error}") from error


async def _examine(
    kubeconfig: Path | None, context: str | None, namespaces: tuple[str, ...], request_timeout: float
) -> tuple[str, Report]:
    client = await Client.connect(kubeconfig=kubeconfig, context=context, request_timeout=request_timeout)
    try:
        user = await Questions(client).own_username()
        facts = await Collector(client, only=namespaces).everything()
    finally:
        await client.close()
    return user, examine(facts, GUARDS, UPSTREAM)
