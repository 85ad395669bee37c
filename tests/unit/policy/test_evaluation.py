"""The verdict on a session: what is denied, what waits, and in which words."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasksession.api.access import Access, PolicyRule, RoleReference
from tasksession.api.conditions import Reason
from tasksession.api.policy import SessionPolicy
from tasksession.policy import ungrantable
from tasksession.policy.coverage import covers
from tasksession.policy.evaluation import (
    Ceiling,
    ConditionAnswer,
    DenialKind,
    Facts,
    NamespaceFact,
    RoleFact,
    deadline_of,
    effective_access,
    effective_ttl,
    evaluate,
    roles_to_look_up,
    rules_hash,
)
from tests.support.rules import CEILINGS, asked_of, rule
from tests.unit import make

EDIT = RoleReference(kind="ClusterRole", name="edit")
LOCAL = RoleReference(kind="Role", name="view")
PODS = rule(("",), ("pods",), (), ("get", "list"))
SECRETS = rule(("",), ("secrets",), (), ("get",))
CEILING = Ceiling(cluster_roles=frozenset({"view"}), rules=(PODS,))
BIND_VIEW = rule(("rbac.authorization.k8s.io",), ("clusterroles",), ("view",), ("bind",))


def facts(**changed: Any) -> Facts:
    """Facts under which `make.session()` is allowed by `make.policy()`."""
    usual = Facts(
        now=make.NOW + timedelta(seconds=1),
        namespace=NamespaceFact(name=make.NAMESPACE, labels={"tier": "2"}),
        excluded_namespaces=frozenset({"kube-*"}),
        may_use=True,
        ceiling=CEILING,
        own_rules=(BIND_VIEW, PODS),
        roles={make.VIEW: RoleFact(rules=(PODS,))},
    )
    return replace(usual, **changed)


def inline(*rules: PolicyRule) -> dict[str, Any]:
    """The access of inline rules, as in a manifest."""
    return {"rules": Access(rules=rules).model_dump(mode="json", by_alias=True)["rules"]}


def denied(
    spec: dict[str, Any] | None = None, policy: dict[str, Any] | None = None, **changed: Any
) -> dict[DenialKind, str]:
    """What the verdict denies of a session, a policy and facts with these changes."""
    verdict = evaluate(
        session=make.session(**(spec or {})), policy=make.policy(**(policy or {})), facts=facts(**changed)
    )
    assert verdict.allowed is (not verdict.denials and not verdict.waits)
    return {denial.kind: denial.message for denial in verdict.denials}


def test_what_the_policy_allows_is_allowed_with_the_hash_of_each_role() -> None:
    """The verdict carries what was judged, so that a later change of a role is noticed."""
    access = {"roles": [{"kind": "ClusterRole", "name": "view"}], **inline(PODS)}
    verdict = evaluate(session=make.session(access=access), policy=make.policy(access=access), facts=facts())
    assert verdict.allowed
    assert verdict.rules_hashes == {make.VIEW: rules_hash([PODS]), None: rules_hash([PODS])}


ELSEWHERE = {"namespaces": {"names": ["elsewhere"]}}


@pytest.mark.parametrize(
    ("spec", "policy", "changed", "kind", "words"),
    [
        ({"requester": None}, {}, {}, DenialKind.REQUESTER, "Nobody is stamped as the requester"),
        ({"requester": {"username": f"system:serviceaccount:support:{make.identity()}"}}, {}, {},
         DenialKind.REQUESTER, "a session cannot ask for another"),
        ({}, {}, {"may_use": False}, DenialKind.USE,
         "jane may not use SessionPolicy ticket-triage in namespace support: have the verb use"),
        ({}, {"suspended": True}, {}, DenialKind.SUSPENDED, "SessionPolicy ticket-triage is suspended"),
        ({}, ELSEWHERE, {}, DenialKind.NAMESPACE, "not for namespace support: ask in another namespace"),
        ({}, {"namespaces": {"matchLabels": {"tier": "1"}}}, {}, DenialKind.NAMESPACE, "those labelled tier=1"),
        ({}, {"namespaces": {}}, {}, DenialKind.NAMESPACE, "not for namespace support"),
        ({}, {}, {"namespace": NamespaceFact(make.NAMESPACE, None)}, DenialKind.NAMESPACE, "not for namespace"),
        ({}, {}, {"excluded_namespaces": frozenset({"sup*"})}, DenialKind.NAMESPACE, "excluded at installation"),
        ({}, {"tasks": ["External"]}, {}, DenialKind.TASK, "not for tasks of the kind Job, only for External"),
        ({"task": {"external": {}}}, {}, {}, DenialKind.TASK, "of the kind External, only for Job"),
        ({"task": {}}, {}, {}, DenialKind.TASK, "exactly one of jobTemplate, job, external"),
        ({"task": {"external": {}}, "token": {"delivery": "Secret"}}, {"tasks": ["External"]}, {},
         DenialKind.TOKEN, "does not allow the delivery Secret, only TokenRequest"),
        ({"token": {"audiences": ["https://a"]}}, {}, {}, DenialKind.TOKEN, "audience https://a, none but the API"),
        ({"token": {"audiences": ["https://a"]}}, {"audiences": ["https://b"]}, {},
         DenialKind.TOKEN, "audience https://a, only https://b"),
        ({"ttl": "31m"}, {}, {}, DenialKind.TIME, "is 31m, and SessionPolicy ticket-triage allows 30m at most"),
        ({"ttl": "9s"}, {}, {}, DenialKind.TIME, "spec.ttl is 9s: a session lasts from 10s to 24h"),
        ({"ttl": "25h"}, {"maxTTL": "48h"}, {}, DenialKind.TIME, "a session lasts from 10s to 24h"),
        ({"ttl": "-5m"}, {}, {}, DenialKind.TIME, "spec.ttl is -5m"),
        ({"ttl": "soon"}, {}, {}, DenialKind.TIME, "spec.ttl cannot be read: 'soon' is not a duration"),
        ({}, {"maxTTL": "later"}, {}, DenialKind.TIME, "The maxTTL of SessionPolicy ticket-triage cannot be read"),
        ({"ttl": None}, {"defaults": {"ttl": "1h"}}, {}, DenialKind.TIME, "The default ttl of SessionPolicy"),
        ({"notAfter": "2026-03-01T12:00:01Z"}, {}, {}, DenialKind.TIME, "notAfter 2026-03-01T12:00:01Z has passed"),
        ({"access": None}, {}, {}, DenialKind.ACCESS, "asks for nothing, and the policy has no defaults.access"),
        ({"access": {}}, {"defaults": {"access": inline(PODS)}}, {}, DenialKind.ACCESS, "spec.access is empty"),
        ({"access": {"roles": [{"kind": "ClusterRole", "name": "edit"}]}}, {}, {}, DenialKind.ACCESS,
         "edit: not among the roles that SessionPolicy ticket-triage allows; ask for one of ClusterRole view"),
        ({"access": {"roles": [{"kind": "Role", "name": "view"}]}}, {}, {}, DenialKind.ACCESS, "Role view: not among"),
        ({}, {}, {"roles": {make.VIEW: RoleFact(rules=None)}}, DenialKind.ACCESS, "no such role exists"),
        ({}, {}, {"own_rules": ()}, DenialKind.CEILING, "ClusterRole view: beyond what the operator itself may bind"),
        ({"access": inline(PODS)}, {}, {}, DenialKind.ACCESS, "does not allow get, list on pods: ask for less"),
        ({"access": inline(SECRETS)}, {"access": inline(SECRETS)}, {}, DenialKind.CEILING,
         "The operator's ceiling does not have get on secrets: have it added (ceiling.rules of the chart)"),
        ({"access": inline(PODS)}, {"access": inline(PODS)}, {"own_rules": ()}, DenialKind.CEILING,
         "The operator itself does not hold get, list on pods in namespace support"),
        ({}, {}, {"ceiling": Ceiling()}, DenialKind.CEILING,
         "ClusterRole view: beyond the operator's ceiling; have ceiling.clusterRoles of the chart widened"),
        ({"access": inline(PODS)}, {"access": inline(PODS)}, {"ceiling": Ceiling()}, DenialKind.CEILING,
         "The operator's ceiling does not have get, list on pods"),
    ],
)  # fmt: skip
def test_each_denial_names_its_cause(
    spec: dict[str, Any], policy: dict[str, Any], changed: dict[str, Any], kind: DenialKind, words: str
) -> None:
    """One thing at a time is wrong: that one is denied, and nothing else."""
    found = denied(spec, policy, **changed)
    assert list(found) == [kind]
    assert words in found[kind]
    assert found[kind].endswith(".")


def test_every_reason_is_told_at_once() -> None:
    """Whoever mends the manifest need not come back for the next reason."""
    found = denied(
        {"ttl": "2h", "access": {"roles": [{"kind": "ClusterRole", "name": "edit"}], **inline(SECRETS)}},
        {"suspended": True, "namespaces": {"names": ["other"]}},
        may_use=False,
    )
    assert set(found) >= {DenialKind.TIME, DenialKind.SUSPENDED, DenialKind.NAMESPACE, DenialKind.USE}


def test_a_role_is_not_allowed_because_its_rules_are() -> None:
    """A policy that allows the rules of a role does not thereby allow the role: it may be widened later."""
    found = denied({}, {"access": inline(rule(("*",), ("*",), (), ("*",)))})
    assert "not among the roles" in found[DenialKind.ACCESS]


def test_a_role_of_the_ceiling_that_the_operator_holds_needs_no_right_to_bind() -> None:
    """As RBAC has it: who holds all of a role's rules may bind it."""
    assert denied(own_rules=(PODS,)) == {}
    assert DenialKind.CEILING in denied(own_rules=(PODS,), roles={make.VIEW: RoleFact((PODS,), has_urls=True)})


def test_a_role_is_not_in_the_ceiling_because_the_operator_holds_its_rules() -> None:
    """What the operator holds for its own work is nobody's to have: a ClusterRole counts by its name alone."""
    jobs = rule(("batch",), ("jobs",), (), ("create",))
    found = denied(own_rules=(jobs,), ceiling=Ceiling(rules=(PODS,)), roles={make.VIEW: RoleFact((jobs,))})
    assert "beyond the operator's ceiling" in found[DenialKind.CEILING]
    found = denied({"access": inline(jobs)}, {"access": inline(jobs)}, own_rules=(jobs,))
    assert "ceiling does not have create on jobs in group batch" in found[DenialKind.CEILING]


@pytest.mark.parametrize(
    ("rules", "has_urls", "within"),
    [
        ((PODS,), False, True),
        ((), False, True),
        ((PODS,), True, False),
        ((PODS, SECRETS), False, False),
        ((rule(("batch",), ("jobs",), (), ("create",)),), False, False),
        ((rule(("",), ("pods",), ("one",), ("get",)),), False, True),
    ],
)
def test_a_role_of_the_namespace_is_within_the_ceiling_by_its_rules(
    rules: tuple[PolicyRule, ...], has_urls: bool, within: bool
) -> None:
    """Whoever is admin in the namespace writes it, so its name says nothing: ceiling.rules have to cover it."""
    access = {"roles": [{"kind": "Role", "name": "view"}]}
    held = (rule(("*",), ("*",), (), ("*",)),)
    found = denied(
        {"access": access}, {"access": access}, own_rules=held, roles={LOCAL: RoleFact(rules, has_urls=has_urls)}
    )
    assert list(found) == ([] if within else [DenialKind.CEILING])
    assert within or "have ceiling.rules of the chart widened" in found[DenialKind.CEILING]


RBAC = "rbac.authorization.k8s.io"
ADMISSION = "admissionregistration.k8s.io"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (rule((RBAC,), ("rolebindings",), (), ("create",)), "hand its rights on"),
        (rule((RBAC,), ("clusterroles",), ("view",), ("bind",)), "hand its rights on"),
        (rule(("certificates.k8s.io",), ("certificatesigningrequests",), (), ("create",)), "certificates that outlive"),
        (rule(("tasksession.dev",), ("tasksessions",), (), ("create",)), "start, approve or end sessions"),
        (rule(("tasksession.dev",), ("sessionpolicies",), (), ("use",)), "start, approve or end sessions"),
        (rule((ADMISSION,), ("validatingadmissionpolicies",), (), ("delete",)), "change admission"),
        (rule(("", ADMISSION), ("*",), (), ("*",)), "change admission"),
        (rule(("*",), ("configmaps",), (), ("patch",)), "name the groups"),
        (rule(("",), ("serviceaccounts",), ("default",), ("impersonate",)), "impersonate others"),
        (rule(("authentication.k8s.io",), ("users",), (), ("impersonate:user-info",)), "impersonate others"),
        (rule(("",), ("pods",), (), ("impersonate-on:user-info:get",)), "impersonate others"),
        (rule(("authentication.k8s.io",), ("tokenreviews",), (), ("create",)), "review tokens"),
        (rule(("",), ("configmaps",), ("a",), ("create", "get")), "RBAC knows no name at create"),
        (rule(("",), ("configmaps",), ("a",), ("deletecollection",)), "RBAC knows no name at deletecollection"),
    ],
)
def test_some_rules_are_never_granted(asked: PolicyRule, words: str) -> None:
    """Policy, ceiling and the operator's own rights allow it: no session gets it all the same."""
    found = denied(
        {"access": inline(asked)}, {"access": inline(asked)}, ceiling=Ceiling(rules=(asked,)), own_rules=(asked,)
    )
    assert list(found) == [DenialKind.UNGRANTABLE]
    assert words in found[DenialKind.UNGRANTABLE]


@pytest.mark.parametrize(
    "asked",
    [
        rule((RBAC, ADMISSION, "tasksession.dev"), ("*",), (), ("get", "list", "watch")),
        rule(("*",), ("*",), (), ("get",)),
        rule(("",), ("pods/exec",), ("one",), ("create",)),
        rule(("",), ("configmaps",), ("a",), ("get", "patch", "update", "delete")),
        rule(("",), ("configmaps",), (), ("create", "deletecollection")),
    ],
)
def test_reads_and_ordinary_writes_are_granted(asked: PolicyRule) -> None:
    """Reading is no harm, a subresource has its object's name, and a create without names is one of all names."""
    allowed = {"access": inline(asked)}
    assert denied(allowed, allowed, ceiling=Ceiling(rules=(asked,)), own_rules=(asked,)) == {}


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (rule((ADMISSION,), ("mutatingwebhookconfigurations",), (), ("patch",)), "change admission"),
        (rule(("*",), ("*",), (), ("*",)), "change admission"),
        (rule(("*",), ("validatingadmissionpolicies/status",), (), ("update",)), "change admission"),
        (rule(("authentication.k8s.io",), ("*",), (), ("impersonate:serviceaccount",)), "impersonate others"),
    ],
)
def test_a_role_is_not_granted_for_what_no_guard_could_police(held: PolicyRule, words: str) -> None:
    """Listed by policy and ceiling, it is denied by its content, and the rule is named."""
    found = denied(roles={make.VIEW: RoleFact((PODS, held))})
    assert list(found) == [DenialKind.UNGRANTABLE]
    assert "ClusterRole view has" in found[DenialKind.UNGRANTABLE]
    assert words in found[DenialKind.UNGRANTABLE]


def test_roles_that_kubernetes_brings_are_granted() -> None:
    """`edit` impersonates and writes TaskSessions, `admin` writes Roles: guards refuse a session that."""
    held = (
        rule(("",), ("serviceaccounts",), (), ("impersonate",)),
        rule(("tasksession.dev",), ("tasksessions",), (), ("create", "delete")),
        rule((RBAC,), ("roles", "rolebindings"), (), ("create",)),
        rule(("*",), ("*",), (), ("get", "list", "watch")),
        rule(("*",), ("deployments",), (), ("*",)),
    )
    assert denied(roles={make.VIEW: RoleFact(held)}) == {}


def test_a_role_that_the_policy_does_not_list_is_not_even_looked_up() -> None:
    """Nobody can have the operator look for roles of their choice."""
    session = make.session(access={"roles": [{"kind": "ClusterRole", "name": n} for n in ("view", "edit")]})
    assert roles_to_look_up(session, make.policy()) == (make.VIEW,)
    assert DenialKind.ACCESS in denied({"access": {"roles": [{"kind": "ClusterRole", "name": "edit"}]}}, roles={})


def test_a_fact_that_was_not_looked_up_is_an_error_not_an_answer() -> None:
    """A missing look-up can neither grant nor deny."""
    with pytest.raises(LookupError):
        evaluate(session=make.session(), policy=make.policy(), facts=facts(roles={}))


def test_the_policys_defaults_are_judged_like_anything_else() -> None:
    """A default that the policy itself does not allow is denied, not granted by accident."""
    assert DenialKind.ACCESS in denied({"access": None}, {"defaults": {"access": inline(SECRETS)}})


CONDITION = {"name": "ticket", "expression": "false", "message": "needs a change ticket"}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ((), "was not evaluated"),
        ((ConditionAnswer("other", holds=True),), "was not evaluated"),
        ((ConditionAnswer("ticket", holds=False),), "is not met: needs a change ticket."),
        (
            (ConditionAnswer("ticket", holds=False, problem="divide by zero"),),
            "not be decided, so it counts as not met (d",
        ),
        ((ConditionAnswer("ticket", holds=True, problem="odd"),), "could not be decided"),
    ],
)
def test_a_condition_without_a_clear_yes_denies(answers: tuple[ConditionAnswer, ...], words: str) -> None:
    """False, undecided and unasked are all a no, each in its own words."""
    found = denied({}, {"conditions": [CONDITION]}, condition_answers=answers)
    assert words in found[DenialKind.CONDITION]


def test_a_condition_that_holds_does_not_deny() -> None:
    """A clear yes is enough."""
    assert denied({}, {"conditions": [CONDITION]}, condition_answers=(ConditionAnswer("ticket", holds=True),)) == {}


@pytest.mark.parametrize(
    ("policy", "changed", "reason"),
    [
        ({"limits": {"active": 2}}, {"active": 2}, Reason.LIMIT_REACHED),
        ({"limits": {"active": 2}}, {"active": 1}, None),
        ({"limits": {"activePerRequester": 1}}, {"active_per_requester": 1}, Reason.LIMIT_REACHED),
        ({"limits": {"activePerRequester": 1}}, {"active": 9}, None),
        ({"approval": {"required": 1}}, {}, Reason.AWAITING_APPROVAL),
    ],
)
def test_what_may_still_come_is_waited_for(
    policy: dict[str, Any], changed: dict[str, Any], reason: Reason | None
) -> None:
    """Limits and approvals are no denials, and no grant either."""
    verdict = evaluate(session=make.session(), policy=make.policy(**policy), facts=facts(**changed))
    assert verdict.denials == ()
    assert [wait.reason for wait in verdict.waits] == ([] if reason is None else [reason])
    assert verdict.allowed is (reason is None)
    assert bool(verdict.rules_hashes) is verdict.allowed


@pytest.mark.parametrize(
    ("labels", "annotations"),
    [
        ({"kustomize.toolkit.fluxcd.io/name": "apps"}, {}),
        ({"argocd.argoproj.io/instance": "apps"}, {}),
        ({}, {"argocd.argoproj.io/tracking-id": "apps:x"}),
        ({}, {"argocd.argoproj.io/sync-wave": "1"}),
        ({"kustomize.toolkit.fluxcd.io/namespace": "apps"}, {}),
        ({"app.kubernetes.io/managed-by": "Helm"}, {}),
        ({}, {"meta.helm.sh/release-name": "apps"}),
    ],
)
def test_what_is_applied_from_elsewhere_must_leave_its_tombstone(
    labels: dict[str, str], annotations: dict[str, str]
) -> None:
    """A tool that finds its object gone creates it again, and the rights with it."""
    for seconds, expected in ((None, []), (60, [DenialKind.TOMBSTONE])):
        plain = make.session(ttlSecondsAfterFinished=seconds)
        metadata = plain.metadata.model_copy(update={"labels": labels, "annotations": annotations})
        tracked = plain.model_copy(update={"metadata": metadata})
        verdict = evaluate(session=tracked, policy=make.policy(), facts=facts())
        assert [denial.kind for denial in verdict.denials] == expected
    assert evaluate(session=plain, policy=make.policy(), facts=facts()).allowed


def test_no_message_grows_with_what_was_asked() -> None:
    """The largest manifest still gets a verdict that fits into a condition."""
    words = tuple("x" * 240 + str(i) for i in range(64))
    roles = [{"kind": "ClusterRole", "name": word} for word in words]
    large = [rule(words[:32], words, words, words[:32]) for _ in range(64)]
    verdict = evaluate(
        session=make.session(access={"roles": roles, **inline(*large)}, token={"audiences": list(words)}),
        policy=make.policy(access={"roles": roles[:1], "rules": []}, audiences=list(words[:1])),
        facts=facts(roles={RoleReference.model_validate(roles[0]): RoleFact(rules=None)}),
    )
    assert sum(len(denial.message) for denial in verdict.denials) < 20_000


@pytest.mark.parametrize(
    ("spec", "policy", "seconds"),
    [
        ({}, {}, 600),
        ({"ttl": None}, {}, 1800),
        ({"ttl": None}, {"defaults": {"ttl": "90s"}}, 90),
        ({"ttl": "1500ms"}, {}, 1),
        ({"ttl": "soon"}, {}, 0),
        ({"ttl": "-5m"}, {}, 0),
        ({"notAfter": "2026-03-01T12:03:00Z"}, {}, 180),
        ({"notAfter": "2026-03-01T13:00:00Z"}, {}, 600),
    ],
)
def test_the_deadline_follows_from_manifest_policy_and_creation(
    spec: dict[str, Any], policy: dict[str, Any], seconds: int
) -> None:
    """Whole seconds after the basis, never beyond notAfter; a length that cannot be read is none at all."""
    session, under = make.session(**spec), make.policy(**policy)
    assert deadline_of(session, under, basis=make.NOW) == make.NOW + timedelta(seconds=seconds)
    assert effective_ttl(session, under) >= timedelta(0)


def test_a_roles_hash_does_not_depend_on_order_but_on_every_value() -> None:
    """Aggregation puts a role's rules together in any order."""
    wide = rule(("", "apps"), ("pods",), (), ("get", "list"))
    turned = rule(("apps", ""), ("pods", "pods"), (), ("list", "get"))
    assert rules_hash([wide, SECRETS]) == rules_hash([SECRETS, turned, turned])
    others = [
        [wide],
        [wide, rule(("",), ("secrets",), ("a",), ("get",))],
        [rule(("apps",), ("pods",), (), ("get", "list")), SECRETS],
        [rule(("", "apps"), ("pods",), (), ("get",)), SECRETS],
    ]
    assert len({rules_hash(each) for each in [*others, [wide, SECRETS]]}) == 5


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(CEILINGS, CEILINGS, st.integers(0, 2**32 - 1))
def test_what_is_granted_is_asked_and_allowed_and_held(
    allowed: tuple[PolicyRule, ...], own: tuple[PolicyRule, ...], number: int
) -> None:
    """Rules are granted only within the policy's and the ceiling; asking for less never turns yes into no."""
    everything = (rule(("*",), ("*",), (), ("*",)),)
    known = facts(ceiling=Ceiling(rules=own), own_rules=everything)
    for ceiling in (allowed, own):
        for asked in asked_of(ceiling, number, 4):
            policy = make.policy(access=inline(*allowed))
            granted = evaluate(session=make.session(access=inline(*asked.rules)), policy=policy, facts=known)
            possible = not list(ungrantable.in_rules(asked.rules))
            assert granted.allowed is (covers(allowed, asked.rules) and covers(own, asked.rules) and possible)
            if granted.allowed:
                less = make.session(access=inline(asked.rules[0]))
                assert evaluate(session=less, policy=policy, facts=known).allowed


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(st.data())
def test_no_change_for_the_worse_turns_no_into_yes(data: st.DataObject) -> None:
    """Taking anything away from the facts or the policy never makes a session allowed."""
    suspended, may_use, excluded, owned, listed = (data.draw(st.booleans()) for _ in range(5))
    spec = {"ttl": data.draw(st.sampled_from(["5m", "30m", "40m"]))}
    policy: SessionPolicy = make.policy(
        suspended=suspended, **({} if listed else {"access": {"roles": [{"kind": "Role", "name": "view"}]}})
    )
    verdict = evaluate(
        session=make.session(**spec),
        policy=policy,
        facts=facts(
            may_use=may_use,
            ceiling=CEILING if owned else Ceiling(),
            excluded_namespaces=frozenset({"*"} if excluded else ()),
        ),
    )
    bad = [suspended, not may_use, excluded, not owned and listed, not listed, spec["ttl"] == "40m"]
    assert verdict.allowed is not any(bad)
    assert len(verdict.denials) == sum(bad)
    assert effective_access(make.session(**spec), policy) == Access(roles=(make.VIEW,))
