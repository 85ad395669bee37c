"""Row 13: two operators at once, without a Lease and with one; whatever stops the first, two never write."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.operator_process import NAMESPACE, OperatorProcess
from tests.faults.campaign import Reference, Result, run, verdict
from tests.faults.lives import LIVES, NAME, Life
from tests.faults.side_by_side import side_by_side
from tests.faults.tables import Record, note, note_one
from tests.support.lane import Ground, Lane
from tests.support.plans import Fault, Plan, Trigger
from tests.support.proxy import FaultProxy, Line

#: How long a standby may take until it works, in seconds, with the Lease's times as they are by default.
TAKEOVER = 20.0


@pytest.mark.timeout(300)
def test_two_without_a_lease_grant_nothing_twice(
    ground: Ground, references: dict[str, Reference], tmp_path: Path, record_property: Record
) -> None:
    """Two operators that know nothing of each other make of each life what one makes of it."""
    lanes = [Lane(ground, tmp_path / f"lane-{number}") for number in range(len(LIVES))]
    others = [ground.proxy() for _ in lanes]
    processes = [lane.another_operator(tmp_path / f"other-{n}", others[n]) for n, lane in enumerate(lanes)]
    plan = Plan(Trigger(number=1), Fault.DELAY)
    results: list[Result] = []

    def both(lane: Lane, life: Life) -> None:
        process = processes[lanes.index(lane)]
        lane.operator.start(wait=False)
        process.start(wait=False)
        lane.operator.wait_ready(90)
        process.wait_ready(90)
        result = run(lane, life, plan, references[life.title])
        # The first write may have been the other's: there is no fault here but the other.
        result.complaints = [line for line in result.complaints if line != "the fault did not happen"]
        results.append(result)

    try:
        side_by_side(lanes, LIVES, both)
    finally:
        for process in processes:
            process.stop(grace=5)
        for lane in lanes:
            lane.close()
        for other in others:
            other.close()
    note(record_property, results, row="13", fault="two operators, no Lease")
    assert not verdict(results), verdict(results)


class Pair:
    """Two replicas with one Lease, each behind a proxy of its own whose name the audit log shows."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        self.ground = ground
        self.proxies = {name: ground.proxy() for name in ("first", "second")}
        for name, proxy in self.proxies.items():
            proxy.agent = name
        self.lane = Lane(ground, folder / "unused")
        lease = ["--lease-namespace", NAMESPACE, "--lease-name", f"lease-{self.lane.namespace}"]
        self.replicas = {
            name: self.lane.another_operator(folder / name, proxy, arguments=(*lease, "--identity", name))
            for name, proxy in self.proxies.items()
        }
        self.lane.tends = False

    @property
    def first(self) -> OperatorProcess:
        """Return the replica that works at the beginning."""
        return self.replicas["first"]

    @property
    def second(self) -> OperatorProcess:
        """Return the standby."""
        return self.replicas["second"]

    def proxy(self, name: str) -> FaultProxy:
        """Return a replica's proxy."""
        return self.proxies[name]

    def start(self) -> None:
        """Wait until the first works, and start the second."""
        self.first.wait_ready(90)
        self.second.start(wait=False)
        self.lane.wait(lambda: self.second.lines("the probes are served"), what="the standby's probes")

    def writers(self) -> list[str]:
        """Name the replica of each write of a session's life, in the order in which the API server took them."""
        entries = sorted(self.ground.audit.writes(self.lane.namespace), key=lambda entry: entry.time)
        return [each.source for each in entries if each.source in self.proxies and each.resource != "events"]

    def close(self) -> None:
        """End both."""
        for proxy in self.proxies.values():
            proxy.set_line(Line.OPEN)
        for process in self.replicas.values():
            process.signal(signal.SIGCONT)
            process.stop(grace=5)
        for proxy in self.proxies.values():
            proxy.close()
        self.lane.close()


@dataclass(frozen=True)
class Disruption:
    """What befalls the replica that works; `within` is how soon the other has to work, `after` what comes then."""

    title: str
    strike: Callable[[Pair], None]
    within: float = TAKEOVER
    after: Callable[[Pair], None] = lambda pair: None


def _slow(pair: Pair) -> None:
    pair.proxy("first").delay = 6.0


DISRUPTIONS = (
    Disruption("SIGKILL", lambda pair: pair.first.signal(signal.SIGKILL)),
    Disruption(
        "SIGSTOP, then SIGCONT",
        lambda pair: pair.first.signal(signal.SIGSTOP),
        after=lambda pair: pair.first.signal(signal.SIGCONT),
    ),
    Disruption(
        "partition, then none",
        lambda pair: pair.proxy("first").set_line(Line.PARTITIONED),
        after=lambda pair: pair.proxy("first").set_line(Line.OPEN),
    ),
    Disruption("answers after 6 s", _slow, within=30.0),
    Disruption("SIGTERM", lambda pair: pair.first.signal(signal.SIGTERM), within=6.0),
)


@pytest.mark.timed
@pytest.mark.timeout(400)
def test_one_of_two_works_whatever_befalls_it(ground: Ground, tmp_path: Path, record_property: Record) -> None:
    """The standby takes over in time, sessions go on, the first ends or stands by, and the two never write in turns."""
    pairs = [Pair(ground, tmp_path / f"pair-{number}") for number in range(len(DISRUPTIONS))]
    try:
        for pair in pairs:
            pair.first.start(wait=False)
        for pair in pairs:
            pair.start()
        side_by_side([pair.lane for pair in pairs], list(zip(pairs, DISRUPTIONS, strict=True)), _disrupt)
    finally:
        for pair in pairs:
            pair.close()
    for disruption in DISRUPTIONS:
        note_one(record_property, row="13", fault=f"with Lease: {disruption.title}")


def _disrupt(lane: Lane, case: tuple[Pair, Disruption]) -> None:
    pair, disruption = case
    world = lane.world
    status, text = pair.second.probe("/readyz")
    assert (status, "standby" in text) == (200, True), text
    assert "standby" not in pair.first.probe("/readyz")[1]
    for number in range(3):
        world.request(f"before-{number}")
    lane.wait(lambda: world.status("before-0")["state"] == "Active", what="the first grant")
    # In mid-grant, as far as can be told from outside.
    for number in range(3):
        world.request(f"during-{number}")
    struck = time.monotonic()
    disruption.strike(pair)
    lane.wait(lambda: pair.second.lines("the operator is ready"), what="the standby to take over", timeout=60)
    took = time.monotonic() - struck
    assert took <= disruption.within, f"{disruption.title}: the standby took {took:.1f} s"
    disruption.after(pair)
    world.request(NAME)
    wanted = [*(f"{when}-{number}" for when in ("before", "during") for number in range(3)), NAME]
    lane.wait(lambda: all(world.status(name)["state"] == "Active" for name in wanted), what="all to be granted")
    lane.wait(lambda: not pair.first.alive, what="the first to end", timeout=40)
    writers = pair.writers()
    assert set(writers) == {"first", "second"}, writers
    assert "first" not in writers[writers.index("second") :], writers
    assert len(world.children("ServiceAccount")) == len(wanted)
    lane.check()
    assert not lane.violations, lane.violations
