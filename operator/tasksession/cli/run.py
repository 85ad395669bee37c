"""Runs the operator in an event loop of its own, with signals, and turns its end into a sentence or silence.

Called by the `run` command.
"""

from __future__ import annotations

import asyncio
import logging
import signal

from tasksession.doctor.at_start import examine_at_start
from tasksession.engine.operator import Operator, StartupError
from tasksession.engine.settings import Settings

_logger = logging.getLogger(__name__)


def run_operator(settings: Settings) -> str | None:
    """Run until a signal; None after a clean stop, else what was wrong, in one sentence."""
    try:
        asyncio.run(_run(settings))
    except StartupError as error:
        return str(error)
    except RuntimeError as error:
        _logger.exception("the operator ended")
        cause = f": {error.__cause__}" if error.__cause__ else ""
        return f"{error}{cause}"
    return None


async def _run(settings: Settings) -> None:
    operator = Operator(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, operator.stop)
    doctor = asyncio.create_task(
        examine_at_start(
            operator.ready,
            kubeconfig=settings.kubeconfig,
            request_timeout=settings.request_timeout,
            namespaces=settings.namespaces,
        ),
        name="doctor",
    )
    try:
        await operator.run()
    finally:
        doctor.cancel()
        await asyncio.gather(doctor, return_exceptions=True)
