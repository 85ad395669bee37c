"""Attacks on the verdict of a running operator: more than policy or ceiling allow, odd input, other people's names."""

from typing import Any

from tests.attacks.attack import Attacker, Mechanism, Table, Threat, harm, kubernetes, operator
from tests.attacks.court import Court
from tests.cluster import wait_for
from tests.cluster.api import Object

TABLE = Table[Court]()
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def denied(*words: str) -> Mechanism:
    """Let the operator say no for good."""
    return operator("Denied", words)


def definition(words: str) -> Mechanism:
    """Let the definition of the kind refuse."""
    return kubernetes("the definition", 422, words)


def rule(**changes: Any) -> Object:
    """Return access of one rule: reading ConfigMaps, with something changed."""
    return {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], **changes}]}


def condition(expression: str) -> Object:
    """Return a policy with one condition."""
    return {"conditions": [{"name": "ticket", "expression": expression, "message": "needs a ticket"}]}


# More than the policy allows


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("ClusterRole edit"))
def jane_asks_for_a_role_that_is_not_listed(court: Court) -> None:
    """Jane asks for the role edit under a policy that lists view."""
    court.asks(access={"roles": [{"kind": "ClusterRole", "name": "edit"}]})


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("Role view"))
def jane_asks_for_a_role_of_a_listed_name(court: Court) -> None:
    """Jane asks for a Role of the namespace that somebody named like the ClusterRole that is listed."""
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    path = f"{RBAC}/namespaces/{court.world.namespace}/roles"
    court.world.admin.create(path, {"metadata": {"name": "view"}, "rules": rules})
    try:
        court.asks(access={"roles": [{"kind": "Role", "name": "view"}]})
    finally:
        court.world.admin.delete(f"{path}/view")


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("configmaps"))
def jane_asks_for_all_names(court: Court) -> None:
    """Jane leaves resourceNames out, which stands for all names, where the policy has one."""
    court.asks(access=rule())


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, definition("resourceNames"))
def jane_asks_for_the_empty_name(court: Court) -> None:
    """Jane asks for a resource of no name, which RBAC takes for requests without one: a list."""
    court.asks(access=rule(resourceNames=[""]))


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("configmaps"))
def jane_asks_for_no_names(court: Court) -> None:
    """Jane writes an empty list of names, which RBAC takes for all of them."""
    court.asks(access=rule(resourceNames=[]))


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("list"))
def jane_asks_for_a_verb_more(court: Court) -> None:
    """Jane asks to list what she may get."""
    court.asks(access=rule(verbs=["get", "list"], resourceNames=["triage"]))


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("*"))
def jane_asks_for_all_verbs(court: Court) -> None:
    """Jane asks for the verb *, which holds all that there are and will be."""
    court.asks(access=rule(verbs=["*"], resourceNames=["triage"]))


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("*"))
def jane_asks_for_all_resources(court: Court) -> None:
    """Jane asks for the resource * of that one name."""
    court.asks(access=rule(resources=["*"], resourceNames=["triage"]))


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("*"))
def jane_asks_for_all_groups(court: Court) -> None:
    """Jane asks for configmaps of every API group."""
    court.asks(access=rule(apiGroups=["*"], resourceNames=["triage"]))


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("pods/exec"))
def jane_asks_for_a_subresource(court: Court) -> None:
    """Jane asks to exec into pods under a policy that has pods."""
    policy = {"access": rule(resources=["pods"], verbs=["get", "create"])}
    court.asks(policy=policy, access=rule(resources=["pods/exec"], verbs=["create"]))


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("*/scale"))
def jane_asks_for_a_subresource_of_everything(court: Court) -> None:
    """Jane asks for */scale, which RBAC takes for that subresource of all resources."""
    court.asks(access=rule(resources=["*/scale"], verbs=["get"]))


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("impersonate"))
def jane_asks_to_impersonate(court: Court) -> None:
    """Jane asks for the right to act as another ServiceAccount."""
    court.asks(access=rule(resources=["serviceaccounts"], verbs=["impersonate"], resourceNames=["default"]))


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("2h", "30m"))
def jane_asks_for_more_time(court: Court) -> None:
    """Jane asks for two hours under a policy that gives half of one."""
    court.asks(ttl="2h")


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, definition("ttl"))
def jane_asks_for_time_without_end(court: Court) -> None:
    """Jane writes a duration that overflows whoever computes with it."""
    court.asks(ttl="99999999999999999999h")


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, definition("ttl"))
def jane_asks_for_less_than_no_time(court: Court) -> None:
    """Jane writes a negative duration."""
    court.asks(ttl="-5m")


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("suspended"))
def jane_uses_a_suspended_policy(court: Court) -> None:
    """Jane asks under a policy that was switched off."""
    court.asks(policy={"suspended": True})


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("namespace"))
def jane_uses_a_policy_of_another_namespace(court: Court) -> None:
    """Jane, who may use it here, asks under a policy that is for other namespaces."""
    court.asks(policy={"namespaces": {"names": ["elsewhere"]}})


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("namespace"))
def jane_uses_a_policy_for_labelled_namespaces(court: Court) -> None:
    """Jane asks under a policy that is for namespaces of another label."""
    court.asks(policy={"namespaces": {"matchLabels": {"tier": "prod"}}})


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, operator("PolicyNotFound", "nothing-of-the-kind"))
def jane_uses_a_policy_that_is_not_there(court: Court) -> None:
    """Jane asks under a policy that nobody wrote."""
    court.asks_under("nothing-of-the-kind")


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("Job"))
def jane_asks_for_a_task_that_the_policy_does_not_have(court: Court) -> None:
    """Jane asks for a Job under a policy for tasks outside the cluster."""
    court.asks(policy={"tasks": ["External"]})


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, kubernetes("the definition", None, "it has External alone"))
def jane_uses_what_a_policy_had_by_default(court: Court) -> None:
    """Jane asks for a Job under a policy that was applied again with other tasks: its default is to be gone."""
    court.world.set_policy()
    court.world.set_policy(tasks=["External"])
    found = court.world.admin.get(f"/apis/tasksession.dev/v1alpha1/sessionpolicies/{court.world.policy}")
    harm("Job" in found["spec"]["tasks"], f"it has {' and '.join(found['spec']['tasks'])} alone")


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, operator("AwaitingApproval", ""))
def jane_asks_where_others_have_to_approve(court: Court) -> None:
    """Jane asks under a policy that wants an approver."""
    court.asks(policy={"approval": {"required": 1}})


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, definition("Too long"))
def jane_gives_a_megabyte_of_reasons(court: Court) -> None:
    """Jane writes a reason so long that conditions and records drown in it."""
    court.asks(reason="x" * 1_000_000)


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, definition("Too many"))
def jane_asks_with_a_thousand_rules(court: Court) -> None:
    """Jane writes so many rules that comparing them takes for ever."""
    court.asks(access={"rules": rule()["rules"] * 1000})


# Conditions


@TABLE.attack(Attacker.AUTHOR, Threat.CONDITION, denied("ticket"))
def a_condition_fails(court: Court) -> None:
    """A condition reads a field that is not there: an error is no yes."""
    court.asks(policy=condition("session.spec.nothing == 'x'"))


@TABLE.attack(Attacker.AUTHOR, Threat.CONDITION, denied("ticket"))
def a_condition_divides_by_zero(court: Court) -> None:
    """A condition divides by zero, which comes back as something that is true in Python."""
    court.asks(policy=condition("1 / (size(session.spec.reason) - size(session.spec.reason)) == 1"))


@TABLE.attack(Attacker.AUTHOR, Threat.CONDITION, denied("ticket"))
def a_condition_returns_a_string(court: Court) -> None:
    """A condition returns "true", with quotes."""
    court.asks(policy=condition("'true'"))


@TABLE.attack(Attacker.AUTHOR, Threat.CONDITION, denied("ticket"))
def a_condition_returns_a_number(court: Court) -> None:
    """A condition returns 1."""
    court.asks(policy=condition("1"))


@TABLE.attack(Attacker.AUTHOR, Threat.CONDITION, denied("ticket"))
def a_condition_is_no_expression(court: Court) -> None:
    """A condition does not compile."""
    court.asks(policy=condition("session.spec.reason ==="))


@TABLE.attack(Attacker.AUTHOR, Threat.CONDITION, denied("ticket"))
def a_condition_loops(court: Court) -> None:
    """A condition goes through a list in a list in a list: a million million steps."""
    nested = "true"
    for name in "abcdefghijklmnop":
        nested = f"[1, 2, 3, 4, 5, 6, 7, 8, 9].all({name}, {nested})"
    court.asks(policy=condition(nested))


@TABLE.attack(Attacker.AUTHOR, Threat.CONDITION, denied("ticket"))
def a_condition_eats_memory(court: Court) -> None:
    """A condition doubles a string again and again, past all memory."""
    expression = "['xxxxxxxxxxxxxxxx']" + ".map(x, x + x)" * 30 + ".size() == 1"
    court.asks(policy=condition(expression))


# Names, and Jobs that ask or join


@TABLE.attack(Attacker.EDIT, Threat.TAKEN_OVER, operator("JobNotOurs", ""))
def dan_makes_the_job_first(court: Court) -> None:
    """Dan creates a Job of the name that Jane's session will use, to have it released with her identity."""
    body = {"metadata": {"name": court.name}, "spec": court.world.job_spec(suspend=True)}
    court.dan.create(court.world.path("Job"), body)
    court.asks()


@TABLE.attack(Attacker.REQUESTER, Threat.TAKEN_OVER, operator("JobNotOurs", "delete it"))
def dan_makes_the_session_first(court: Court) -> None:
    """Dan creates a TaskSession of the name of Jane's annotated Job, to be granted what she asks for."""
    court.world.set_policy()
    court.world.request(court.name, by=court.dan, task={"job": {"name": "elsewhere"}})
    court.job()
    court.told(court.name, "JobNotOurs")


@TABLE.attack(Attacker.REQUESTER, Threat.TAKEN_OVER, operator("JobNotOurs", ""))
def dan_joins_janes_session(court: Court) -> None:
    """Dan has a Job of his join the TaskSession that Jane asked for, under the name that she wrote into it."""
    court.world.set_policy()
    court.world.request(court.name, task={"job": {"name": f"{court.name}-work"}})
    court.job(f"{court.name}-work", by=court.dan, session=court.name)
    court.judged_at_last(court.name)


@TABLE.attack(Attacker.REQUESTER, Threat.TAKEN_OVER, operator("JobNotOurs", ""))
def dan_takes_janes_job_into_his_session(court: Court) -> None:
    """Dan creates a TaskSession for a Job of Jane's that asks by annotation for another."""
    court.world.set_policy()
    court.job()
    court.world.request(f"{court.name}-his", by=court.dan, task={"job": {"name": court.name}})
    court.judged_at_last(f"{court.name}-his")


@TABLE.attack(Attacker.REQUESTER, Threat.SECOND_GRANT, operator("JobNotOurs", ""))
def jane_takes_a_job_that_ran_into_a_second_session(court: Court) -> None:
    """Jane asks a second time for a Job that had its session, under another TaskSession."""
    court.world.set_policy()
    court.world.request(court.name, task={"job": {"name": f"{court.name}-work"}})
    court.job(f"{court.name}-work", session=court.name)
    court.world.wait_state(court.name, "Active")
    court.world.request(f"{court.name}-two", task={"job": {"name": f"{court.name}-work"}})
    court.judged_at_last(f"{court.name}-two")


@TABLE.attack(Attacker.REQUESTER, Threat.SECOND_GRANT, kubernetes("operator: stops the Job", None, "it was stopped"))
def jane_deletes_the_session_of_her_running_job(court: Court) -> None:
    """Jane deletes the TaskSession of her annotated Job while it runs, to be granted another with its time anew."""
    court.world.set_policy()
    access = "roles: [{kind: ClusterRole, name: view}]"
    court.job(access=access)
    path = f"{court.world.sessions}/{court.name}"
    wait_for(lambda: court.world.admin.find(path), timeout=20, what="the Job's session")
    court.world.wait_state(court.name, "Active")
    court.world.jane.delete(path)
    job = court.world.path("Job", court.name)

    def stopped() -> bool:
        return bool(court.world.admin.get(job)["spec"].get("activeDeadlineSeconds") == 1)

    wait_for(stopped, timeout=20, what="the Job to be stopped")
    harm(court.world.admin.find(path), "it was stopped")


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, operator("InvalidJob", ""))
def janes_access_is_a_bomb(court: Court) -> None:
    """Jane's annotation is YAML whose aliases unfold into more than any memory holds."""
    court.world.set_policy()
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    court.job(access="\n".join([*lines, "rules: *a11"]))
    court.judged_at_last(court.name)


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, operator("InvalidJob", ""))
def janes_access_is_nested_without_end(court: Court) -> None:
    """Jane's annotation is YAML so deep that whoever parses it runs out of stack."""
    court.world.set_policy()
    court.job(access="[" * 4000)
    court.judged_at_last(court.name)


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, operator("InvalidJob", ""))
def janes_access_makes_an_object(court: Court) -> None:
    """Jane's annotation is YAML that has a careless parser run a command."""
    court.world.set_policy()
    court.job(access="rules: !!python/object/apply:os.system ['true']")
    court.judged_at_last(court.name)


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, operator("InvalidJob", "resourceName"))
def janes_access_has_a_misspelt_field(court: Court) -> None:
    """Jane's annotation has resourceName for resourceNames: left out, all names would be hers."""
    court.world.set_policy()
    court.job(access="rules: [{apiGroups: [''], resources: [configmaps], verbs: [get], resourceName: [triage]}]")
    court.judged_at_last(court.name)


@TABLE.attack(Attacker.REQUESTER, Threat.BEYOND_POLICY, denied("ClusterRole admin"))
def janes_job_asks_for_more_than_the_policy(court: Court) -> None:
    """Jane asks for the role admin in her Job's annotation."""
    court.world.set_policy()
    court.job(access="roles: [{kind: ClusterRole, name: admin}]")
    court.judged_at_last(court.name)


@TABLE.attack(Attacker.REQUESTER, Threat.FORGED_REQUESTER, operator("Denied", "dan"))
def dans_right_is_taken_while_he_waits(court: Court) -> None:
    """Dan, whose `use` is taken after he asked, gets his session when its policy comes to be."""
    late = f"{court.world.namespace}-{court.name}-late"
    court.world.policy = late
    court.world.request(court.name, by=court.dan)
    court.world.wait_reason(court.name, "PolicyNotFound")
    path = court.world.path("RoleBinding", "dan-uses")
    kept = court.world.admin.get(path)
    court.world.admin.delete(path)
    try:
        court.world.set_policy()
        court.judged_at_last(court.name)
    finally:
        metadata = {"name": "dan-uses"}
        court.world.admin.create(path.rpartition("/")[0], {**kept, "metadata": metadata})
