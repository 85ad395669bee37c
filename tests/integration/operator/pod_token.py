"""The token of a session's pod where no kubelet runs: the pod is put on a node, and its token asked for as that node.

Used by tests that try the token itself instead of asking what its identity may do.
"""

from __future__ import annotations

from tests.cluster.api import Api, ApiError, Object
from tests.cluster.waiting import wait_for
from tests.support.world import World

NODE = "node-of-tokens"


def session_client(world: World, pod: Object) -> Api:
    """Return a client with the token that a kubelet would put into the pod."""
    admin, name = world.admin, pod["metadata"]["name"]
    admin.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    kubelet = Api.from_kubeconfig(world.cluster.issue_client_certificate(f"system:node:{NODE}", ["system:nodes"]))
    binding = {"metadata": {"name": name}, "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}}
    admin.create(f"{world.path('Pod', name)}/binding", binding)
    reference = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod["metadata"]["uid"]}
    request = {"spec": {"expirationSeconds": 600, "boundObjectRef": reference}}
    path = world.path("ServiceAccount", pod["spec"]["serviceAccountName"]) + "/token"
    # The node authorizer learns of the binding a moment later.
    answer = wait_for(lambda: kubelet.create(path, request), timeout=10, what="the token", ignoring=(ApiError,))
    token: str = answer["status"]["token"]
    return admin.with_token(token)


def is_refused(client: Api, path: str) -> bool:
    """Whether the API server refuses a read with this token."""
    try:
        client.get(path)
    except ApiError as error:
        if error.status not in (401, 403):
            raise
        return True
    return False
