"""Uninstalling ends every session: `helm uninstall` takes the definitions, and with them all that sessions own."""

import json
import os
from collections.abc import Iterator

import pytest

from tests.cluster import Cluster, wait_for
from tests.cluster.installation import CHART, NAMESPACE, RELEASE, helm, wait_until_guarded
from tests.support.scene import LiveSession, Scene
from tests.support.world import CEILING


@pytest.fixture
def plane() -> Iterator[Cluster]:
    """Return a control plane of the test's own: uninstalling would take the guards from under other tests."""
    with Cluster(f"uninstall-{os.getpid()}") as cluster:
        yield cluster


def test_uninstalling_ends_every_session(plane: Cluster) -> None:
    """With a session live and no operator running, `helm uninstall` leaves no rights, identity, timer or Job."""
    values = json.dumps({"operator": {"create": False}, "ceiling": CEILING})
    helm(plane, "install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace", "-f", "-", given=values)
    api = plane.api
    wait_until_guarded(api)
    scene = Scene.make(plane)
    live = LiveSession.start(scene)
    name = live.identity.name
    left = [
        scene.rbac("rolebindings", name),
        scene.rbac("rolebindings", f"{name}-0"),
        scene.rbac("roles", name),
        scene.core("serviceaccounts", name),
        scene.batch("jobs", name),
        scene.batch("jobs", "deploy-1"),
    ]
    assert all(api.find(path) for path in left)
    helm(plane, "uninstall", RELEASE, "--namespace", NAMESPACE)
    wait_for(
        lambda: not [path for path in left if api.find(path)],
        timeout=60,
        what="all that the session consisted of to be gone",
    )
    for kind in ("validatingadmissionpolicies", "mutatingadmissionpolicies"):
        assert api.list(f"/apis/admissionregistration.k8s.io/v1/{kind}", labelSelector="tasksession.dev/guard") == []
    definitions = api.list("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    assert [each["metadata"]["name"] for each in definitions if "tasksession" in each["metadata"]["name"]] == []
