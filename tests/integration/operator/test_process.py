"""The operator as a process: what it says when it cannot work, how it stops, its probes, its Lease, its silence."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cluster import Cluster, state
from tests.cluster.operator_process import NAMESPACE, OperatorProcess, operator_kubeconfig
from tests.cluster.waiting import wait_for
from tests.support.world import SESSIONS, World


def run(*arguments: str, timeout: float = 30) -> "subprocess.CompletedProcess[str]":
    """Run the command line to its end."""
    environment = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
    return subprocess.run(
        [sys.executable, "-m", "tasksession", "run", "--probe-address", "127.0.0.1:0", *arguments],
        capture_output=True, text=True, timeout=timeout, check=False, env=environment,
    )  # fmt: skip


def sentence(done: "subprocess.CompletedProcess[str]") -> str:
    """The one sentence that a failed start ends with; tracebacks are none."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_without_a_cluster_it_says_how_it_tried_to_connect() -> None:
    """No kubeconfig and no pod: one sentence, status 1."""
    done = run()
    assert "cannot connect" in sentence(done)
    assert done.returncode == 1


def test_a_wrong_option_is_explained() -> None:
    """A misspelt or impossible option is a sentence and status 2."""
    for arguments in (["--probe-address", "nowhere"], ["--workers", "0"], ["--nonsense"]):
        done = run(*arguments)
        assert done.returncode == 2
        assert "Error:" in sentence(done)


def test_missing_rights_are_said(world: World, tmp_path: Path) -> None:
    """With a token that may do nothing, the operator says whose rights it needs."""
    world.admin.create(world.path("ServiceAccount"), {"metadata": {"name": "tasksession-operator"}})
    kubeconfig = operator_kubeconfig(world.admin, tmp_path / "kubeconfig", namespace=world.namespace)
    said = sentence(run("--kubeconfig", str(kubeconfig)))
    assert "refused" in said
    assert "chart" in said


def test_missing_custom_resources_are_said(cluster: Cluster) -> None:
    """On a cluster without the chart, the operator says what is not installed and ends."""
    said = sentence(run("--kubeconfig", str(cluster.kubeconfig)))
    assert "tasksessions.tasksession.dev" in said
    assert "install" in said


def test_an_api_server_that_is_away_is_said(tmp_path: Path, operator_cluster: Cluster) -> None:
    """Where nothing listens, the operator says so and ends."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(operator_cluster.kubeconfig.read_text().replace(operator_cluster.url, "https://127.0.0.1:1"))
    assert "does not answer" in sentence(run("--kubeconfig", str(kubeconfig)))


def test_help_explains_every_option() -> None:
    """--help names each option with its environment variable."""
    done = run("--help")
    assert done.returncode == 0
    for word in ("--namespaces", "TASKSESSION_NAMESPACES", "--lease-namespace", "--probe-address", "SIGTERM"):
        assert word in done.stdout


def test_sigterm_ends_it_cleanly_and_soon(world: World, tmp_path: Path) -> None:
    """SIGTERM drains: the process ends with status 0 within seconds, and a live session is left as it is."""
    process = world.operator(tmp_path, preload=False)
    with process:
        world.request("triage")
        name = world.wait_state("triage", "Active")["serviceAccountName"]
        started = time.monotonic()
        process.signal(signal.SIGTERM)
        wait_for(lambda: not process.alive, timeout=20, what="the operator to end")
        assert time.monotonic() - started < 10
    assert world.has_rights(name)
    assert "Traceback" not in process.log.read_text()


def test_probes_answer(world: World, operator: OperatorProcess) -> None:
    """A working operator is alive and ready."""
    for path in ("/livez", "/readyz"):
        status, text = operator.probe(path)
        assert status == 200, text


def test_an_operator_ends_with_its_cluster(world: World, operator: OperatorProcess, operator_cluster: Cluster) -> None:
    """Its process is recorded with the cluster's: a run that is killed leaves none to the next, which ends both."""
    recorded = state.read(operator_cluster.name)
    assert recorded is not None
    assert operator.pid in {each.pid for each in recorded.processes.values()}


def test_one_of_two_works_and_the_other_takes_over(world: World, tmp_path: Path) -> None:
    """Two replicas share a Lease: the second stands by, says so, and takes over when the first stops."""
    lease = ["--lease-namespace", NAMESPACE, "--lease-name", f"lease-{world.namespace}"]
    first = world.operator(tmp_path / "first", arguments=[*lease, "--identity", "first"], preload=False)
    second = world.operator(tmp_path / "second", arguments=[*lease, "--identity", "second"], preload=False)
    with first:
        second.start(wait=False)
        try:
            wait_for(lambda: second.lines("the probes are served"), timeout=20, what="the standby's probes")
            assert second.probe("/livez")[0] == 200
            world.request("one")
            world.wait_state("one", "Active")
            assert not second.lines("session granted")
            first.stop()
            started = time.monotonic()
            world.request("two")
            world.wait_state("two", "Active", timeout=30)
            assert time.monotonic() - started < 10
            wait_for(lambda: second.lines("session granted"), timeout=5, what="the second to say what it did")
        finally:
            second.stop()


def test_nothing_is_granted_while_a_guard_is_missing(world: World, operator: OperatorProcess) -> None:
    """A guard that is taken away stops all grants, and its return lets them go on; the operator's readiness says so."""
    with world.without_guards("reserved-names"):
        wait_for(lambda: operator.probe("/readyz")[0] == 503, timeout=10, what="readiness to say so")
        world.request("triage")
        assert "tasksession-reserved-names" in world.wait_reason("triage", "GuardsMissing")
        assert world.all_children() == {}
    world.wait_state("triage", "Active")


@pytest.mark.timeout(300)
def test_idle_means_no_writes(world: World, tmp_path: Path) -> None:
    """With 100 finished and 20 active sessions, sixty seconds pass without one write, sweeps included."""
    process = world.operator(tmp_path, arguments=["--sweep-interval", "10"], preload=False)
    with process:
        finished = [f"done-{number}" for number in range(100)]
        active = [f"live-{number}" for number in range(20)]
        for name in [*finished, *active]:
            world.request(name)
        wait_states(world, dict.fromkeys([*finished, *active], "Active"))
        world.finish_pods("done-", count=100)
        wait_states(world, {**dict.fromkeys(finished, "Completed"), **dict.fromkeys(active, "Active")})
        wait_for(lambda: _quiet(world), timeout=30, what="the last writes to be done")
        before = world.write_entries()
        _let_pass(60)
        assert world.write_entries()[len(before):] == []  # fmt: skip
        assert process.alive


def wait_states(world: World, wanted: dict[str, str]) -> None:
    """Wait until all these sessions are in these states."""

    def reached() -> bool:
        found = {item["metadata"]["name"]: item["status"]["state"] for item in world.admin.list(world.sessions)}
        return all(found.get(name) == state for name, state in wanted.items())

    wait_for(reached, timeout=90, what="all sessions to be in their states", interval=0.5)


def _quiet(world: World) -> bool:
    """Whether the last write is more than three seconds ago."""
    entries = world.write_entries()
    last = datetime.fromisoformat(entries[-1]["time"])
    return datetime.now(tz=UTC) - last > timedelta(seconds=3)


def _let_pass(seconds: float) -> None:
    """Let a measured span of time go by: here the time itself is what is tested."""
    until = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > until, timeout=seconds + 5, what="the span to be over", interval=0.5)


def test_the_policy_of_another_namespace_is_left_alone(world: World, operator: OperatorProcess) -> None:
    """An operator that is restricted to namespaces grants nothing elsewhere."""
    other = f"{world.namespace}-other"
    world.admin.create("/api/v1/namespaces", {"metadata": {"name": other}})
    world.set_policy(namespaces={"names": [world.namespace, other]})
    manifest = world.manifest("triage")
    manifest["metadata"]["namespace"] = other
    world.admin.create(f"{SESSIONS}/namespaces/{other}/tasksessions", manifest)
    world.request("triage")
    world.wait_state("triage", "Active")
    status = world.admin.get(f"{SESSIONS}/namespaces/{other}/tasksessions/triage")["status"]
    assert status["state"] == "Pending"
    world.admin.delete(f"/api/v1/namespaces/{other}")


def test_many_sessions_at_once_are_all_granted(world: World, operator: OperatorProcess) -> None:
    """Thirty sessions asked for together are all granted, each with an identity of its own."""
    for number in range(30):
        world.request(f"s{number}")
    wait_states(world, {f"s{number}": "Active" for number in range(30)})
    assert len(set(world.children("ServiceAccount"))) == 30
