"""What the guards cost everybody else: an ordinary pod and an ordinary ConfigMap, created with and without them."""

import gc
import statistics
import time
import uuid
from collections.abc import Callable

import pytest

from tests.cluster import Api, Cluster, wait_for
from tests.cluster.api import Object
from tests.support.measured import PROPERTY
from tests.support.scene import POD_SPEC

CREATIONS = 200
#: What an ordinary create may be slower by, whichever is more.
SHARE = 0.05
MILLISECONDS = 1.0
#: Other work on the machine only ever adds to what is measured, so one round within the limit is enough.
ROUNDS = 4


class Bystander:
    """Somebody who has nothing to do with sessions, on a control plane with or without guards."""

    def __init__(self, api: Api) -> None:
        self.api = api
        made = api.create("/api/v1/namespaces", {"metadata": {"generateName": "bystander-"}})
        self.namespace: str = made["metadata"]["name"]
        path = self.path("serviceaccounts", "default")
        wait_for(lambda: api.find(path), timeout=10, what="the default ServiceAccount")
        self.milliseconds: list[float] = []

    def path(self, *rest: str) -> str:
        """Return a path in the namespace."""
        return "/".join([f"/api/v1/namespaces/{self.namespace}", *rest])

    def create(self, resource: str, body: Object) -> None:
        """Create an object under a name of its own, note how long that took, and delete it again."""
        name = f"ordinary-{uuid.uuid4().hex}"
        path, named = self.path(resource), {**body, "metadata": {"name": name}}
        begin = time.perf_counter()
        self.api.create(path, named)
        self.milliseconds.append((time.perf_counter() - begin) * 1000)
        self.api.request("DELETE", self.path(resource, name), body={"gracePeriodSeconds": 0})

    def median(self) -> float:
        """Return the median of what was noted since the last call."""
        noted, self.milliseconds = self.milliseconds, []
        return statistics.median(noted)


@pytest.fixture
def measure(guarded_cluster: Cluster, cluster: Cluster) -> Callable[[str, Object], tuple[float, float]]:
    """Return what measures the creation of an object without and with guards, in milliseconds.

    The two take turns, and the one that goes first changes, so that what else the machine does meets both alike.
    """
    without, guarded = Bystander(cluster.api), Bystander(guarded_cluster.api)

    def medians(resource: str, body: Object) -> tuple[float, float]:
        for _ in range(20):
            without.create(resource, body)
            guarded.create(resource, body)
        without.median(), guarded.median()
        gc.collect()
        for turn in range(CREATIONS):
            for each in (without, guarded) if turn % 2 else (guarded, without):
                each.create(resource, body)
        return without.median(), guarded.median()

    return medians


pytestmark = pytest.mark.timed

# No scheduler looks at this pod.
POD: Object = {"spec": {**POD_SPEC, "schedulerName": "nobody"}}
ORDINARY: list[tuple[str, Object]] = [("pods", POD), ("configmaps", {"data": {"a": "b"}})]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("resource", "body"), ORDINARY, ids=["pod", "configmap"])
def test_ordinary_creations_are_not_slowed(
    measure: Callable[[str, Object], tuple[float, float]],
    record_property: Callable[[str, object], None],
    resource: str,
    body: Object,
) -> None:
    """The median of 200 is longer by 5 % or by 1 ms at most, whichever is more; the figures are printed."""
    for _ in range(ROUNDS):
        without, guarded = measure(resource, body)
        added = guarded - without
        record_property(
            PROPERTY,
            f"create {resource}: {without:.2f} ms without guards, {guarded:.2f} ms with them, "
            f"{added:+.2f} ms ({added / without:+.1%}), medians of {CREATIONS} alternating",
        )
        if added <= max(SHARE * without, MILLISECONDS):
            return
    raise AssertionError(f"creating {resource} is slower by {added:.2f} ms with the guards, in each of {ROUNDS} rounds")
