"""The test cluster itself: what its client says and shows, and that nothing of it is left behind."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.cluster import Api, ApiError, Cluster, ClusterError, ExistingCluster, chosen_context, wait_for
from tests.cluster import state as records
from tests.cluster.cluster import end_stale

pytestmark = pytest.mark.skipif(bool(chosen_context()), reason="about clusters that the tests start themselves")


def test_the_control_plane_serves_only_on_loopback(cluster: Cluster, admin: Api) -> None:
    """The API server answers on 127.0.0.1, in the version that was asked for."""
    assert cluster.url.startswith("https://127.0.0.1:")
    assert admin.get("/version")["gitVersion"] == f"v{cluster.kubernetes}"


def test_an_error_carries_status_reason_and_message(admin: Api, namespace: str) -> None:
    """What the API server refuses is raised with the words it used."""
    with pytest.raises(ApiError, match=r'404 NotFound: configmaps "missing" not found') as caught:
        admin.get(f"/api/v1/namespaces/{namespace}/configmaps/missing")
    assert caught.value.status == 404
    assert admin.find(f"/api/v1/namespaces/{namespace}/configmaps/missing") is None


def test_an_impersonated_user_has_only_its_own_rights(admin: Api, namespace: str) -> None:
    """A client made by `as_user` is refused what that user may not do."""
    bob = admin.as_user("bob", groups=["developers"])
    me = bob.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})["status"]["userInfo"]
    assert me["username"] == "bob"
    assert me["groups"] == ["developers", "system:authenticated"]
    with pytest.raises(ApiError, match="403 Forbidden"):
        bob.list(f"/api/v1/namespaces/{namespace}/secrets")


def test_a_token_is_shown_without_the_certificate(admin: Api, namespace: str) -> None:
    """A client made by `with_token` is the token's identity, not the administrator; a bad token is a 401."""
    account = admin.wait(lambda api: api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default"))
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account['metadata']['name']}/token"
    token = admin.create(path, {"spec": {"expirationSeconds": 600}})["status"]["token"]
    me = admin.with_token(token).create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert me["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:default"
    with pytest.raises(ApiError, match="401 Unauthorized"):
        admin.with_token("x").get("/api")


def test_a_client_certificate_makes_a_user(cluster: Cluster) -> None:
    """A kubeconfig can be had for any user and groups, a node's for example."""
    path = cluster.issue_client_certificate("system:node:somewhere", ["system:nodes"])
    node = Api.from_kubeconfig(path)
    me = node.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})["status"]["userInfo"]
    node.close()
    assert (me["username"], me["groups"]) == ("system:node:somewhere", ["system:nodes", "system:authenticated"])


def test_apply_takes_several_kinds_and_places_them(admin: Api, namespace: str) -> None:
    """YAML of several kinds is applied in order, in the namespace given where it names none; twice changes nothing."""
    text = """
    {apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {key: value}}
    ---
    {apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: two}, rules: []}
    """
    first = admin.apply(text, namespace=namespace)
    assert [each["kind"] for each in first] == ["ConfigMap", "Role"]
    assert [each["metadata"]["namespace"] for each in first] == [namespace, namespace]
    again = admin.apply(text, namespace=namespace)
    assert [each["metadata"]["resourceVersion"] for each in again] == [
        each["metadata"]["resourceVersion"] for each in first
    ]


def test_watch_yields_events_as_they_happen_and_ends(admin: Api, namespace: str) -> None:
    """A watch shows each change with the moment of its arrival, and ends at its time-out."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    version = admin.get(path)["metadata"]["resourceVersion"]
    events = admin.watch(path, timeout=5, resourceVersion=version, fieldSelector="metadata.name=seen")
    admin.create(path, {"metadata": {"name": "seen"}})
    event = next(events)
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "seen")
    assert time.monotonic() - event["received"] < 1
    events.close()  # type: ignore[attr-defined]  # a generator, though callers need not know
    # Of that object alone: the controller manager publishes its authority in each new namespace when it comes to it.
    version = event["object"]["metadata"]["resourceVersion"]
    assert list(admin.watch(path, timeout=1, resourceVersion=version, fieldSelector="metadata.name=seen")) == []


def test_the_audit_log_counts_writes(cluster: Cluster, admin: Api, namespace: str) -> None:
    """Each write is one line of the audit log, with who did what: this is how the operator's writes are counted."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    admin.create(path, {"metadata": {"name": "counted"}})
    admin.delete(f"{path}/counted")

    def verbs() -> list[str]:
        events = [json.loads(line) for line in cluster.audit_log.read_text().splitlines()]
        mine = [e for e in events if e.get("objectRef", {}).get("namespace") == namespace]
        return [
            e["verb"] for e in mine if e["user"]["username"] == "kubernetes-admin" and "configmaps" in e["requestURI"]
        ]

    assert wait_for(lambda: len(verbs()) >= 2, timeout=5, what="both writes in the audit log")
    assert verbs() == ["create", "delete"]


def test_two_clusters_run_at_once_and_leave_nothing(cluster: Cluster) -> None:
    """A second cluster has ports of its own; after `down` its processes and folder are gone, the first's not."""
    with Cluster(f"second-{os.getpid()}") as second:
        assert second.url != cluster.url
        assert second.api.get("/healthz") == {"text": "ok"}
        processes = list(records.read(second.name).processes.values())  # type: ignore[union-attr]
        assert len(processes) == 3
        second.restart("kube-apiserver")
        assert second.api.get("/healthz") == {"text": "ok"}
    assert not any(each.alive for each in processes)
    assert not second.folder.exists()
    assert cluster.api.get("/healthz") == {"text": "ok"}


def test_a_killed_run_is_cleaned_up_by_the_next(cluster: Cluster) -> None:
    """When a run is killed before it can end its cluster, the next one ends it by the recorded pids."""
    name = f"killed-{os.getpid()}"
    script = f"from tests.cluster import Cluster; import sys; Cluster({name!r}).up(); print('up', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"up\n"
        run.send_signal(signal.SIGKILL)
    recorded = records.read(name)
    assert recorded is not None
    processes = list(recorded.processes.values())
    assert all(each.alive for each in processes)
    assert name in end_stale()
    assert not any(each.alive for each in processes)
    assert not recorded.folder.exists()
    assert cluster.api.get("/healthz") == {"text": "ok"}


def test_a_cluster_of_yours_is_used_by_its_context(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named context gives the same interface to a cluster that runs already, and leaves it running."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    with ExistingCluster("test") as existing:
        assert existing.url == cluster.url
        assert existing.kubernetes == cluster.kubernetes
        node = Api.from_kubeconfig(existing.issue_client_certificate("system:node:far", ["system:nodes"]))
        me = node.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})["status"]["userInfo"]
        node.close()
        assert me["username"] == "system:node:far"
        with pytest.raises(ClusterError, match="the audit log of test cannot be read from here"):
            _ = existing.audit_log
    assert not existing.folder.exists()
    assert cluster.api.get("/healthz") == {"text": "ok"}


def test_an_unknown_context_is_refused_in_words(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A context that is not there is an error which names it, and never another cluster."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    with pytest.raises(ClusterError, match="there is no context nowhere"):
        ExistingCluster("nowhere").up()
