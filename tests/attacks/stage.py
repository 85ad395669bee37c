"""Where an attack takes place: a namespace with its people, a live session, and what the attackers hold.

Made by the fixtures, one for each attack; the session is granted when the attack first looks at it. The operator's
part is played with its real token, the kubelet's with a node's certificate, and nobody else's.
"""

import base64
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tasksession.api.access import RoleReference
from tasksession.lifecycle import manifests
from tests.attacks.attack import Foiled
from tests.cluster import Api, ApiError, Cluster, wait_for
from tests.cluster.api import Object
from tests.cluster.rights import wait_until_holds
from tests.support.scene import NODE, POD_SPEC, LiveSession, Scene, bind

CEILING = {
    "clusterRoles": ["view", "edit", "admin"],
    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"]}],
}
RBAC = "rbac.authorization.k8s.io"
VIEW: Object = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"}
#: The name of an identity that is not there yet.
FUTURE = "ts-11111111-2222-3333-4444-555555555555-2000000000"
DAY = 86400


@dataclass(frozen=True)
class Ground:
    """What the attacks of one module share: the cluster, the namespace, and bob with a certificate of his own."""

    cluster: Cluster
    scene: Scene
    bob: Api

    @classmethod
    def make(cls, cluster: Cluster) -> "Ground":
        """Make the namespace, and one more requester: dan, who may use another policy."""
        scene = Scene.make(cluster)
        admin = cluster.api
        rules = [
            {
                "apiGroups": ["tasksession.dev"],
                "resources": ["sessionpolicies"],
                "resourceNames": ["reports"],
                "verbs": ["use"],
            }
        ]
        admin.create(f"/apis/{RBAC}/v1/clusterroles", {"metadata": {"name": "use-reports"}, "rules": rules})
        for role in ("tasksession-requester", "use-reports"):
            bind(admin, scene.namespace, f"dan-{role}", role=role, user="dan")
        debugging = [
            {"apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["patch", "update"]},
            {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
        ]
        admin.create(f"/apis/{RBAC}/v1/clusterroles", {"metadata": {"name": "debugger"}, "rules": debugging})
        bind(admin, scene.namespace, "debugger", role="debugger", user="debugger")
        bob = Api.from_kubeconfig(cluster.issue_client_certificate("bob", ["people"]))
        return cls(cluster, scene, bob)


class Stage:
    """One attack's surroundings. `name` is its own, for whatever it makes."""

    def __init__(self, ground: Ground, name: str) -> None:
        self.ground = ground
        self.scene = ground.scene
        self.name = name

    @property
    def admin(self) -> Api:
        """The administrator, who prepares and looks, and never attacks."""
        return self.scene.admin

    @property
    def alice(self) -> Api:
        """The requester of the session."""
        return self.scene.alice

    @property
    def bob(self) -> Api:
        """A holder of `edit`; he has a certificate, so that he may impersonate others."""
        return self.ground.bob

    @property
    def ann(self) -> Api:
        """A holder of `admin` in the namespace."""
        return self.scene.ann

    @property
    def dan(self) -> Api:
        """A requester who may use the policy reports, and no other."""
        return self.admin.as_user("dan", groups=["people"], uid="uid-dan")

    @property
    def debugger(self) -> Api:
        """Somebody who may debug and evict pods in the namespace."""
        return self.admin.as_user("debugger")

    @property
    def operator(self) -> Api:
        """The operator's own token, used by hand."""
        return self.scene.operator

    def controller(self, name: str) -> Api:
        """One of Kubernetes' own controllers: what it does, it does for the attacker."""
        return self.admin.as_service_account("kube-system", name)

    @cached_property
    def live(self) -> LiveSession:
        """The session under attack: requested by alice, granted, its Job released."""
        return LiveSession.start(self.scene, self.name)

    @property
    def identity(self) -> str:
        """The name of the session's ServiceAccount, timer, Role and RoleBinding."""
        return self.live.identity.name

    @property
    def user(self) -> str:
        """The session's user name."""
        return f"system:serviceaccount:{self.scene.namespace}:{self.identity}"

    @cached_property
    def pod(self) -> str:
        """The name of the session's pod, bound to the node: an unbound one is deleted without any grace."""
        self.live.token()
        name: str = self.live.pod()["metadata"]["name"]
        return name

    def task(self, role: str = "view") -> Api:
        """Return the task itself, with the token of its pod, granted a role beside `view`."""
        token = self.live.token()
        if role != "view":
            self.grant(role)
        return self.admin.with_token(token)

    def grant(self, role: str) -> None:
        """Grant the session a role more, as a policy may that lists it, and wait until it holds it."""
        live, timer = self.live, self.admin.get(self.timer)
        name = f"{self.identity}-1"
        reference = RoleReference(kind="ClusterRole", name=role)
        manifest = manifests.role_binding(live.session, live.identity, timer["metadata"]["uid"], name, reference)
        self.operator.create(self.scene.rbac("rolebindings"), manifest)
        rules = self.admin.get(f"/apis/{RBAC}/v1/clusterroles/{role}")["rules"]
        wait_until_holds(self.admin.as_user(self.user), self.scene.namespace, rules[:3])

    def let_group(self, resource: str, group: str) -> None:
        """Let all ServiceAccounts of the namespace create something, as a careless administrator might."""
        name = f"{self.scene.namespace}-{self.name}"
        rules: list[Mapping[str, list[str]]] = [{"apiGroups": [group], "resources": [resource], "verbs": ["create"]}]
        subject = {"kind": "Group", "apiGroup": RBAC, "name": f"system:serviceaccounts:{self.scene.namespace}"}
        self.admin.create(f"/apis/{RBAC}/v1/clusterroles", {"metadata": {"name": name}, "rules": rules})
        body = {"metadata": {"name": name}, "roleRef": {**VIEW, "name": name}, "subjects": [subject]}
        self.admin.create(f"/apis/{RBAC}/v1/clusterrolebindings", body)
        member = self.admin.as_service_account(self.scene.namespace, "default")
        wait_until_holds(member, "", rules)

    @staticmethod
    def signing_request() -> str:
        """Return a request for a client certificate, as the API server takes it."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mallory")])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()

    def connects(self, person: Api, way: str) -> None:
        """Have somebody enter an ordinary pod of the namespace."""
        self.admin.create(self.scene.core("pods"), {"metadata": {"name": self.name}, "spec": POD_SPEC})
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        path = self.scene.core("pods", self.name)
        self.admin.create(f"{path}/binding", {"metadata": {"name": self.name}, "target": target})
        passes(person.create, f"{path}/{way}", {}, command="sh")

    # Paths of the session's objects

    @property
    def job(self) -> str:
        """The session's Job."""
        return self.scene.batch("jobs", self.live.session.metadata.name)

    @property
    def timer(self) -> str:
        """The session's timer."""
        return self.scene.batch("jobs", self.identity)

    @property
    def session(self) -> str:
        """The TaskSession."""
        return self.scene.sessions(self.live.session.metadata.name)

    @property
    def account(self) -> str:
        """The session's ServiceAccount."""
        return self.scene.core("serviceaccounts", self.identity)

    @property
    def token(self) -> str:
        """Where tokens of the session's ServiceAccount are asked for."""
        return self.scene.core("serviceaccounts", self.identity, "token")

    @property
    def binding(self) -> str:
        """The RoleBinding of the session's role `view`."""
        return self.scene.rbac("rolebindings", f"{self.identity}-0")

    # What an attacker may have gained

    def holds(self, token: str) -> bool:
        """Whether a token is accepted, and the session's."""
        api = self.admin.with_token(token)
        answer = api.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
        api.get(self.scene.core("configmaps", "kube-root-ca.crt"))
        found: bool = answer["status"]["userInfo"]["username"] == self.user
        return found

    def kubelets_token(self, pod: Object, **spec: Any) -> str:
        """Bind a pod to the node, where it is not, and have its kubelet ask for a token of it."""
        scene, name = self.scene, pod["metadata"]["name"]
        if not self.admin.get(scene.core("pods", name))["spec"].get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            self.admin.create(scene.core("pods", name, "binding"), {"metadata": {"name": name}, "target": target})
        reference = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod["metadata"]["uid"]}
        body = {"spec": {"expirationSeconds": 600, "boundObjectRef": reference, **spec}}
        path = scene.core("serviceaccounts", pod["spec"]["serviceAccountName"], "token")

        def ask() -> Object:
            try:
                return scene.kubelet.create(path, body)
            except ApiError as error:
                # The node authorizer learns of a binding a moment later.
                if "no relationship found" in error.message:
                    raise _NodeDoesNotKnowError from error
                raise

        answer = wait_for(ask, timeout=10, what="the node to know its pod", ignoring=(_NodeDoesNotKnowError,))
        token: str = answer["status"]["token"]
        return token

    def pod_made_for(self, kind: str, name: str) -> Object:
        """Wait for the pod that a controller makes for an object; `Foiled` with its Event where it is refused."""
        refusals: list[str] = []

        def probe() -> Object | None:
            for pod in self.admin.list(self.scene.core("pods")):
                if any(o["name"].startswith(name) for o in pod["metadata"].get("ownerReferences", [])):
                    return pod
            events = self.admin.list(self.scene.core("events"), fieldSelector="reason=FailedCreate")
            refusals.extend(each["message"] for each in events if each["involvedObject"]["name"].startswith(name))
            return {"refused": True} if refusals else None

        found = wait_for(probe, timeout=20, what=f"a pod of {kind} {name}, or a refusal")
        if refusals:
            raise Foiled(refusals[0])
        return found

    def freed(self, path: str) -> bool:
        """Wait until an object has no owner any more: nothing of Kubernetes will ever delete it."""
        return wait_for(
            lambda: not self.admin.get(path)["metadata"].get("ownerReferences"),
            timeout=10,
            what=f"{path} to be without an owner",
        )

    def unused(self) -> str:
        """Return the name of an identity that nobody has."""
        return f"ts-{uuid.uuid4()}-2000000000"


class _NodeDoesNotKnowError(Exception):
    """The node authorizer has not heard of a pod's binding yet."""


def passes(call: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """Make a call on a pod's node, which nobody plays here: whatever comes after admission is a success."""
    try:
        call(*arguments, **options)
    except ApiError as error:
        if error.status in (403, 422):
            raise
