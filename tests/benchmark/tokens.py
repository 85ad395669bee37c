"""Tokens of sessions' pods, got as the kubelet gets them and held in memory only: to be tried, never shown."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmark.connection import side_by_side
from tests.benchmark.ground import LOAD, Ground
from tests.cluster.api import Object
from tests.cluster.waiting import wait_for
from tests.support.world import World


async def tokens(ground: Ground, world: World, sessions: Sequence[str], *, timeout: float = 180) -> dict[str, str]:  # noqa: ASYNC109
    """Wait until the pods of these sessions run, and get a token for each."""

    def running() -> dict[str, Object] | None:
        found = world.admin.list(world.path("Pod"), fieldSelector="status.phase=Running", resourceVersion="0")
        pods = {pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]: pod for pod in found}
        return pods if set(sessions) <= pods.keys() else None

    pods = wait_for(running, timeout=timeout, what=f"the pods of {len(sessions)} sessions", interval=0.5)

    async def one(session: str) -> str:
        metadata, spec = pods[session]["metadata"], pods[session]["spec"]
        reference = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        request = {"spec": {"expirationSeconds": 600, "boundObjectRef": reference}}
        path = f"{world.path('ServiceAccount', spec['serviceAccountName'])}/token"
        answer = await ground.kubelet.create(path, request)
        shown: str = answer["status"]["token"]
        return shown

    shown = await side_by_side(sessions, one, limit=LOAD)
    return dict(zip(sessions, shown, strict=True))


async def finish(ground: Ground, world: World, sessions: Sequence[str]) -> None:
    """Say of these sessions' pods, as a kubelet would, that they succeeded."""
    found = world.admin.list(world.path("Pod"), resourceVersion="0")
    pods = {pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]: pod["metadata"]["name"] for pod in found}

    async def one(session: str) -> None:
        path = f"{world.path('Pod', pods[session])}/status"
        await ground.admin.patch(path, {"status": {"phase": "Succeeded"}})

    await side_by_side(sessions, one, limit=LOAD)
