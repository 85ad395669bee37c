"""Annotated Jobs that are held: what their author reads, and what a CronJob makes of a run that never starts."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.api import Object
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.person import Person
from tests.cluster.waiting import wait_for
from tests.support.world import World

README = Path(__file__).resolve().parents[3] / "README.md"


@pytest.fixture
def jane(world: World) -> Iterator[Person]:
    """Return Jane with kubectl; the policy's defaults are what her Jobs get."""
    set_policy(world)
    person = Person(world.cluster, "jane")
    yield person
    person.api.close()


def set_policy(world: World) -> None:
    """Write the policy with defaults."""
    world.set_policy(defaults={"ttl": "5m", "access": {"roles": [{"kind": "ClusterRole", "name": "view"}]}})


def apply(person: Person, body: Object) -> None:
    """Apply a manifest as a person."""
    person.kubectl("apply", "-f", "-", given=json.dumps(body))


def wait_session(world: World, name: str, state: str) -> None:
    """Wait until a Job's session exists and is in a state."""
    wait_for(lambda: world.admin.find(f"{world.sessions}/{name}"), timeout=20, what=f"the session of {name}")
    world.wait_state(name, state)


def described(person: Person, world: World, name: str, words: str) -> str:
    """Wait until `kubectl describe job` shows these words; return all that it printed, in one line."""

    def probe() -> str | None:
        text = " ".join(person.kubectl("describe", "job", "-n", world.namespace, name).split())
        return text if words in text else None

    return wait_for(probe, timeout=20, what=f"{words!r} in kubectl describe job {name}", interval=0.3)


def test_describe_tells_what_a_job_waits_for(world: World, operator: OperatorProcess, jane: Person) -> None:
    """`kubectl describe job` of a Job whose policy is not there says to create it, and later that it was granted."""
    world.admin.delete(f"/apis/tasksession.dev/v1alpha1/sessionpolicies/{world.policy}")
    metadata = {"name": "early", "namespace": world.namespace, "annotations": {"tasksession.dev/policy": world.policy}}
    apply(jane, {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": world.job_spec()})
    text = described(jane, world, "early", f"SessionPolicy {world.policy} does not exist: create it")
    assert "Warning PolicyNotFound" in text
    assert "Suspend: true" in text
    set_policy(world)
    wait_session(world, "early", "Active")
    assert "Normal Granted" in described(jane, world, "early", "The rights are live until")


def test_describe_tells_what_the_readme_shows(world: World, operator: OperatorProcess, jane: Person) -> None:
    """The Event of the README is the one that `kubectl describe job` shows of a Job that asks for too long."""
    [shown] = [line for line in README.read_text().splitlines() if line.startswith("  Warning  Denied")]
    _, _, sentence = shown.partition("tasksession-operator")
    annotations = {"tasksession.dev/policy": world.policy, "tasksession.dev/ttl": "1h"}
    metadata = {"name": "long", "namespace": world.namespace, "annotations": annotations}
    apply(jane, {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": world.job_spec()})
    words = f"tasksession-operator {sentence.strip().replace('nightly-report', world.policy)}"
    text = described(jane, world, "long", words)
    assert "Warning Denied" in text
    assert "Suspend: true" in text


def test_a_denied_run_keeps_a_cronjob_waiting(world: World, operator: OperatorProcess, jane: Person) -> None:
    """A run that never started counts as active: with Forbid it has to be deleted before there is another one."""
    asked = {"tasksession.dev/policy": world.policy, "tasksession.dev/ttl": "1h"}
    body: Object = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "batch", "namespace": world.namespace},
        "spec": {
            # Nobody has to wait for the next minute. The runs of one minute have the same name.
            "schedule": "@every 2s",
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"metadata": {"annotations": asked}, "spec": world.job_spec()},
        },
    }
    apply(jane, body)
    path = f"/apis/batch/v1/namespaces/{world.namespace}/cronjobs/batch"

    def active_runs() -> list[Object]:
        found: list[Object] = world.admin.get(path)["status"].get("active", [])
        return found

    [first] = wait_for(active_runs, timeout=20, what="a run")
    wait_session(world, first["name"], "Denied")
    assert [run["uid"] for run in active_runs()] == [first["uid"]]
    asked["tasksession.dev/ttl"] = "5m"
    apply(jane, body)
    jane.kubectl("delete", "job", "-n", world.namespace, first["name"], "--wait=true", "--timeout=30s")

    def another() -> Object | None:
        return next((run for run in active_runs() if run["uid"] != first["uid"]), None)

    second = wait_for(another, timeout=75, what="another run")
    wait_for(
        lambda: world.admin.get(world.path("Job", second["name"]))["metadata"]["uid"] == second["uid"],
        timeout=5, what="the other run",
    )  # fmt: skip

    def its_own() -> bool:
        found = world.admin.find(f"{world.sessions}/{second['name']}")
        return found is not None and found["metadata"]["ownerReferences"][0]["uid"] == second["uid"]

    wait_for(its_own, timeout=20, what="the other run's session")
    wait_session(world, second["name"], "Active")
