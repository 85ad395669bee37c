"""The examples, applied with kubectl as their readers would: by the administrator, then by Jane, on a real node."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import Cluster
from tests.cluster.api import Object
from tests.cluster.image import TASK_IMAGE
from tests.cluster.installation import kubectl
from tests.cluster.operator_process import OperatorProcess, operator_kubeconfig
from tests.cluster.person import Person
from tests.cluster.waiting import wait_for

pytestmark = pytest.mark.node

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMESPACES = {
    "annotated-job": "reports",
    "cronjob-batch": "billing",
    "jobtemplate": "releases",
    "joined-job": "migrations",
}


@pytest.fixture(scope="module")
def examples_operator(guarded_node: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """Return an operator for the examples' namespaces."""
    folder = tmp_path_factory.mktemp("examples")
    kubeconfig = operator_kubeconfig(guarded_node.api, folder / "kubeconfig")
    with OperatorProcess(kubeconfig=kubeconfig, folder=folder, namespaces=list(NAMESPACES.values())) as process:
        yield process
    assert "Traceback" not in process.log.read_text(), process.tail(60)


@pytest.fixture(scope="module")
def jane(guarded_node: Cluster) -> Person:
    """Return Jane, with a certificate of her own."""
    return Person(guarded_node, "jane", groups=["support"])


class Example:
    """One folder of examples, with the images that this node has."""

    def __init__(self, cluster: Cluster, folder: str) -> None:
        self.cluster = cluster
        self.namespace = NAMESPACES[folder]
        self._folder = EXAMPLES / folder
        kubectl(cluster, "apply", "-f", str(self._folder / "1-policy.yaml"))

    def manifest(self, file: str) -> str:
        """Return a file's objects, as they are but for the image and the grace, which is shorter here."""
        objects = list(yaml.safe_load_all((self._folder / file).read_text()))
        for each in objects:
            for pod in _pods(each):
                pod["terminationGracePeriodSeconds"] = 2
                for container in pod["containers"]:
                    assert container["image"].startswith("alpine/k8s:1.")
                    container.update(image=TASK_IMAGE, imagePullPolicy="Never")
        return yaml.safe_dump_all(objects)

    def session(self, name: str, state: str) -> Object:
        """Wait until a session is in a state."""
        path = f"/apis/tasksession.dev/v1alpha1/namespaces/{self.namespace}/tasksessions/{name}"

        def reached() -> Object | None:
            found = self.cluster.api.find(path)
            return found if found and found["status"]["state"] == state else None

        return wait_for(reached, timeout=60, what=f"{name} to be {state}")

    def log(self, person: Person, job: str) -> str:
        """What the Job's pod printed, as its author reads it."""
        return person.kubectl("logs", "-n", self.namespace, f"job/{job}")


def _pods(item: Any) -> Iterator[Any]:
    """Find the pod specs within an object."""
    if isinstance(item, dict):
        if "containers" in item:
            yield item
        for value in item.values():
            yield from _pods(value)


def test_an_annotated_job(guarded_node: Cluster, examples_operator: OperatorProcess, jane: Person) -> None:
    """One annotation more than an ordinary Job: it runs as an identity of its own, with the policy's defaults."""
    example = Example(guarded_node, "annotated-job")
    ordinary = yaml.safe_load(example.manifest("2-job.yaml"))
    assert list(ordinary["metadata"].pop("annotations")) == ["tasksession.dev/policy"]
    jane.kubectl("apply", "-f", "-", given=example.manifest("2-job.yaml"))
    status = example.session("report", "Completed")["status"]
    log = example.log(jane, "report")
    assert f"system:serviceaccount:reports:{status['serviceAccountName']}" in log
    assert "allowed: kubectl get configmaps" in log
    assert "refused: kubectl get secrets" in log
    described = jane.kubectl("describe", "job", "-n", "reports", "report")
    assert "The rights are live until" in described
    assert "Completed" in jane.kubectl("get", "ts", "-n", "reports", "report")


def test_an_annotated_job_that_asks(guarded_node: Cluster, examples_operator: OperatorProcess, jane: Person) -> None:
    """More annotations: what is asked for is what it gets."""
    example = Example(guarded_node, "annotated-job")
    jane.kubectl("apply", "-f", "-", given=example.manifest("3-job-that-asks.yaml"))
    session = example.session("report-and-mark", "Completed")
    assert session["spec"]["reason"] == "CHG-4711 mark what was reported"
    log = example.log(jane, "report-and-mark")
    assert "allowed: kubectl patch configmap triage" in log
    assert "refused: kubectl create configmap other" in log


def test_a_run_of_a_cronjob_by_hand(guarded_node: Cluster, examples_operator: OperatorProcess, jane: Person) -> None:
    """`kubectl create job --from=cronjob/…`: the run is a session of whoever started it."""
    example = Example(guarded_node, "cronjob-batch")
    jane.kubectl("apply", "-f", "-", given=example.manifest("2-cronjob.yaml"))
    try:
        jane.kubectl("create", "job", "-n", "billing", "--from=cronjob/invoices", "by-hand")
        session = example.session("by-hand", "Completed")
    finally:
        jane.kubectl("delete", "cronjob", "-n", "billing", "invoices")
    assert session["spec"]["requester"]["username"] == "jane"


def test_a_job_template(guarded_node: Cluster, examples_operator: OperatorProcess, jane: Person) -> None:
    """Session and Job in one object; applied again, it does not run again."""
    example = Example(guarded_node, "jobtemplate")
    manifest = example.manifest("2-session.yaml")
    jane.kubectl("apply", "-f", "-", given=manifest)
    session = example.session("release-1-4", "Completed")
    state = guarded_node.api.get("/api/v1/namespaces/releases/configmaps/triage")["data"]["state"]
    assert state == "1.4"
    assert "unchanged" in jane.kubectl("apply", "-f", "-", given=manifest)
    again = example.session("release-1-4", "Completed")
    assert again["metadata"]["uid"] == session["metadata"]["uid"]


def test_a_job_that_joins(guarded_node: Cluster, examples_operator: OperatorProcess, jane: Person) -> None:
    """Session and Job in one file, in two objects."""
    example = Example(guarded_node, "joined-job")
    jane.kubectl("apply", "-f", "-", given=example.manifest("2-session-and-job.yaml"))
    example.session("migrate-schema", "Completed")
    assert "configmap/triage" in example.log(jane, "schema")


def test_an_annotated_job_without_use(guarded_node: Cluster, examples_operator: OperatorProcess) -> None:
    """Somebody who may create Jobs but not use the policy is refused by kubectl, in a sentence."""
    example = Example(guarded_node, "annotated-job")
    bob = Person(guarded_node, "bob")
    binding = ["create", "rolebinding", "bob-edits", "-n", "reports", "--clusterrole=edit", "--user=bob"]
    kubectl(guarded_node, *binding)
    wait_for(
        lambda: bob.kubectl("auth", "can-i", "create", "jobs", "-n", "reports").strip() == "yes",
        timeout=10, what="bob to be known", ignoring=(Exception,),
    )  # fmt: skip
    words = bob.refused("apply", "-f", "-", given=example.manifest("2-job.yaml").replace("name: report", "name: bobs"))
    assert "bob may not use SessionPolicy nightly-report in namespace reports" in words
