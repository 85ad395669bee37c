"""All checks in order: facts in, a report out.

Called with the facts that were collected, by the command line and at the operator's start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tasksession.doctor.at_work import check_at_work
from tasksession.doctor.facts import Facts, check_unreadable
from tasksession.doctor.finding import Report
from tasksession.doctor.installation import check_cluster, check_guards, seen_guards
from tasksession.doctor.jobs import check_jobs, check_sessions
from tasksession.doctor.operator_rights import check_ceiling, check_operator, operator_of
from tasksession.doctor.people import check_people
from tasksession.doctor.rbac import grants
from tasksession.guards.comparing import ExpectedGuard


def examine(facts: Facts, expected: Iterable[ExpectedGuard], upstream: Mapping[str, str]) -> Report:
    """Judge what was read. `expected`: the guards that ship; `upstream`: the chart's own value of each placeholder."""
    expected = tuple(expected)
    user = operator_of(facts)
    held = grants(facts)
    guards = seen_guards(facts, expected, user)
    findings = [
        *check_guards(facts, expected, upstream, user),
        *check_cluster(facts),
        *check_at_work(facts),
        *check_operator(facts, held),
        *check_ceiling(facts, guards.values()),
        *check_people(facts, held, user),
        *check_jobs(facts, guards),
        *check_sessions(facts),
        *check_unreadable(facts),
    ]
    return Report(tuple(dict.fromkeys(findings)))
