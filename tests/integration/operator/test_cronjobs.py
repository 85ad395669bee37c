"""CronJobs with the annotation: each run is a session of its own, and between the runs there is no access.

Two minutes of real runs are watched once, for all of these tests: several CronJobs side by side in one namespace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import Api, Cluster
from tests.cluster.api import Object
from tests.cluster.rights import wait_until_holds
from tests.cluster.waiting import wait_for
from tests.integration.operator.pod_token import is_refused, session_client
from tests.support.world import World

_EDIT = [{"apiGroups": ["batch"], "resources": ["cronjobs"], "verbs": ["patch"]}]


class Minutes:
    """What two minutes of CronJobs have shown."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.first: Object = {}
        self.second: Object = {}
        self.first_jobs: dict[str, Object] = {}
        self.first_refused_before_second = False
        self.first_still_refused = False

    def jobs(self, name: str) -> list[Object]:
        """The Jobs of a CronJob that exist, oldest first."""
        found = [
            item
            for item in self.world.admin.list(self.world.path("Job"))
            if any(o["kind"] == "CronJob" and o["name"] == name for o in item["metadata"].get("ownerReferences", []))
        ]
        return sorted(found, key=lambda item: str(item["metadata"]["name"]))

    def wait_run(self, name: str, number: int) -> Object:
        """Wait for the n-th Job of a CronJob that exists."""

        def probe() -> Object | None:
            jobs = self.jobs(name)
            return jobs[number - 1] if len(jobs) >= number else None

        return wait_for(probe, timeout=90, what=f"run {number} of {name}", interval=0.5)

    def wait_session(self, job: Object, *states: str) -> Object:
        """Wait until the session of a run is in one of these states; returns the TaskSession."""
        name = job["metadata"]["name"]
        path = f"{self.world.sessions}/{name}"
        wait_for(lambda: self.world.admin.find(path), timeout=20, what=f"the session of {name}")
        self.world.wait_state(name, *states, timeout=30)
        return self.world.session(name)


def cronjob(world: World, name: str, *, by: Api, **spec: Any) -> None:
    """Create a CronJob that runs each minute, with the annotation in its jobTemplate."""
    asked = {"policy": world.policy, "ttl": "5m", "access": "roles: [{kind: ClusterRole, name: view}]"}
    template = {
        "metadata": {"annotations": {f"tasksession.dev/{key}": value for key, value in asked.items()}},
        "spec": world.job_spec(),
    }
    body = {"metadata": {"name": name}, "spec": {"schedule": "* * * * *", "jobTemplate": template, **spec}}
    by.create(f"/apis/batch/v1/namespaces/{world.namespace}/cronjobs", body)


def somebody(world: World, name: str) -> Api:
    """Return somebody who works in the namespace and may use the policy."""
    for role, kind in (("edit", "ClusterRole"), ("use-policy", "Role")):
        world.admin.apply(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": f"{name}-{role}"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
            },
            namespace=world.namespace,
        )
    person = world.admin.as_user(name, groups=["system:authenticated"])
    use = {"apiGroups": ["tasksession.dev"], "resources": ["sessionpolicies"], "verbs": ["use"]}
    wait_until_holds(person, world.namespace, [*_EDIT, {**use, "resourceNames": [world.policy]}])
    return person


@pytest.fixture(scope="module")
def minutes(operator_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minutes]:
    """Return two minutes with CronJobs of all concurrency policies, one edited in between, one whose author left."""
    world = World(operator_cluster)
    robin, carl = somebody(world, "robin"), somebody(world, "carl")
    seen = Minutes(world)
    with world.operator(tmp_path_factory.mktemp("cronjobs")) as process:
        cronjob(world, "batch", by=world.jane)
        cronjob(world, "left", by=carl)
        for policy in ("Allow", "Forbid", "Replace"):
            cronjob(world, policy.lower(), by=world.jane, concurrencyPolicy=policy)
        world.admin.delete(world.path("RoleBinding", "carl-use-policy"))
        _first_minute(seen, robin)
        seen.second = seen.wait_session(seen.wait_run("batch", 2), "Active")
        first_client = seen.first["client"]
        seen.first_still_refused = is_refused(first_client, seen.first["path"])
        yield seen
        assert "Traceback" not in process.log.read_text(), process.tail(60)
    world.close()


def _first_minute(seen: Minutes, robin: Api) -> None:
    """The first run of `batch` works and ends; then somebody else edits the CronJob."""
    world = seen.world
    session = seen.wait_session(seen.wait_run("batch", 1), "Active")
    name = session["metadata"]["name"]
    client = session_client(world, world.pod_of(name))
    path = f"/api/v1/namespaces/{world.namespace}/configmaps/kube-root-ca.crt"
    wait_for(lambda: not is_refused(client, path), timeout=10, what="the first run's token to be accepted")
    robin.patch(
        f"/apis/batch/v1/namespaces/{world.namespace}/cronjobs/batch", {"spec": {"startingDeadlineSeconds": 100}}
    )
    world.finish_pod(name)
    world.wait_state(name, "Completed")
    wait_for(lambda: is_refused(client, path), timeout=5, what="the first run's token to be refused")
    seen.first_jobs = {policy: seen.wait_run(policy, 1) for policy in ("allow", "forbid", "replace")}
    for job in seen.first_jobs.values():
        seen.wait_session(job, "Active")
    seen.first_refused_before_second = len(seen.jobs("batch")) == 1
    seen.first = {**session, "client": client, "path": path}


@pytest.mark.timeout(400)
def test_each_run_is_a_session_of_its_own(minutes: Minutes) -> None:
    """Two runs, two identities; the first one's token is refused before the second starts, and stays refused."""
    first = minutes.first["status"]["serviceAccountName"]
    second = minutes.second["status"]["serviceAccountName"]
    assert first != second
    assert minutes.first_refused_before_second
    assert minutes.first_still_refused
    assert minutes.world.has_rights(second)


@pytest.mark.timeout(400)
def test_whoever_edited_the_cronjob_asks_for_its_next_runs(minutes: Minutes) -> None:
    """The first run was asked for by its author, the second by who changed the CronJob in between."""
    assert minutes.first["spec"]["requester"]["username"] == "jane"
    assert minutes.second["spec"]["requester"]["username"] == "robin"


@pytest.mark.timeout(400)
def test_a_run_of_somebody_who_left_is_denied(minutes: Minutes) -> None:
    """The author of the CronJob lost `use`: its runs stay suspended, and say so."""
    world = minutes.world
    job = minutes.wait_run("left", 1)
    session = minutes.wait_session(job, "Denied")
    assert "carl may not use SessionPolicy" in world.ready(session["metadata"]["name"])["message"]
    assert world.admin.get(world.path("Job", job["metadata"]["name"]))["spec"]["suspend"] is True
    wait_for(
        lambda: [
            event
            for event in world.admin.list(world.path("Event"))
            if event["involvedObject"]["uid"] == job["metadata"]["uid"] and event["reason"] == "Denied"
        ],
        timeout=10,
        what="the Event on the Job",
    )


@pytest.mark.timeout(400)
def test_runs_that_may_overlap_have_identities_apart(minutes: Minutes) -> None:
    """concurrencyPolicy Allow: two runs at once, two sessions at once."""
    sessions = [minutes.wait_session(minutes.wait_run("allow", number), "Active") for number in (1, 2)]
    names = {session["status"]["serviceAccountName"] for session in sessions}
    assert len(names) == 2
    assert all(minutes.world.has_rights(name) for name in names)


@pytest.mark.timeout(400)
def test_a_run_that_must_not_overlap_is_not_started(minutes: Minutes) -> None:
    """concurrencyPolicy Forbid: while a run's session lives there is no second one."""
    world, first = minutes.world, minutes.first_jobs["forbid"]["metadata"]

    def kept_from_running() -> bool:
        events = world.admin.list(world.path("Event"), fieldSelector="reason=JobAlreadyActive")
        return any(event["involvedObject"]["name"] == "forbid" for event in events)

    wait_for(kept_from_running, timeout=70, what="a run to be left out")
    [job] = minutes.jobs("forbid")
    assert job["metadata"]["uid"] == first["uid"]
    assert minutes.wait_session(job, "Active")["status"]["state"] == "Active"


@pytest.mark.timeout(400)
def test_a_run_that_is_replaced_loses_its_rights(minutes: Minutes) -> None:
    """concurrencyPolicy Replace: the CronJob controller deletes the first run; identity and rights go with it."""
    world, first = minutes.world, minutes.first_jobs["replace"]["metadata"]

    def only_the_second() -> Object | None:
        jobs = minutes.jobs("replace")
        return jobs[0] if len(jobs) == 1 and jobs[0]["metadata"]["uid"] != first["uid"] else None

    second = wait_for(only_the_second, timeout=30, what="the second run alone")
    session = minutes.wait_session(second, "Active")
    assert world.has_rights(session["status"]["serviceAccountName"])
    wait_for(
        lambda: world.admin.find(f"{world.sessions}/{first['name']}") is None,
        timeout=10,
        what="the first session to go",
    )
    assert session["status"]["serviceAccountName"] in set(world.children("ServiceAccount"))
