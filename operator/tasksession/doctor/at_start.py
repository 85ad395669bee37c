"""The doctor at the operator's start: what it finds is logged, and nothing waits for it.

Called by the `run` command. It has a connection of its own and a limit of time, and whatever goes wrong with it leaves
the operator alone.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from tasksession.cluster.client import Client, ConfigurationError
from tasksession.cluster.errors import ClusterError
from tasksession.cluster.expected_guards import GUARDS, UPSTREAM
from tasksession.cluster.questions import Questions
from tasksession.doctor.collecting import Collector
from tasksession.doctor.examination import examine
from tasksession.doctor.finding import Report, Severity

_logger = logging.getLogger(__name__)

#: Seconds that it may take; what is not seen by then is not said.
_LIMIT = 30.0


async def examine_at_start(
    ready: asyncio.Event, *, kubeconfig: Path | None, request_timeout: float, namespaces: tuple[str, ...]
) -> None:
    """Wait until the operator works, examine the cluster as the operator, and log what was found."""
    await ready.wait()
    try:
        async with asyncio.timeout(_LIMIT):
            client = await Client.connect(kubeconfig=kubeconfig, request_timeout=request_timeout)
            try:
                user = await Questions(client).own_username()
                facts = await Collector(client, only=namespaces).at_start(user)
            finally:
                await client.close()
            report = await asyncio.to_thread(examine, facts, GUARDS, UPSTREAM)
    except (ClusterError, ConfigurationError, TimeoutError) as error:
        _logger.warning("the doctor could not finish", extra={"error": f"{type(error).__name__}: {error}"})
    except Exception:
        _logger.exception("the doctor failed")
    else:
        _log(report)


def _log(report: Report) -> None:
    for finding in report.findings:
        if finding.severity in (Severity.FAILURE, Severity.WARNING):
            fields = {
                "severity": finding.severity.value,
                "object": finding.subject,
                "problem": finding.problem,
                "advice": finding.advice,
            }
            _logger.warning("the doctor found something", extra=fields)
    counts = {severity.value.replace(" ", "_"): report.count(severity) for severity in Severity}
    _logger.info("the doctor has looked", extra=counts)
