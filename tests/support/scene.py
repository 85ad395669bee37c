"""People, a namespace and a live session on a guarded control plane, as the operator would have made it.

Called by the tests of the guards and by the attacks. The session's objects come from the product's own builders and are
written with a real token of the operator's ServiceAccount: what the guards let through here is what the operator does.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tasksession.api import names
from tasksession.api.access import PolicyRule, RoleReference
from tasksession.api.session import TaskSession
from tasksession.lifecycle import manifests
from tasksession.lifecycle.observed import ObservedJob
from tests.cluster import Api, ApiError, Cluster, wait_for
from tests.cluster.api import Object
from tests.cluster.rights import wait_until_holds

OPERATOR_NAMESPACE = "tasksession-system"
NODE = "node-of-tests"
POD_SPEC: Object = {"restartPolicy": "Never", "containers": [{"name": "task", "image": "task"}]}


def refused(call: Any, *arguments: Any, **options: Any) -> str:
    """Make a call that has to be refused, and return the API server's words."""
    try:
        call(*arguments, **options)
    except ApiError as error:
        return error.message
    raise AssertionError(f"{call.__name__}{arguments} was not refused")


@dataclass(frozen=True)
class Scene:
    """A namespace with its people; each is a client of the API server.

    alice may request sessions, bob has the built-in `edit`, ann the built-in `admin`. `operator` holds a token of the
    operator's ServiceAccount, `kubelet` the certificate of the one node.
    """

    namespace: str
    admin: Api
    alice: Api
    bob: Api
    ann: Api
    operator: Api
    kubelet: Api

    @classmethod
    def make(cls, cluster: Cluster) -> "Scene":
        """Create the namespace, its people and their rights."""
        admin = cluster.api
        namespace = f"team-{uuid.uuid4().hex[:6]}"
        admin.apply(f"""
            apiVersion: v1
            kind: Namespace
            metadata: {{name: {namespace}}}
            ---
            apiVersion: v1
            kind: Node
            metadata: {{name: {NODE}}}
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: ClusterRole
            metadata: {{name: use-deploy}}
            rules:
              - {{apiGroups: [tasksession.dev], resources: [sessionpolicies], resourceNames: [deploy], verbs: [use]}}
        """)
        grants = (
            ("alice", "tasksession-requester"),
            ("alice", "use-deploy"),
            ("carl", "use-deploy"),
            ("carl", "tasksession-edit"),
            ("bob", "edit"),
            ("ann", "admin"),
        )
        for person, role in grants:
            bind(admin, namespace, f"{person}-{role}", role=role, user=person)
        people = {name: admin.as_user(name, groups=["people"], uid=f"uid-{name}") for name in ("alice", "bob", "ann")}
        answer = admin.create(
            f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/serviceaccounts/tasksession-operator/token", {"spec": {}}
        )
        certificate = cluster.issue_client_certificate(f"system:node:{NODE}", ["system:nodes"])
        scene = cls(
            namespace=namespace,
            admin=admin,
            operator=admin.with_token(answer["status"]["token"]),
            kubelet=Api.from_kubeconfig(certificate),
            **people,
        )
        wait_for(
            lambda: admin.find(scene.core("serviceaccounts", "default")), timeout=10, what="the default ServiceAccount"
        )
        return scene

    def core(self, resource: str, *rest: str) -> str:
        """Return a path in the core group."""
        return "/".join([f"/api/v1/namespaces/{self.namespace}/{resource}", *rest])

    def batch(self, resource: str, *rest: str) -> str:
        """Return a path in batch/v1."""
        return "/".join([f"/apis/batch/v1/namespaces/{self.namespace}/{resource}", *rest])

    def rbac(self, resource: str, *rest: str) -> str:
        """Return a path in rbac.authorization.k8s.io/v1."""
        return "/".join([f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}/{resource}", *rest])

    def sessions(self, *rest: str) -> str:
        """Return the path of TaskSessions, or of one."""
        return "/".join([f"/apis/{names.API_VERSION}/namespaces/{self.namespace}/tasksessions", *rest])


def bind(api: Api, namespace: str, name: str, *, role: str, user: str) -> Object:
    """Bind a ClusterRole to a user in a namespace, and wait until the user holds its rules."""
    body: Object = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    made = api.create(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", body)
    path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}"
    rules = wait_for(lambda: api.get(path)["rules"], timeout=10, what=f"ClusterRole {role} to be aggregated")
    wait_until_holds(api.as_user(user), namespace, rules[:3])
    return made


def session_manifest(name: str = "deploy-1", **spec: Any) -> Object:
    """Return a TaskSession with a jobTemplate; `spec` goes over its spec."""
    task = {"jobTemplate": {"spec": {"template": {"spec": POD_SPEC}}}}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "TaskSession",
        "metadata": {"name": name},
        "spec": {"policy": "deploy", "ttl": "5m", "task": task, **spec},
    }


def job_manifest(name: str = "task", *, annotations: dict[str, str] | None = None, pod: Object | None = None) -> Object:
    """Return a Job, ordinary unless annotations make it one of a session; `pod` goes over its pod's spec."""
    metadata: Object = {"name": name}
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": {"template": {"spec": {**POD_SPEC, **(pod or {})}}}}


ASKS = {names.POLICY_ANNOTATION: "deploy"}


@dataclass(frozen=True)
class LiveSession:
    """A granted session: its TaskSession, its released Job, and the name of its identity."""

    scene: Scene
    session: TaskSession
    job: Object
    identity: names.Identity

    @classmethod
    def start(cls, scene: Scene, name: str = "deploy-1", *, seconds: int = 300) -> "LiveSession":
        """Request as alice, then do as the operator does, up to the release of the Job; it lives for `seconds`."""
        session = TaskSession.model_validate(scene.alice.create(scene.sessions(), session_manifest(name)))
        operator = scene.operator
        job = operator.create(scene.batch("jobs"), manifests.job(session))
        owner = ObservedJob.from_object(job)
        now = datetime.now(UTC)
        identity = names.Identity(owner.uid, int((now + timedelta(seconds=seconds)).timestamp()))
        timer = operator.create(scene.batch("jobs"), manifests.timer(session, owner, identity, now))
        timer_uid = timer["metadata"]["uid"]
        operator.create(scene.core("serviceaccounts"), manifests.service_account(session, identity, timer_uid))
        rules = (PolicyRule(api_groups=("",), resources=("configmaps",), verbs=("get",)),)
        operator.create(scene.rbac("roles"), manifests.role(session, identity, timer_uid, rules))
        bound = ((f"{identity.name}-0", RoleReference(kind="ClusterRole", name="view")), (identity.name, None))
        for binding, reference in bound:
            manifest = manifests.role_binding(session, identity, timer_uid, binding, reference)
            operator.create(scene.rbac("rolebindings"), manifest)
        operator.patch(scene.sessions(name, "status"), {"status": {"state": "Active"}})
        released = operator.patch(scene.batch("jobs", name), release(identity, seconds=seconds))
        return cls(scene, session, released, identity)

    def rights(self) -> list[str]:
        """Return the paths of what gives the session its rights, and of its identity."""
        scene, name = self.scene, self.identity.name
        bindings = [scene.rbac("rolebindings", name), scene.rbac("rolebindings", f"{name}-0")]
        return [*bindings, scene.core("serviceaccounts", name), scene.rbac("roles", name), scene.batch("jobs", name)]

    def pod(self) -> Object:
        """Wait for the pod that the Job controller makes, and return it."""
        path = self.scene.core("pods")
        selector = f"batch.kubernetes.io/job-name={self.session.metadata.name}"
        pods = wait_for(
            lambda: self.scene.admin.list(path, labelSelector=selector), timeout=20, what="the session's pod"
        )
        return pods[0]

    def token(self) -> str:
        """Bind the pod to the node and get its token as the kubelet does."""
        scene, pod = self.scene, self.pod()
        name = pod["metadata"]["name"]
        if not pod["spec"].get("nodeName"):
            binding = {"metadata": {"name": name}, "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}}
            scene.admin.create(scene.core("pods", name, "binding"), binding)
        reference = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod["metadata"]["uid"]}
        request = {"spec": {"expirationSeconds": 600, "boundObjectRef": reference}}
        path = scene.core("serviceaccounts", self.identity.name, "token")
        # The node authorizer learns of the binding a moment later.
        answer = wait_for(
            lambda: scene.kubelet.create(path, request), timeout=10, what="the token", ignoring=(ApiError,)
        )
        token: str = answer["status"]["token"]
        return token


def release(identity: names.Identity, *, seconds: int = 300) -> Object:
    """Return the patch with which the operator releases a Job."""
    annotations = {names.SERVICE_ACCOUNT_ANNOTATION: identity.name}
    template = {"metadata": {"annotations": annotations}}
    return {"spec": {"suspend": False, "activeDeadlineSeconds": seconds, "template": template}}
