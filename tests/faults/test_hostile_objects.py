"""Row 15: thousands of random objects, valid and not: never a crash, never a hang, never a grant beyond the policy."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.cluster import ApiError
from tests.cluster.api import Object
from tests.faults.hostile import JOB_SPEC, hostile
from tests.faults.tables import Record, note_one
from tests.support import invariants
from tests.support.lane import Ground, Lane
from tests.support.snapshot import Snapshot
from tests.support.world import SESSIONS

OBJECTS = int(os.environ.get("TASKSESSION_HOSTILE_OBJECTS", "2000"))
_BATCH = 25
_MARK = {"hostile": "yes"}


class Nuisance:
    """Creates what is drawn, as the people who may: Jane her sessions and Jobs, administrators the rest."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._world = lane.world
        self.number = 0
        self.outcomes: Counter[str] = Counter()
        self.names: set[str] = set()

    def create(self, kind: str, drawn: Object) -> None:
        """Create one object; a refusal is an outcome like any other."""
        self.number += 1
        text = json.dumps(drawn).replace("<policy>", self._world.policy).replace("<namespace>", self._world.namespace)
        drawn = json.loads(text)
        metadata: Object = {"name": f"h-{self.number}", "labels": _MARK}
        if kind == "Job":
            path, by = self._world.path("Job"), self._world.jane
            body: Object = {"metadata": {**metadata, "annotations": drawn}, "spec": JOB_SPEC}
        else:
            plural = {"TaskSession": "tasksessions", "SessionPolicy": "sessionpolicies",
                      "SessionApproval": "sessionapprovals"}[kind]  # fmt: skip
            namespace = "" if kind == "SessionPolicy" else f"/namespaces/{self._world.namespace}"
            path, by = (
                f"{SESSIONS}{namespace}/{plural}",
                self._world.jane if kind == "TaskSession" else self._lane.admin,
            )
            body = {"apiVersion": "tasksession.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": drawn}
        try:
            by.create(path, body)
        except ApiError as error:
            assert error.status < 500, f"the API server itself failed on {body}: {error}"
            self.outcomes[f"{kind} refused"] += 1
        else:
            self.outcomes[f"{kind} accepted"] += 1

    def clear(self) -> None:
        """Remove what was created, cluster-wide things as well."""
        query = {"labelSelector": "hostile=yes"}
        self._lane.admin.request("DELETE", f"{SESSIONS}/sessionpolicies", query=query)
        for path in (self._world.path("Job"), self._world.sessions):
            self._lane.admin.request("DELETE", path, query={**query, "propagationPolicy": "Background"})


def grants_beyond_the_ceiling(seen: Snapshot) -> list[str]:
    """S3, for any policy: nothing is bound but the role view, and no Role holds more than this operator may give."""
    found = [
        f"S3: {item['metadata']['name']} binds {item['roleRef']}"
        for item in seen.of_sessions("RoleBinding")
        if (item["roleRef"]["kind"], item["roleRef"]["name"])
        not in {("ClusterRole", "view"), ("Role", item["metadata"]["name"])}
    ]
    for role in seen.of_sessions("Role"):
        for rule in role["rules"]:
            inside = (
                set(rule.get("apiGroups") or ()) <= {""}
                and set(rule.get("resources") or ()) <= {"configmaps"}
                and set(rule.get("verbs") or ()) <= {"get", "patch"}
            )
            if not inside:
                found.append(f"S3: Role {role['metadata']['name']} holds {rule}")
    return found


@pytest.mark.timeout(900)
def test_hostile_objects_break_nothing(ground: Ground, tmp_path: Path, record_property: Record) -> None:
    """The operator lives through all of them, grants none more than it may, and serves the next session as before."""
    lane = Lane(ground, tmp_path).start()
    lane.tends = False
    nuisance = Nuisance(lane)

    @settings(
        max_examples=OBJECTS // _BATCH,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(hostile(), min_size=_BATCH, max_size=_BATCH))
    def trouble(drawn: list[tuple[str, Any]]) -> None:
        for kind, spec in drawn:
            nuisance.create(kind, spec)
        assert lane.operator.alive, lane.operator.tail(40)
        seen = Snapshot.take(lane.admin, lane.namespace)
        wrong = [*grants_beyond_the_ceiling(seen), *invariants.deadlines_kept(seen)]
        assert not wrong, wrong
        if nuisance.number % (8 * _BATCH) == 0:
            nuisance.clear()

    try:
        trouble()
        said = lane.operator.log.read_text()
        assert invariants.crashes(said) == []
        lane.world.request("after", access={"roles": [{"kind": "ClusterRole", "name": "view"}]})
        lane.wait(lambda: lane.world.status("after")["state"] == "Active", what="the next session", timeout=30)
        for path in ("/livez", "/readyz"):
            status, text = lane.operator.probe(path)
            assert status == 200, text
        assert nuisance.number >= OBJECTS
        entries = ground.audit.writes(lane.namespace)
        granted = {each.name for each in entries if each.verb == "create" and each.resource == "serviceaccounts"}
        assert len(granted) > OBJECTS // 100, "next to nothing was granted: this shows little about S3"
        assert nuisance.outcomes["TaskSession accepted"] > OBJECTS // 20, nuisance.outcomes
        assert invariants.identities_used_once(entries, nuisance.number) == []
        assert invariants.no_tokens(said) == []
    finally:
        nuisance.clear()
        lane.close()
    accepted = sum(count for outcome, count in nuisance.outcomes.items() if outcome.endswith("accepted"))
    record_property("outcomes", str(nuisance.outcomes))
    note_one(record_property, row="15", fault=f"{nuisance.number} objects: {accepted} stored, {len(granted)} granted")
