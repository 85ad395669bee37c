"""Random faults for as long as you like, with 200 sessions at once, against a real control plane: `make soak`.

Several lanes, each with people who request, finish, revoke and delete sessions, and a proxy that breaks something every
now and then; operators are killed and told to stop; the control plane is paused. The invariants are checked all the
time, on what the API server lists. At the end the faults stop, every session ends, and nothing may be left.
It prints what was injected and what held, and ends with 1 where something did not.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from tests.cluster import ApiError, Cluster
from tests.cluster.installation import install
from tests.faults.lives import ACCESS
from tests.support import invariants
from tests.support.lane import Ground, Lane
from tests.support.plans import Fault, Plan, Traffic, Trigger
from tests.support.proxy import Line
from tests.support.snapshot import Snapshot
from tests.support.traffic import Request
from tests.support.world import CEILING

_LANES = 4
#: How likely one request or event is to meet a fault.
_CHANCE = 0.02
#: A deleted session's RoleBindings go by garbage collection, when the operator is down; with a control plane that is
#: paused now and then that takes some seconds.
_GRACE = 10.0
_ANSWERS = ((409, "Conflict"), (429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable"))
_STREAM = (Fault.SWALLOW, Fault.STALL, Fault.END, Fault.GONE, Fault.RESET)


class Soak:
    """One lane's part: its people, its faults, its checks, each in a thread."""

    def __init__(self, lane: Lane, *, sessions: int, seed: int) -> None:
        self.lane = lane
        self.sessions = sessions
        self.injected: Counter[str] = Counter()
        self.lived: Counter[str] = Counter()
        self.checks = 0
        self.violations: list[str] = []
        self.made_again = 0
        self._granted: set[invariants.Granted] = set()
        self.stop = threading.Event()
        self._random = random.Random(seed)  # noqa: S311 - so that a run can be repeated
        self._number = 0
        self.threads = [
            threading.Thread(target=self._guarded, args=(work, pause), name=work.__name__)
            for work, pause in ((self._people, 1.0), (self._strike, 4.0), (self._check, 2.0))
        ]

    @property
    def granted(self) -> int:
        """How many identities were seen to be granted."""
        return len({each.identity for each in self._granted})

    def begin(self) -> None:
        """Begin to break things, once the operator works: at a start, an API server that refuses ends it."""
        self.lane.proxy.chaos = self._chaos
        for thread in self.threads:
            thread.start()

    def _guarded(self, work: object, pause: float) -> None:
        assert callable(work)
        while not self.stop.wait(pause * self._random.uniform(0.5, 1.5)):
            try:
                work()
            except ApiError as error:
                # The control plane itself is paused now and then.
                self.injected[f"seen by people: {error.status}"] += 1
            except Exception as error:
                self.injected[f"seen by people: {type(error).__name__}"] += 1

    def _chaos(self, about: Request) -> Plan | None:
        if self.stop.is_set() or self._random.random() > _CHANCE:
            return None
        trigger = Trigger(about.traffic)
        if about.traffic is Traffic.EVENT:
            plan = Plan(trigger, self._random.choice(_STREAM))
        else:
            fault = self._random.choice((Fault.ANSWER, Fault.ANSWER, Fault.DELAY, Fault.RESET, Fault.LOSE_REPLY))
            status, reason = self._random.choice(_ANSWERS)
            if status == 409 and about.verb not in ("patch", "delete"):
                # An API server has no such answer to a read, and to a creation only where the name is taken.
                status, reason = 500, "InternalError"
            after = 1 if status == 429 else None
            plan = Plan(trigger, fault, status=status, reason=reason, retry_after=after, seconds=1.0)
        self.injected[plan.title] += 1
        return plan

    def _people(self) -> None:
        """Keep the number of sessions up, and end some of them in each of the ways there are."""
        world = self.lane.world
        found = world.admin.list(world.sessions)
        self._granted |= {each for each in map(invariants.granted, found) if each is not None}
        alive = [each for each in found if each["status"]["state"] not in invariants.FINAL]
        for _ in range(min(10, self.sessions - len(alive))):
            self._number += 1
            ttl = self._random.choice(("15s", "40s", "2m", "10m"))
            world.request(f"s-{self._number}", ttl=ttl, access=ACCESS)
            self.lived["requested"] += 1
        for session in self._random.sample(alive, min(6, len(alive))):
            name = session["metadata"]["name"]
            match self._random.choice(("finish", "finish", "revoke", "delete", "delete job")):
                case "finish":
                    pods = [pod["metadata"]["name"] for pod in world.admin.list(
                        world.path("Pod"), labelSelector=f"batch.kubernetes.io/job-name={name}")]  # fmt: skip
                    for pod in pods:
                        world.admin.patch(world.path("Pod", pod) + "/status", {"status": {"phase": "Succeeded"}})
                case "revoke":
                    world.revoke(name)
                case "delete":
                    world.admin.delete(f"{world.sessions}/{name}")
                case "delete job":
                    world.admin.delete(world.path("Job", name))
        over = [each for each in found if each["status"]["state"] in invariants.FINAL]
        self.lived.update(each["status"]["state"] for each in over)
        for session in over:
            world.admin.delete(f"{world.sessions}/{session['metadata']['name']}")

    def _strike(self) -> None:
        """Harm the operator as a whole."""
        what = self._random.choice(("SIGKILL", "SIGKILL", "SIGTERM", "partition", "sever", "SIGSTOP", "slow", "none"))
        self.injected[what] += 1
        lane = self.lane
        match what:
            case "SIGKILL":
                lane.operator.signal(signal.SIGKILL)
            case "SIGTERM":
                lane.operator.signal(signal.SIGTERM)
            case "sever":
                lane.proxy.sever()
            case "partition":
                lane.proxy.set_line(Line.PARTITIONED)
                self.stop.wait(self._random.uniform(2, 25))
                lane.proxy.set_line(Line.OPEN)
            case "slow":
                lane.proxy.delay = 0.5
                self.stop.wait(5)
                lane.proxy.delay = 0.0
            case "SIGSTOP":
                lane.operator.signal(signal.SIGSTOP)
                self.stop.wait(self._random.uniform(1, 12))
                lane.operator.signal(signal.SIGCONT)
        if not lane.operator.alive:
            lane.operator.kill()
            lane.operator.start(wait=False)

    def _check(self) -> None:
        """Check what must hold: what does not is looked at again, since garbage collection takes its moment."""
        wrong = set(self._violations())
        began = time.monotonic()
        while wrong and time.monotonic() - began < _GRACE:
            self.stop.wait(0.5)
            wrong &= set(self._violations())
        self.violations += sorted(wrong)
        self.checks += 1
        self.lane.tends = False
        self.lane.tend()

    def _violations(self) -> list[str]:
        seen = Snapshot.take(self.lane.admin, self.lane.namespace)
        late = [
            f"S2: {item['metadata']['name']} is there {over:.0f} s after its deadline"
            for item in seen.of_sessions("ServiceAccount")
            if (over := time.time() - int(item["metadata"]["name"].rsplit("-", 1)[1])) > 30
        ]
        return [
            *invariants.rights_only_of_living_sessions(seen),
            *invariants.rights_within_what_was_asked(seen),
            *late,
        ]

    def settle(self) -> None:
        """End the faults, then every session, and see that nothing is left and nothing is written any more."""
        lane, world = self.lane, self.lane.world
        lane.proxy.chaos = lambda _: None
        lane.proxy.delay = 0.0
        lane.proxy.set_line(Line.OPEN)
        lane.operator.signal(signal.SIGCONT)
        lane.tends = True
        for session in world.admin.list(world.sessions):
            if session["status"]["state"] not in invariants.FINAL:
                world.revoke(session["metadata"]["name"])
        lane.wait(
            lambda: all(each["status"]["state"] in invariants.FINAL for each in world.admin.list(world.sessions)),
            what="every session to be over (L1)", timeout=180, interval=1,
        )  # fmt: skip
        lane.wait(lambda: not world.all_children(), what="nothing to be left (L2)", timeout=120, interval=1)
        lane.wait_quiet(timeout=60)
        entries = lane.ground.audit.writes(lane.namespace)
        self.violations += invariants.identities_serve_one_session(self._granted, entries)
        self.made_again = invariants.made_again(entries)
        self.violations += invariants.no_tokens(lane.operator.log.read_text())
        self.violations += invariants.crashes(lane.operator.log.read_text())


def run(minutes: float, *, sessions: int, seed: int, folder: Path) -> int:
    """Soak for so many minutes; returns the exit status."""
    with Cluster(f"soak-{os.getpid()}") as cluster:
        install(cluster, values={"ceiling": CEILING})
        cluster.restart("kube-controller-manager")
        ground = Ground(cluster)
        lanes = [Lane(ground, folder / f"lane-{number}") for number in range(_LANES)]
        parts = [Soak(lane, sessions=sessions // _LANES, seed=seed + n) for n, lane in enumerate(lanes)]
        try:
            return _soak(cluster, parts, minutes, seed)
        finally:
            for part in parts:
                part.stop.set()
            for lane in lanes:
                lane.close()
            ground.close()


def _soak(cluster: Cluster, parts: list[Soak], minutes: float, seed: int) -> int:
    for part in parts:
        part.lane.operator.start(wait=False)
    for part in parts:
        part.lane.operator.wait_ready(90)
    for part in parts:
        part.begin()
    outages: Counter[str] = Counter()
    chance = random.Random(seed)  # noqa: S311
    ends = time.monotonic() + minutes * 60
    last = time.monotonic()
    while time.monotonic() < ends:
        time.sleep(5)
        if chance.random() < 0.04:
            component = chance.choice(("etcd", "kube-apiserver"))
            outages[f"{component} paused"] += 1
            cluster.pause(component)
            time.sleep(chance.uniform(1, 8))
            cluster.resume(component)
        if time.monotonic() - last > 60:
            last = time.monotonic()
            _say(f"{(ends - last) / 60:5.1f} minutes to go: {sum(part.lived['requested'] for part in parts)} sessions, "
                 f"{sum(sum(part.injected.values()) for part in parts)} faults, "
                 f"{sum(len(part.violations) for part in parts)} violations")  # fmt: skip
    for part in parts:
        part.stop.set()
    for part in parts:
        for thread in part.threads:
            thread.join(60)
    broken = []
    for part in parts:
        try:
            part.settle()
        except (TimeoutError, AssertionError) as error:
            broken.append(f"{error}")
    return _report(parts, outages, broken, minutes, seed)


def _report(parts: list[Soak], outages: Counter[str], broken: list[str], minutes: float, seed: int) -> int:
    injected, lived = Counter(outages), Counter[str]()
    for part in parts:
        injected.update(part.injected)
        lived.update(part.lived)
    violations = [line for part in parts for line in part.violations] + broken
    _say(f"soak of {minutes:g} minutes, seed {seed}, ended {datetime.now(tz=UTC):%Y-%m-%d %H:%M} UTC")
    _say("sessions: " + ", ".join(f"{count} {what}" for what, count in sorted(lived.items())))
    for what, count in sorted(injected.items()):
        _say(f"  {what:<42}{count:>8}")
    _say(f"checks of S1, S2 and S3 on the whole namespace: {sum(part.checks for part in parts)}")
    _say(f"identities seen granted: {sum(part.granted for part in parts)}; "
         f"made again before they were granted (S4 allows it): {sum(part.made_again for part in parts)}")  # fmt: skip
    _say(f"violations: {len(violations)}")
    for line in violations[:50]:
        _say(f"  {line}")
    return 1 if violations else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Read the command line and soak."""
    parser = argparse.ArgumentParser(description="Random faults against a real control plane.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--sessions", type=int, default=200, help="how many at once")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return run(asked.minutes, sessions=asked.sessions, seed=asked.seed, folder=Path(folder))


if __name__ == "__main__":
    sys.exit(main())
