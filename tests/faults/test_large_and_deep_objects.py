"""Row 18: what one tenant stores, however large, deep or numerous, harms that tenant alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, wait_for
from tests.cluster.api import MERGE_PATCH, Object
from tests.cluster.operator_process import OperatorProcess, operator_kubeconfig
from tests.faults.oversized import field_managers, flood, nested, send, table
from tests.faults.tables import Record, note_one
from tests.support import invariants
from tests.support.world import World

ACCESS = {"roles": [{"kind": "ClusterRole", "name": "view"}]}
_SWEEP_SECONDS = 2


class Tenants:
    """Two namespaces with people of their own, and more that are as the first; one operator for all."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.mallory, self.alice = World(cluster), World(cluster)
        self.hostile = [self.mallory, World(cluster), World(cluster)]
        self.admin = cluster.api
        self.operator = OperatorProcess(
            kubeconfig=operator_kubeconfig(self.admin, folder / "kubeconfig"),
            folder=folder,
            namespaces=[world.namespace for world in (*self.hostile, self.alice)],
            arguments=["--sweep-interval", str(_SWEEP_SECONDS)],
        )

    def close(self) -> None:
        """End the operator and let the namespaces go."""
        self.operator.stop(grace=5)
        for world in (*self.hostile, self.alice):
            world.close()

    # What a holder of `edit` stores

    def session(self, name: str, template: Any, *, place: int = 0, **metadata: Any) -> None:
        """Store a TaskSession with a jobTemplate of any form."""
        world = self.hostile[place]
        body = world.manifest(name, task={"jobTemplate": {"spec": template}})
        body["metadata"].update(metadata)
        send(world.jane, "POST", world.sessions, body)

    def job(
        self, name: str, annotations: Object, *, env: int = 0, text: int = 0, place: int = 0, **metadata: Any
    ) -> None:
        """Store a Job that asks for a session, or joins one, with so many variables, or with one so long."""
        world = self.hostile[place]
        spec = world.job_spec()
        variables = [{"name": f"E{number}"} for number in range(env)] or [{"name": "TEXT", "value": "a" * text}]
        spec["template"]["spec"]["containers"][0]["env"] = variables
        body = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "annotations": annotations, **metadata},
            "spec": {"suspend": True, **spec},
        }
        send(world.jane, "POST", world.path("Job"), body)

    def make_deep(self, path: str, api_version: str = "tasksession.dev/v1alpha1") -> None:
        """Write field managers that are nested deeply into an object that exists."""
        patch = {"metadata": {"managedFields": field_managers(api_version)}}
        send(self.mallory.jane, "PATCH", path, patch, content_type=MERGE_PATCH)

    # What is seen of them

    def states(self) -> dict[str, str]:
        """The states of the tenant's sessions, as kubectl shows them."""
        return {name: row["State"] for name, row in table(self.admin, self.mallory.sessions).items()}

    def wait_states(self, wanted: dict[str, str], timeout: float = 30) -> None:
        """Wait until sessions are in these states."""
        wait_for(
            lambda: wanted.items() <= self.states().items(), timeout=timeout, what=f"{wanted}, not {self.states()}"
        )

    def bindings(self) -> list[str]:
        """The RoleBindings of the tenant's sessions."""
        return [name for name in table(self.admin, self.mallory.path("RoleBinding")) if name.startswith("ts-")]

    def events(self, name: str) -> list[tuple[str, str]]:
        """The Events about an object: reasons and messages."""
        found = self.admin.list(self.mallory.path("Event"), fieldSelector=f"involvedObject.name={name}")
        return [(item["reason"], item["message"]) for item in found]

    def serve(self, name: str) -> float:
        """Have the other tenant's session granted and ended; returns how long that took."""
        began = time.monotonic()
        self.alice.request(name, access=ACCESS)
        self.alice.wait_state(name, "Active", timeout=20)
        self.alice.revoke(name)
        self.alice.wait_state(name, "Revoked", timeout=20)
        wait_for(lambda: not self.alice.children("RoleBinding"), timeout=10, what="the rights to be gone")
        return time.monotonic() - began

    def examine(self) -> dict[str, str]:
        """What the doctor says of each object of both tenants that it could not look at."""
        spaces = [f"--namespace={tenant.namespace}" for tenant in (self.mallory, self.alice)]
        kubeconfig = str(self.mallory.cluster.kubeconfig)
        done = subprocess.run(
            [sys.executable, "-m", "tasksession", "doctor", "--kubeconfig", kubeconfig, "--output", "json", *spaces],
            capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "PYTHONPATH": "operator"},
        )  # fmt: skip
        assert done.stderr == "", done.stderr
        found = json.loads(done.stdout)["findings"]
        return {each["object"]: each["problem"] for each in found if each["severity"] == "not checked"}

    def wait_swept(self) -> None:
        """Wait until a sweep has succeeded that began after this call: the probe would tell of one that did not."""
        began = len(self.operator.log.read_text())
        time_out = time.monotonic() + 2 * _SWEEP_SECONDS
        wait_for(lambda: time.monotonic() > time_out, timeout=60, what="two sweeps", interval=0.5)
        said = self.operator.log.read_text()[began:]
        assert "sweep failed" not in said, said[-3000:]


@pytest.fixture
def tenants(guarded_cluster: Cluster, tmp_path: Path) -> Iterator[Tenants]:
    """Return two tenants; no operator runs yet."""
    made = Tenants(guarded_cluster, tmp_path)
    yield made
    made.close()


def _store_everything(tenants: Tenants) -> dict[str, str]:
    """Store what is deep, wide and large, of every kind that the operator reads; returns what has to become of it."""
    world, job = tenants.mallory, {"tasksession.dev/session": "nosuch"}
    tenants.session("deep-template", {"x": nested()})
    tenants.session("deep-within-bytes", {"x": nested(150)})
    tenants.session("flood", {"x": flood()})
    tenants.session("large", {"x": "a" * 1_300_000})
    tenants.session("too-large-to-grow", {"x": "a" * 220_000})
    tenants.session("marked", {}, labels={f"tasksession.dev/k{number}": "v" for number in range(30_000)})
    tenants.session("too-large-for-a-status", {"x": "a" * 1_571_500})
    tenants.job("joins", job, managedFields=field_managers("batch/v1"))
    tenants.job("asks", {"tasksession.dev/policy": world.policy}, managedFields=field_managers("batch/v1"))
    tenants.job("asks-for-much", {"tasksession.dev/policy": world.policy}, env=12_000)
    marks = {"app.kubernetes.io/managed-by": "tasksession"}
    account = {"metadata": {"name": "ordinary", "labels": marks, "managedFields": field_managers("v1")}}
    send(world.jane, "POST", world.path("ServiceAccount"), account)
    for kind, more in (
        ("Role", {"rules": []}),
        ("RoleBinding", {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ordinary"}}),
    ):
        managed = field_managers("rbac.authorization.k8s.io/v1")
        body = {"metadata": {"name": "ordinary", "labels": marks, "managedFields": managed}, **more}
        send(tenants.admin, "POST", world.path(kind), body)
    denied = ("deep-template", "deep-within-bytes", "flood", "large", "too-large-to-grow", "marked")
    return dict.fromkeys(denied, "Denied")


@pytest.mark.timeout(300)
def test_what_is_stored_harms_its_own_session_only(tenants: Tenants, record_property: Record) -> None:
    """Deep, wide and large objects of every kind, in the watch, in sweeps and at a start: others are served."""
    tenants.operator.start()
    tenants.mallory.request("live", access=ACCESS)
    tenants.mallory.wait_state("live", "Active")
    quiet = tenants.serve("before")
    wanted = _store_everything(tenants)
    tenants.make_deep(f"{tenants.mallory.sessions}/live")
    tenants.wait_states({**wanted, "live": "Revoked"}, timeout=120)
    assert not tenants.bindings()
    for name in ("deep-template", "large", "too-large-to-grow", "marked", "too-large-for-a-status"):
        wait_for(lambda name=name: tenants.events(name), timeout=90, what=f"an Event on {name}")  # type: ignore[misc]
        assert all("is not read, because it is" in message for _, message in tenants.events(name))
    for name in ("joins", "asks", "asks-for-much"):
        wait_for(
            lambda name=name: "InvalidJob" in dict(tenants.events(name)),  # type: ignore[misc]
            timeout=60,
            what=f"an Event on Job {name}",
        )
    in_the_watch = tenants.serve("beside")
    tenants.wait_swept()
    tenants.operator.kill()
    tenants.operator.start()
    at_start = tenants.serve("after")
    tenants.wait_swept()
    assert tenants.operator.alive
    said = tenants.operator.log.read_text()
    assert invariants.crashes(said) == []
    assert tenants.operator.probe("/livez")[0] == tenants.operator.probe("/readyz")[0] == 200
    assert not tenants.bindings()
    examined = tenants.examine()
    for subject in ("RoleBinding {}/ordinary", "Role {}/ordinary", "Job {}/joins", "TaskSession {}/flood"):
        assert examined[subject.format(tenants.mallory.namespace)].startswith("Could not be checked: it is ")
    record_property(
        "measured",
        f"another tenant's session took {quiet:.2f} s before hostile objects, {in_the_watch:.2f} s beside them, and "
        f"{at_start:.2f} s after a start with them",
    )
    note_one(record_property, row="18", fault="deep, wide and large objects of every kind")


#: So many TaskSessions and as many Jobs, 200 MB together: it is the API server that takes its time to store them.
_MANY = int(os.environ.get("TASKSESSION_LARGE_OBJECTS", "200")) // 2
_MEASURED = 12


def _store_many(tenants: Tenants) -> None:
    """Store so many TaskSessions, and as many Jobs, of a megabyte each, in three namespaces.

    Most of them are long texts: with many small values, it is the API server that takes many seconds for each.
    """

    def one(number: int) -> None:
        dense, place = number % 25 == 0, number % len(tenants.hostile)
        template = {"x": flood(60_000)} if dense else {"x": "a" * 1_000_000}
        tenants.session(f"many-{number}", template, place=place)
        joins = {"tasksession.dev/session": "nosuch"}
        tenants.job(f"many-{number}", joins, env=9000 if dense else 0, text=1_000_000, place=place)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(one, range(_MANY)))


def _ends(tenants: Tenants, prefix: str) -> list[float]:
    """Grant the other tenant's sessions, then revoke one after another; returns how long each kept its rights."""
    names = [f"{prefix}-{number}" for number in range(_MEASURED)]
    for name in names:
        tenants.alice.request(name, access=ACCESS)
    took = []
    for name in names:
        binding = tenants.alice.wait_state(name, "Active", timeout=60)["grants"][0]["roleBinding"]
        began = time.monotonic()
        tenants.alice.revoke(name)
        wait_for(
            lambda binding=binding: not tenants.alice.exists("RoleBinding", binding),  # type: ignore[misc]
            timeout=30,
            what=f"the rights of {name} to be gone",
            interval=0.01,
        )
        took.append(time.monotonic() - began)
    return took


def _peak_memory(tenants: Tenants) -> float:
    """The most that the operator has ever had in memory, in MiB."""
    status = Path(f"/proc/{tenants.operator.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


@pytest.mark.timed
@pytest.mark.timeout(900)
def test_two_hundred_megabytes_slow_nobody(tenants: Tenants, record_property: Record) -> None:
    """200 objects of a megabyte, at a start and in sweeps: memory stays bounded, and others' rights end as soon."""
    tenants.operator.start()
    quiet = max(_ends(tenants, "quiet") + _ends(tenants, "quiet-too"))
    tenants.operator.kill()
    began = time.monotonic()
    _store_many(tenants)
    stored = time.monotonic() - began
    tenants.operator.start(wait=False)
    tenants.operator.wait_ready(120)
    started = time.monotonic() - began - stored
    at_start = max(_ends(tenants, "start"))
    in_sweeps = max(_ends(tenants, "sweep"))
    tenants.wait_swept()
    peak = _peak_memory(tenants)
    record_property(
        "measured",
        f"rights of others ended within {quiet * 1000:.0f} ms in quiet, {at_start * 1000:.0f} ms at a start with "
        f"{2 * _MANY} MB of hostile objects, {in_sweeps * 1000:.0f} ms in sweeps over them; the operator took at most "
        f"{peak:.0f} MiB. They were stored in {stored:.0f} s, and the start took {started:.1f} s",
    )
    assert peak < 256
    assert at_start < 4 * max(quiet, 0.1)
    assert in_sweeps < 4 * max(quiet, 0.1)
    assert invariants.crashes(tenants.operator.log.read_text()) == []
    note_one(record_property, row="18", fault=f"{2 * _MANY} objects of a megabyte")
