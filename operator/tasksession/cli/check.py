"""Runs a trial for the `check` command until all of it holds or time is over.

It connects as whoever the kubeconfig says, or in a pod as that pod's ServiceAccount, and stores nothing.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tasksession.cluster.client import Client, ConfigurationError
from tasksession.doctor.trial import Step, Trial

#: Seconds between two attempts.
_PAUSE = 1.0


def run_check(
    *, kubeconfig: Path | None, operator_namespace: str, namespace: str, policy: str, timeout: float
) -> tuple[Step, ...]:
    """Try until every step holds or `timeout` seconds are over; the steps as they were at the end."""
    return asyncio.run(_check(kubeconfig, operator_namespace, namespace, policy, timeout))


async def _check(
    kubeconfig: Path | None, operator_namespace: str, namespace: str, policy: str, limit: float
) -> tuple[Step, ...]:
    ends = time.monotonic() + limit
    try:
        client = await Client.connect(kubeconfig=kubeconfig, request_timeout=10)
    except ConfigurationError as error:
        return (Step(str(error), holds=False),)
    try:
        trial = Trial(client, operator_namespace=operator_namespace, namespace=namespace, policy=policy)
        while True:
            steps = await trial.steps()
            if all(step.holds for step in steps) or time.monotonic() > ends:
                return steps
            await asyncio.sleep(_PAUSE)
    finally:
        await client.close()
