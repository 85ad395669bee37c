"""What people do all day with Jobs, pods, ServiceAccounts and tokens: the same with the guards as without them.

Each deed is done on a control plane without guards and on one with them, under the same names, and what the API server
answered is compared word for word, refusals included.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.cluster import Api, ApiError, Cluster, wait_for
from tests.cluster.api import Object
from tests.integration.guards.test_bystanders import plain
from tests.support.scene import POD_SPEC, bind

NAMESPACE = "bystanders"
#: Without it, the volume of the token has a random name.
UNTOUCHED = {"automountServiceAccountToken": False}
#: Nearly as an identity is named.
NEARLY = "ts-11111111-2222-3333-4444-555555555555"


class Person:
    """A holder of `edit` in one namespace of a control plane, who has nothing to do with sessions."""

    def __init__(self, cluster: Cluster) -> None:
        admin = cluster.api
        admin.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        bind(admin, NAMESPACE, "edit", role="edit", user="robin")
        self.admin, self.api = admin, admin.as_user("robin", groups=["people"], uid="uid-robin")
        for path in (self.core("serviceaccounts", "default"), self.core("configmaps", "kube-root-ca.crt")):
            wait_for(partial(admin.find, path), timeout=10, what=path)

    def core(self, *rest: str) -> str:
        """Return a path in the core group."""
        return "/".join([f"/api/v1/namespaces/{NAMESPACE}", *rest])

    def batch(self, *rest: str) -> str:
        """Return a path in batch/v1."""
        return "/".join([f"/apis/batch/v1/namespaces/{NAMESPACE}", *rest])


@pytest.fixture(scope="module")
def people(cluster: Cluster, guarded_cluster: Cluster) -> tuple[Person, Person]:
    """Return the person on the control plane without guards, and the one with them."""
    return Person(cluster), Person(guarded_cluster)


def outcome(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what came of a request, without what differs between any two: the object, or the refusal's words."""
    try:
        made = call(*arguments, **options)
    except ApiError as error:
        return error.status, error.message
    kept = plain(made) if isinstance(made, dict) else made
    if isinstance(kept, dict):
        kept.get("metadata", {}).pop("deletionTimestamp", None)
        kept.pop("status", None)
    return kept


def pod(name: str, **metadata: Any) -> Object:
    """Return a pod that nothing schedules."""
    return {"metadata": {"name": name, **metadata}, "spec": {**POD_SPEC, "schedulerName": "nobody", **UNTOUCHED}}


def job(name: str, *, suspend: bool = True, **metadata: Any) -> Object:
    """Return a Job, suspended unless told otherwise so that no controller is at work on it."""
    return {"metadata": {"name": name, **metadata}, "spec": {"suspend": suspend, "template": {"spec": POD_SPEC}}}


def edits_jobs(person: Person) -> list[Any]:
    """Suspend, release, prolong, own, label and hold a Job; orphan what it has."""
    api, path = person.api, person.batch("jobs", "edited")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "kube-root-ca.crt"}
    owner["uid"] = api.get(person.core("configmaps", owner["name"]))["metadata"]["uid"]
    return [
        outcome(api.create, person.batch("jobs"), job("edited")),
        outcome(api.patch, path, {"spec": {"activeDeadlineSeconds": 99999, "ttlSecondsAfterFinished": 5}}),
        outcome(api.patch, path, {"spec": {"suspend": True, "parallelism": 0}}, fieldManager="kubectl"),
        outcome(api.patch, path, {"spec": {"suspend": False}}, fieldManager="argocd-controller"),
        outcome(api.patch, path, {"spec": {"suspend": True}}),
        outcome(api.patch, path, {"metadata": {"annotations": {"my.tasksession.dev/policy": "x"}}}),
        outcome(api.patch, path, {"metadata": {"labels": {"tasksession.devices/x": "y"}}}),
        outcome(api.patch, path, {"metadata": {"ownerReferences": [owner]}}),
        outcome(api.patch, path, {"metadata": {"finalizers": ["example.com/hold"]}}),
        outcome(api.patch, path, {"metadata": {"finalizers": None}}),
        outcome(api.request, "DELETE", path, query={"propagationPolicy": "Orphan"}),
    ]


def schedules_jobs(person: Person) -> list[Any]:
    """Write, change and suspend a CronJob with a ServiceAccount and a long grace of its own, and run it by hand."""
    api, path = person.api, person.batch("cronjobs", "nightly")
    spec = {**POD_SPEC, "serviceAccountName": "ts-foo", "terminationGracePeriodSeconds": 86400}
    template: Object = {"metadata": {"annotations": {"a": "b"}}, "spec": {"template": {"spec": spec}}}
    body = {"metadata": {"name": "nightly"}, "spec": {"schedule": "@yearly", "jobTemplate": template}}
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "1-2-3", "controller": True}
    run = {"metadata": {"name": "by-hand", "ownerReferences": [owner]}, "spec": {**template["spec"], "suspend": True}}
    return [
        outcome(api.create, person.batch("cronjobs"), body),
        outcome(api.patch, path, {"spec": {"suspend": True, "schedule": "@daily"}}),
        outcome(api.patch, path, {"metadata": {"annotations": {"c": "d"}}}),
        outcome(api.create, person.batch("jobs"), run, dryRun="All"),
        outcome(api.request, "DELETE", path),
    ]


def enters_pods(person: Person) -> list[Any]:
    """Create, label, edit, enter, evict and delete pods whose names begin like ours."""
    api, path = person.api, person.core("pods", "ts-pod")
    eviction = {"metadata": {"name": "ts-pod"}, "deleteOptions": {"gracePeriodSeconds": 86400, "dryRun": ["All"]}}
    image = {"spec": {"containers": [{"name": "task", "image": "other"}]}}
    return [
        outcome(api.create, person.core("pods"), pod("ts-pod", annotations={"tasksession.org/service-account": "x"})),
        outcome(api.patch, path, {"metadata": {"labels": {"a": "b", "timer": "x"}}}),
        outcome(api.patch, path, image, content_type="application/strategic-merge-patch+json"),
        outcome(api.patch, path, {"metadata": {"finalizers": ["example.com/hold"]}}),
        outcome(api.patch, path, {"metadata": {"finalizers": None}}),
        *(outcome(api.create, f"{path}/{how}", {}, command="sh") for how in ("exec", "attach")),
        outcome(api.create, f"{path}/portforward", {}, ports=80),
        outcome(api.get, f"{path}/proxy/"),
        outcome(api.create, f"{path}/eviction", eviction),
        outcome(api.request, "DELETE", path, body={"gracePeriodSeconds": 0}),
    ]


def has_service_accounts(person: Person) -> list[Any]:
    """Own ServiceAccounts, Secrets, Roles and tokens named ts-…, of any length and audience."""
    api, made = person.api, []
    for name in ("ts-foo", "ts-0123abcd-backend", NEARLY):
        path = person.core("serviceaccounts", name)
        secret = {"metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": name}}}
        made += [
            outcome(api.create, person.core("serviceaccounts"), {"metadata": {"name": name}}),
            outcome(api.patch, path, {"imagePullSecrets": [{"name": "x"}], "automountServiceAccountToken": False}),
            outcome(api.patch, path, {"metadata": {"annotations": {"cloud.example.com/role": "x"}}}),
            outcome(api.create, person.core("secrets"), {**secret, "type": "example.com/x"}),
            *(length(api, path, spec) for spec in ({}, {"expirationSeconds": 86400}, {"audiences": ["vault"]})),
            length(api.as_service_account(NAMESPACE, name), path, {}),
        ]
    return made


def length(api: Api, path: str, spec: Object) -> Any:
    """Return for how long and for whom a token is, never the token."""
    try:
        made = api.create(f"{path}/token", {"spec": spec})["spec"]
    except ApiError as error:
        return error.status, error.message
    audiences = made["audiences"] if "audiences" in spec else "the API server"
    return made["expirationSeconds"], audiences


def acts_as_a_service_account(person: Person) -> list[Any]:
    """Impersonate a ServiceAccount of the namespace, and write as it what it may not, and what it may."""
    bind_account = {
        "metadata": {"name": "ts-bar"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": "ts-bar", "namespace": NAMESPACE}],
    }
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings"
    bound = outcome(person.admin.create, path, bind_account)
    account = person.api.as_service_account(NAMESPACE, "ts-bar")
    body = {"metadata": {"name": "ts-bars"}, "data": {"a": "b"}}

    def written() -> Any:
        return outcome(account.create, person.core("configmaps"), body, dryRun="All")

    allowed = wait_for(
        lambda: answer if isinstance(answer := written(), dict) else None, timeout=10, what="the rights of ts-bar"
    )
    return [bound, allowed, outcome(account.create, path, bind_account)]


def serves(person: Person) -> list[Any]:
    """Own ConfigMaps and Services with names near the reserved ones."""
    api = person.api
    names = ("kube-root-ca", "kube-root-ca.crt.old", "ca.crt")
    return [
        *(outcome(api.create, person.core("configmaps"), {"metadata": {"name": name}}) for name in names),
        outcome(api.patch, person.core("configmaps", "ca.crt"), {"data": {"ca.crt": "x"}, "immutable": True}),
        outcome(
            api.create,
            person.core("services"),
            {"metadata": {"name": "kubernetes-2"}, "spec": {"type": "ExternalName", "externalName": "example.com"}},
        ),
        outcome(api.request, "DELETE", person.core("configmaps"), query={"propagationPolicy": "Orphan"}) and "deleted",
    ]


DEEDS = [edits_jobs, schedules_jobs, enters_pods, has_service_accounts, acts_as_a_service_account, serves]


@pytest.mark.parametrize("deed", DEEDS, ids=[deed.__name__ for deed in DEEDS])
def test_a_bystander_notices_nothing(people: tuple[Person, Person], deed: Callable[[Person], list[Any]]) -> None:
    """Every answer, and every refusal, is the same with the guards as without them."""
    without, guarded = (deed(person) for person in people)
    assert guarded == without
    assert any(isinstance(answer, dict) for answer in without)
