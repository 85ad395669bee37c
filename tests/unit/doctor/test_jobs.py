"""The doctor on Jobs, CronJobs and live sessions: stamps that guards wrote, and identities that are there."""

from __future__ import annotations

from typing import Any

import pytest

from tasksession.doctor.facts import Unread
from tasksession.doctor.finding import Severity
from tests.unit.doctor.cluster_facts import AFTER, BEFORE, IDENTITY, Object, child, healthy, only, report, session

STAMPED = {"tasksession.dev/policy": "triage", "tasksession.dev/requested-by": "alice"}


def cron_job(annotations: dict[str, str], created: str, *managed: Object) -> Object:
    """A CronJob with annotations on its Jobs."""
    metadata = {"name": "nightly", "namespace": "shop", "creationTimestamp": created, "managedFields": list(managed)}
    return {"metadata": metadata, "spec": {"jobTemplate": {"metadata": {"annotations": annotations}, "spec": {}}}}


def written(time: str, field: str = "f:spec", **more: Any) -> Object:
    """An entry of managedFields."""
    return {"manager": "kubectl", "time": time, "fieldsV1": {field: {}}, **more}


def job(annotations: dict[str, str], created: str, **spec: Any) -> Object:
    """A Job, suspended unless said otherwise."""
    metadata = {"name": "j", "namespace": "shop", "creationTimestamp": created, "annotations": annotations}
    return {"metadata": metadata, "spec": {"suspend": True, **spec}}


def test_a_cronjob_without_a_stamp_is_a_warning() -> None:
    """Its runs are refused; how it gets a stamp is said."""
    finding = only(report(cron_jobs=(cron_job({"tasksession.dev/policy": "triage"}, AFTER),)))
    assert (finding.subject, finding.severity) == ("CronJob shop/nightly", Severity.WARNING)
    assert "bears no stamp" in finding.problem and "kubectl replace --force" in finding.advice


@pytest.mark.parametrize(
    "managed",
    [(), (written(BEFORE),), (written(AFTER, subresource="status"),), (written(AFTER, "f:metadata"),)],
)
def test_a_stamp_older_than_the_guards_is_a_warning(managed: tuple[Object, ...]) -> None:
    """Before the guards anybody could write it; what changed since, but for the spec, does not count."""
    finding = only(report(cron_jobs=(cron_job(STAMPED, BEFORE, *managed),)))
    assert "before the guards" in finding.problem and "alice" in finding.problem


@pytest.mark.parametrize("item", [cron_job(STAMPED, AFTER), cron_job(STAMPED, BEFORE, written(AFTER))])
def test_a_stamp_that_the_guards_wrote_is_fine(item: Object) -> None:
    """Created or written anew under the guards."""
    assert report(cron_jobs=(item,)).findings == ()


def test_other_cronjobs_and_jobs_are_left_alone() -> None:
    """Without our annotations they ask for nothing, however old they are."""
    plain = {"metadata": {"name": "c", "namespace": "shop"}, "spec": {"jobTemplate": {"spec": {}}}}
    assert report(cron_jobs=(plain, cron_job({"a": "b"}, BEFORE)), jobs=(child(), job({}, BEFORE))).findings == ()


def test_a_waiting_job_that_no_guard_admitted_is_a_warning() -> None:
    """Without a stamp, or with one from before the guards; one that runs is not looked at."""
    unstamped = only(report(jobs=(child(), job({"tasksession.dev/session": "s"}, AFTER))))
    assert (unstamped.subject, unstamped.severity) == ("Job shop/j", Severity.WARNING)
    assert "before the guards" in only(report(jobs=(child(), job(STAMPED, BEFORE)))).problem
    assert report(jobs=(child(), job(STAMPED, AFTER), job(STAMPED, BEFORE, suspend=False))).findings == ()


def test_where_guards_are_missing_no_stamp_is_judged_by_its_age() -> None:
    """The missing guard is the finding."""
    found = report(cron_jobs=(cron_job(STAMPED, BEFORE),), guards=())
    assert [each.subject for each in found.findings] == ["Guards"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"service_accounts": ()}, f"its ServiceAccount {IDENTITY} does not exist"),
        ({"jobs": ()}, f"its timer {IDENTITY} does not exist"),
        ({"jobs": (), "service_accounts": ()}, "its ServiceAccount and its timer"),
        ({"jobs": (child(where="elsewhere"),)}, "its timer"),
    ],
)
def test_a_live_session_has_its_identity_and_its_timer(changes: dict[str, Any], words: str) -> None:
    """A session that is granted and lacks a part is a failure."""
    finding = only(report(**changes))
    assert (finding.subject, finding.severity) == ("TaskSession shop/triage", Severity.FAILURE)
    assert words in finding.problem


def test_sessions_that_are_not_live_need_nothing() -> None:
    """Waiting and finished ones have no identity."""
    found = report(sessions=tuple(session(state, state=state) for state in ("Pending", "Completed")), jobs=())
    assert found.findings == ()


def test_timers_that_could_not_be_listed_are_not_taken_for_gone() -> None:
    """What was not seen is not checked, and no failure."""
    found = report(healthy(), jobs=Unread("no."))
    assert {each.severity for each in found.findings} == {Severity.UNCHECKED}
