"""Lives of a session, from request to tombstone: what the people and the kubelet do, and how it is to end.

A life is driven through a lane; whatever plan is armed there, the life is the same. Its reference is a run without any.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tasksession.api import names
from tests.cluster.api import Object
from tests.support.lane import Lane

NAME = "life"
#: A token is good for the API server's cache of 10 s longer, and without the operator for the timer's work.
_LATEST = 13.0
ACCESS: Object = {
    "roles": [{"kind": "ClusterRole", "name": "view"}],
    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["triage"], "verbs": ["get", "patch"]}],
}


@dataclass(frozen=True, slots=True)
class Life:
    """`title` for tables; `begin` requests the session, `finish` ends it, given its state at that moment."""

    title: str
    begin: Callable[[Lane], None]
    finish: Callable[[Lane], None]
    ends_as: str


def _request(lane: Lane, **spec: Any) -> None:
    lane.world.request(NAME, access=ACCESS, **spec)


def _revoke(lane: Lane) -> None:
    lane.world.revoke(NAME)


def _complete(lane: Lane) -> None:
    lane.world.finish_pod(NAME)


def annotate(lane: Lane, *, ttl: str = "20s") -> None:
    """Create an annotated Job as its requester does."""
    world = lane.world
    asked = {"policy": world.policy, "ttl": ttl, "reason": "CHG-1", "access": json.dumps(ACCESS)}
    annotations = {f"{names.GROUP}/{key}": value for key, value in asked.items()}
    world.jane.create(
        world.path("Job"), {"metadata": {"name": NAME, "annotations": annotations}, "spec": world.job_spec()}
    )


COMPLETING = Life("jobTemplate, completing", _request, _complete, "Completed")
REVOKED = Life("jobTemplate, revoked", _request, _revoke, "Revoked")
EXPIRING = Life("annotated Job, expiring", annotate, lambda _: None, "Expired")
LIVES = (COMPLETING, REVOKED, EXPIRING)


def begin_short(lane: Lane, life: Life, ttl: str = "15s") -> None:
    """Begin a life whose deadline comes soon, whatever it would have been."""
    if life is EXPIRING:
        annotate(lane, ttl=ttl)
    else:
        _request(lane, ttl=ttl)


def live(lane: Lane, life: Life) -> None:
    """Take one session through a life, until nothing of it but the tombstone and its Job is left.

    Raises TimeoutError where it does not come to its end, AssertionError where it comes to another.
    """
    world = lane.world
    life.begin(lane)

    def state() -> str:
        found: str = world.status(NAME)["state"]
        assert found in ("Pending", "Active", life.ends_as), f"{NAME} is {found}: {world.ready(NAME)['message']}"
        return found

    lane.wait(lambda: state() == "Active", what="the session to be granted")
    identity = world.status(NAME)["serviceAccountName"]
    token = lane.token(NAME, identity)
    lane.wait(lambda: lane.accepted(token), what="the token to be accepted", timeout=10)
    life.finish(lane)
    # 10 s are the API server's cache of tokens, the rest is for an operator that has to start again.
    lane.wait(lambda: not lane.accepted(token), what="the token to be refused (S2)", timeout=50)
    late = time.time() - datetime.fromisoformat(world.status(NAME)["deadline"]).timestamp()
    assert late < _LATEST, f"S2: the token was accepted {late:.1f} s after the deadline"
    lane.wait(lambda: state() == life.ends_as, what=f"the session to be {life.ends_as}")
    lane.wait(lambda: not world.all_children(), what="nothing of the session to be left (L2)", interval=0.5)
