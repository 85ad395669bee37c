"""Rule coverage compared with the API server's own verdict.

Who creates a Role must hold all that it grants. So a user who holds a ceiling and asks for a dry run of a Role with
the rules in question gets the verdict that `covers` has to foretell.
"""

import os
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tasksession.api.access import PolicyRule, RoleReference
from tasksession.policy.coverage import covers, may_bind, uncovered
from tests.cluster.api import Api, ApiError, Object
from tests.cluster.waiting import wait_for
from tests.support.rules import CEILINGS, asked_of, rule

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_SEED = int(os.environ.get("TASKSESSION_TEST_SEED", "20260301"))
_CEILINGS = 84
_ASKED_OF_EACH = 25
#: What it takes to create a Role and a RoleBinding at all; it is a part of what the user holds.
_CREATE = rule(("rbac.authorization.k8s.io",), ("roles", "rolebindings"), (), ("create",))
_NOT_HELD = "attempting to grant RBAC permissions not currently held"


class Holder:
    """A user who holds a ceiling in one namespace, and may create Roles there."""

    def __init__(self, admin: Api, namespace: str, ceiling: tuple[PolicyRule, ...]) -> None:
        self.ceiling = (*ceiling, _CREATE)
        name = f"holder-{uuid.uuid4()}"
        self._namespace = namespace
        self._api = admin.as_user(name)
        folder = f"{_RBAC}/namespaces/{namespace}"
        rules = [_manifest(each) for each in self.ceiling]
        admin.create(f"{folder}/roles", {"metadata": {"name": name}, "rules": rules})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}
        admin.create(
            f"{folder}/rolebindings", {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
        )
        # Whoever holds the ceiling may grant the ceiling: so this tells when the authorizer knows of it.
        wait_for(lambda: self.may_grant(self.ceiling), timeout=10, what=f"{name} to hold its rules", interval=0.005)

    def may_grant(self, rules: tuple[PolicyRule, ...]) -> bool:
        """Ask the API server whether the user may create a Role with these rules."""
        return self._allowed("roles", {"metadata": {"name": "asked"}, "rules": [_manifest(each) for each in rules]})

    def may_bind(self, role: RoleReference) -> bool:
        """Ask the API server whether the user may create a RoleBinding to this role."""
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": role.kind, "name": role.name}
        return self._allowed("rolebindings", {"metadata": {"name": "asked"}, "roleRef": reference})

    def _allowed(self, resource: str, body: Object) -> bool:
        try:
            self._api.create(f"{_RBAC}/namespaces/{self._namespace}/{resource}", body, dryRun="All")
        except ApiError as error:
            # Before the authorizer knows of the user, it may create nothing at all: that is no verdict on the rules.
            if error.status == 403 and (_NOT_HELD in error.message or "cannot create resource" in error.message):
                return False
            raise
        return True


def _manifest(each: PolicyRule) -> Object:
    written: Object = each.model_dump(mode="json", by_alias=True)
    return written


@pytest.mark.timeout(180)
def test_covers_agrees_with_the_api_server(admin: Api, namespace: str) -> None:
    """On at least 2,000 random cases, `covers` says exactly what the API server says."""
    verdicts: Counter[bool] = Counter()
    derived = 0

    @seed(_SEED)
    @settings(max_examples=_CEILINGS, database=None, deadline=None, report_multiple_bugs=False)
    @given(CEILINGS, st.integers(0, 2**32 - 1))
    def compare(ceiling: tuple[PolicyRule, ...], number: int) -> None:
        nonlocal derived
        questions = asked_of(ceiling, number, _ASKED_OF_EACH)
        holder = Holder(admin, namespace, ceiling)
        answers = threads.map(holder.may_grant, [each.rules for each in questions])
        for asked, allowed in zip(questions, answers, strict=True):
            verdicts[allowed] += 1
            derived += asked.derived
            assert covers(holder.ceiling, asked.rules) is allowed, f"asked for {asked.rules} under {holder.ceiling}"
            assert (uncovered(holder.ceiling, asked.rules) == []) is allowed

    print(f"seed {_SEED}, TASKSESSION_TEST_SEED sets another")  # noqa: T201 - shown where the test fails
    with ThreadPoolExecutor(max_workers=8) as threads:
        compare()
    total = verdicts.total()
    print(f"{total} cases: {verdicts[True]} allowed, {verdicts[False]} refused, {derived} derived")  # noqa: T201
    assert total >= 2000
    assert min(verdicts[True], verdicts[False]) >= 0.2 * total, "both verdicts have to be common"
    assert derived >= 0.4 * total


def test_may_bind_agrees_with_the_api_server(admin: Api, namespace: str) -> None:
    """A role may be bound by who holds `bind` on it by name, or else all of its rules; URLs are held by nobody here."""
    pods = rule(("",), ("pods",), (), ("get", "list"))
    named = f"tasksession-test-{uuid.uuid4()}"
    urls = {"nonResourceURLs": ["/debug/pprof/heap"], "verbs": ["get"]}
    role = RoleReference(kind="Role", name="readers")
    cluster_role = RoleReference(kind="ClusterRole", name=named)
    admin.create(f"{_RBAC}/namespaces/{namespace}/roles", {"metadata": {"name": "readers"}, "rules": [_manifest(pods)]})
    admin.create(f"{_RBAC}/clusterroles", {"metadata": {"name": named}, "rules": [_manifest(pods), urls]})
    roles = {role: ((pods,), False), cluster_role: ((pods,), True)}

    def bind(resource: str, *names: str) -> PolicyRule:
        return rule(("rbac.authorization.k8s.io",), (resource,), names, ("bind",))

    try:
        for held in (pods, bind("roles"), bind("roles", "readers"), bind("clusterroles", named), bind("*", "other")):
            holder = Holder(admin, namespace, (held,))
            for asked, (rules, has_urls) in roles.items():
                expected = may_bind(holder.ceiling, asked, rules, has_urls=has_urls)
                assert holder.may_bind(asked) is expected, f"{held} held, {asked} asked"
    finally:
        admin.delete(f"{_RBAC}/clusterroles/{named}")
