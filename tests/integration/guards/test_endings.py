"""How sessions end with no operator at all: Kubernetes' own controllers are let through by every guard."""

from collections.abc import Callable

import pytest

from tests.cluster import Cluster, wait_for
from tests.support.scene import LiveSession, Scene


def wait_until_gone(live: LiveSession, *, timeout: float = 20) -> None:
    """Wait until bindings, Role, identity and timer are gone."""
    api = live.scene.admin
    wait_for(lambda: not [path for path in live.rights() if api.find(path)], timeout=timeout, what="all to be gone")


ENDINGS: dict[str, Callable[[LiveSession], object]] = {
    "session": lambda live: live.scene.alice.delete(live.scene.sessions("ending"), propagation=None),
    "job": lambda live: live.scene.bob.delete(live.scene.batch("jobs", "ending")),
    "job-foreground": lambda live: live.scene.bob.delete(live.scene.batch("jobs", "ending"), propagation="Foreground"),
    "timer": lambda live: live.scene.bob.delete(live.scene.batch("jobs", live.identity.name)),
    "namespace": lambda live: live.scene.admin.delete(f"/api/v1/namespaces/{live.scene.namespace}"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_deleting_any_link_takes_what_hangs_on_it(guarded_cluster: Cluster, ending: str) -> None:
    """TaskSession, Job, timer or namespace deleted, by whoever may: garbage collection takes rights and identity."""
    live = LiveSession.start(Scene.make(guarded_cluster), "ending")
    ENDINGS[ending](live)
    wait_until_gone(live)


def test_the_timer_ends_the_session_at_its_deadline(guarded_cluster: Cluster) -> None:
    """With the Job still running and its pod stuck, rights and identity go at the deadline; the Job fails by it."""
    live = LiveSession.start(Scene.make(guarded_cluster), "lapsing", seconds=4)
    api, job = live.scene.admin, live.scene.batch("jobs", "lapsing")
    assert all(api.find(path) for path in live.rights())
    wait_until_gone(live, timeout=15)

    def reasons() -> set[str]:
        conditions = api.get(job)["status"].get("conditions", [])
        return {each["reason"] for each in conditions if each["type"] in ("FailureTarget", "Failed")}

    assert wait_for(reasons, timeout=10, what="the Job to fail") == {"DeadlineExceeded"}
