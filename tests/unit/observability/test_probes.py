"""The probes, asked over a real loopback connection."""

import aiohttp
import pytest

from tasksession.observability.probes import ProbeServer


@pytest.mark.parametrize(
    ("path", "problem", "status", "text"),
    [
        ("livez", None, 200, "watch: ok\nrole: standby\n"),
        ("readyz", None, 200, "watch: ok\nlease: ok\nrole: standby\n"),
        ("livez", "no lease yet", 200, "watch: ok\nrole: standby\n"),
        ("readyz", "no lease yet", 503, "watch: ok\nlease: no lease yet\nrole: standby\n"),
    ],
)
async def test_a_probe_says_what_is_wrong(path: str, problem: str | None, status: int, text: str) -> None:
    """Liveness asks the live checks, readiness all of them; each is named with its problem."""
    server = ProbeServer(
        host="127.0.0.1", port=0, live={"watch": lambda: None}, role=lambda: "standby", ready={"lease": lambda: problem}
    )
    await server.start()
    try:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{server.port}/{path}") as answer,
        ):
            assert (answer.status, await answer.text()) == (status, text)
    finally:
        await server.stop()


async def test_a_server_that_never_started_can_be_stopped() -> None:
    """Stopping after a failed start is no error of its own."""
    await ProbeServer(host="127.0.0.1", port=0, live={}, role=lambda: "standby", ready={}).stop()
