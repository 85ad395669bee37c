"""What waits, and what others write to all the time, costs few requests; and every write says whose it is."""

from __future__ import annotations

import json
import threading
import time

from tests.cluster.api import Object
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.waiting import wait_for
from tests.support.world import OPERATOR_USER, World

#: Of each waiting session in its first minute: three looks, none of them with more than a handful of questions.
_REQUESTS_A_MINUTE = 15


def requests(world: World, *names: str) -> int:
    """Count the operator's requests for these sessions' sake: all but those of the watch, the sweep and the Lease."""
    found = 0
    for line in world.cluster.audit_log.read_text().splitlines():
        entry = json.loads(line)
        if entry["user"]["username"] != OPERATOR_USER or entry.get("stage") != "ResponseComplete":
            continue
        resource = (entry.get("objectRef") or {}).get("resource", "")
        found += resource in ("subjectaccessreviews", "selfsubjectrulesreviews") or (
            (entry.get("objectRef") or {}).get("name") in names and entry["verb"] == "get"
        )
    return found


def test_a_session_that_waits_for_its_job_asks_nothing_again(world: World, operator: OperatorProcess) -> None:
    """Twenty sessions without their Jobs, changed all the time by a neighbour: one review each, and none after that."""
    names = [f"waiting-{number}" for number in range(20)]
    for name in names:
        world.request(name, task={"job": {"name": f"{name}-job"}})
    for name in names:
        world.wait_reason(name, "JobNotFound", timeout=30)
    before, until = requests(world, world.namespace, world.policy), time.monotonic() + 6
    number = 0
    while time.monotonic() < until:
        number += 1
        world.jane.patch(f"{world.sessions}/{names[number % 20]}", {"metadata": {"labels": {"n": str(number)}}})
    assert number > 20
    assert requests(world, world.namespace, world.policy) - before <= 2


def test_a_session_that_is_changed_all_the_time_is_granted_within_bounds(
    world: World, operator: OperatorProcess
) -> None:
    """Somebody writes to it as fast as they can: it comes to its grant, and costs no hundred steps a round."""
    world.request("triage", task={"job": {"name": "work"}})
    world.wait_reason("triage", "JobNotFound")
    stop = threading.Event()

    def meddle() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            world.jane.patch(f"{world.sessions}/triage", {"metadata": {"labels": {"n": str(number)}}})

    meddlers = [threading.Thread(target=meddle) for _ in range(2)]
    for meddler in meddlers:
        meddler.start()
    try:
        marks = {"tasksession.dev/session": "triage"}
        job = {"metadata": {"name": "work", "annotations": marks}, "spec": world.job_spec()}
        world.jane.create(world.path("Job"), job)
        world.wait_state("triage", "Active", timeout=60)
    finally:
        stop.set()
        for meddler in meddlers:
            meddler.join()
    assert "Unsettled" not in operator.log.read_text()
    attempts = len(operator.lines("a session is changed by somebody all the time, and is left alone for a while"))
    # The four children are created once, and asked for again in each later attempt.
    assert len(world.writes()) <= 12 + 8 * attempts, world.writes()


def test_an_unknown_field_of_a_job_template_is_named(world: World, operator: OperatorProcess) -> None:
    """What the API server would drop without a word denies the session, and the message says which field it is."""
    world.request("typo", task={"jobTemplate": {"spec": world.job_spec(backofLimit=3)}})
    assert world.wait_state("typo", "Denied")["endReason"] == "InvalidJob"
    assert 'unknown field "spec.backofLimit"' in world.ready("typo")["message"]
    assert not world.exists("Job", "typo")
    assert world.all_children() == {}


def test_every_object_names_the_operator_as_its_field_manager(world: World, operator: OperatorProcess) -> None:
    """managedFields say who wrote: the operator under one name, whatever library and version it is built on."""
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["triage"], "verbs": ["get"]}]
    world.request("triage", access={"roles": [{"kind": "ClusterRole", "name": "view"}], "rules": rules})
    identity = world.wait_state("triage", "Active")["serviceAccountName"]
    ours = {"component": "tasksession-operator"}

    def events() -> list[Object]:
        return [event for event in world.admin.list(world.path("Event")) if event.get("source") == ours]

    children = [world.admin.get(world.path(kind, identity)) for kind in ("ServiceAccount", "Role", "RoleBinding")]
    for item in (*children, *wait_for(events, timeout=10, what="the operator's Event")):
        assert _managers(item) == {("tasksession-operator", "")}
    for name in (identity, "triage"):
        assert ("tasksession-operator", "") in _managers(world.admin.get(world.path("Job", name)))
    assert ("tasksession-operator", "status") in _managers(world.session("triage"))


def _managers(item: Object) -> set[tuple[str, str]]:
    return {(entry["manager"], entry.get("subresource", "")) for entry in item["metadata"]["managedFields"]}
