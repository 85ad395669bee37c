"""The URL paths of the API."""

import pytest

from tasksession.cluster import paths


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "expected"),
    [
        ("Job", "a", "b", "/apis/batch/v1/namespaces/a/jobs/b"),
        ("ServiceAccount", "a", "b", "/api/v1/namespaces/a/serviceaccounts/b"),
        ("ClusterRole", None, "system:x", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Ax"),
        ("SessionPolicy", None, "p", "/apis/tasksession.dev/v1alpha1/sessionpolicies/p"),
        ("TaskSession", "a", "b", "/apis/tasksession.dev/v1alpha1/namespaces/a/tasksessions/b"),
        ("Namespace", None, "a", "/api/v1/namespaces/a"),
        ("Job", "../../secrets", "..", "/apis/batch/v1/namespaces/..%2F..%2Fsecrets/jobs/.."),
    ],
)
def test_an_object_has_one_path(kind: str, namespace: str | None, name: str, expected: str) -> None:
    """Group, plural and scope are right for each kind, and no name reaches another collection."""
    assert paths.one(kind, namespace, name) == expected


def test_a_collection_can_span_all_namespaces() -> None:
    """Without a namespace a namespaced kind's path is the whole cluster's."""
    assert paths.collection("RoleBinding") == "/apis/rbac.authorization.k8s.io/v1/rolebindings"
    assert paths.collection("SubjectAccessReview") == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
