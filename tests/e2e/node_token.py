"""A pod's own token, as the kubelet wrote it: read only to be tried, never shown.

Used by the tests on a real node.
"""

from tests.cluster.api import Api, ApiError, Object
from tests.cluster.waiting import wait_for
from tests.support.world import World


def token_of(world: World, pod: Object) -> str:
    """Wait for a pod's token and read it where the kubelet keeps it."""
    uid = pod["metadata"]["uid"]
    path = world.cluster.folder / f"node/kubelet/pods/{uid}/volumes/kubernetes.io~projected/tasksession/token"
    return wait_for(lambda: path.read_text() if path.exists() else None, timeout=30, what="the pod's token")


def session_api(world: World, job: str) -> Api:
    """Wait until a Job's pod runs, and return a client with that pod's token."""

    def running() -> Object | None:
        pod = world.pod_of(job)
        return pod if pod.get("status", {}).get("phase") == "Running" else None

    return world.admin.with_token(token_of(world, wait_for(running, timeout=30, what=f"the pod of {job} to run")))


def status_of(session: Api, path: str, method: str = "GET", body: Object | None = None) -> int:
    """Make a request with a session's token; the HTTP status it got."""
    try:
        session.request(method, path, body=body)
    except ApiError as error:
        return error.status
    return 200
