"""Where objects live in the API: URL paths by kind, so that no other module spells them.

Names and namespaces come from objects the API server accepted, or are validated by it: a path is never built from
free text.
"""

from urllib.parse import quote

from tasksession.api import names

_ROOTS = {
    "ConfigMap": "/api/v1",
    "Event": "/api/v1",
    "Pod": "/api/v1",
    "Secret": "/api/v1",
    "ServiceAccount": "/api/v1",
    "CronJob": "/apis/batch/v1",
    "Job": "/apis/batch/v1",
    "Role": "/apis/rbac.authorization.k8s.io/v1",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1",
    "Lease": "/apis/coordination.k8s.io/v1",
    "TaskSession": f"/apis/{names.API_VERSION}",
}
_CLUSTER_ROOTS = {
    "Namespace": "/api/v1",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1",
    "MutatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1",
    "MutatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1",
    "SelfSubjectReview": "/apis/authentication.k8s.io/v1",
    "SelfSubjectRulesReview": "/apis/authorization.k8s.io/v1",
    "SessionPolicy": f"/apis/{names.API_VERSION}",
    "SubjectAccessReview": "/apis/authorization.k8s.io/v1",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1",
}


def plural(kind: str) -> str:
    """Name a kind's collection."""
    word = kind.lower()
    return word[:-1] + "ies" if word.endswith("cy") else word + "s"


def collection(kind: str, namespace: str | None = None) -> str:
    """The path of a kind's collection: in one namespace, or, for None, of the whole cluster."""
    root = _ROOTS.get(kind) or _CLUSTER_ROOTS[kind]
    if namespace is None or kind in _CLUSTER_ROOTS:
        return f"{root}/{plural(kind)}"
    return f"{root}/namespaces/{quote(namespace, safe='')}/{plural(kind)}"


def one(kind: str, namespace: str | None, name: str) -> str:
    """The path of one object."""
    return f"{collection(kind, namespace)}/{quote(name, safe='')}"
