"""Checks of what is installed: guards, definitions, and what the API server serves.

Pure; the examination calls them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tasksession.api import admission, names
from tasksession.doctor.facts import Facts, Object, Unread, gaps, name_of
from tasksession.doctor.finding import Area, Finding, Severity, listed
from tasksession.engine.guards import Guards
from tasksession.guards.comparing import ExpectedGuard
from tasksession.guards.values import strings_in

_OWNER_PLUGIN = "OwnerReferencesPermissionEnforcement"
_INSTALL = "Nothing is granted until the chart of this version is installed again."


def check_guards(
    facts: Facts, expected: Iterable[ExpectedGuard], upstream: Mapping[str, str], operator_user: str | None
) -> list[Finding]:
    """Every guard is installed, bound and word for word what ships, and its lists of users are Kubernetes' own."""
    if isinstance(facts.guards, Unread):
        return gaps(Area.GUARDS, {"Guards": facts.guards})
    expected = tuple(expected)
    guards = seen_guards(facts, expected, operator_user)
    problems = guards.problems()
    kinds = {guard.name: guard.kind for guard in expected}
    if len(problems) == len(expected) and not facts.guards:
        problem = f"None of the {len(expected)} guards is installed."
        return [Finding(Area.GUARDS, Severity.FAILURE, "Guards", problem, _INSTALL)]
    found = [
        Finding(Area.GUARDS, Severity.FAILURE, f"{kinds[name]} {name}", _sentence(problem), _INSTALL)
        for name, problem in problems.items()
    ]
    return found + _other_values(guards.values(), upstream)


def seen_guards(facts: Facts, expected: Iterable[ExpectedGuard], operator_user: str | None) -> Guards:
    """Compare the guards that were listed. Without a known operator, they are asked who it is."""
    guards = Guards(expected)
    if not isinstance(facts.guards, Unread):
        guards.replace(facts.guards)
    guards.belong_to(operator_user or guards.values().get("user:operator", "not known"))
    return guards


def _other_values(values: Mapping[str, str], upstream: Mapping[str, str]) -> list[Finding]:
    found = []
    for placeholder, text in values.items():
        name = placeholder.partition(":")[2]
        usual = strings_in(upstream.get(placeholder, ""))
        added = [each for each in strings_in(text) if each not in usual]
        if placeholder in upstream and added:
            controllers = name.startswith("controllers.")
            severity = Severity.WARNING if controllers else Severity.NOTE
            problem = f"The guards have {', '.join(added)} in {name}, which the chart does not bring."
            advice = (
                "Guards let these users through as Kubernetes' own: make sure that they are."
                if controllers
                else "Each is an exception from a limit: make sure that it is meant."
            )
            found.append(Finding(Area.GUARDS, severity, f"Chart value {name}", problem, advice))
    return found + _open_namespaces(values.get("namespaces:excludedNamespaces"))


def _open_namespaces(excluded: str | None) -> list[Finding]:
    if excluded is None or re.fullmatch(excluded, "kube-system"):
        return []
    problem = "Sessions may be in kube-system, where Kubernetes' own identities are: a session's pod runs beside them."
    advice = "Have kube-* among the chart's excludedNamespaces."
    return [Finding(Area.GUARDS, Severity.WARNING, "Chart value excludedNamespaces", problem, advice)]


def check_cluster(facts: Facts) -> list[Finding]:
    """The API server serves the admission policies that guards are made of, and our definitions."""
    area = Area.CLUSTER
    subject = "admissionregistration.k8s.io/v1"
    found = gaps(area, {subject: facts.admission_resources, "CustomResourceDefinitions": facts.definitions})
    if not isinstance(facts.admission_resources, Unread):
        absent = [each for each in admission.RESOURCES if each not in facts.admission_resources]
        if absent:
            problem = f"The API server does not serve {', '.join(absent)}."
            advice = "Without them there are no guards: use Kubernetes 1.36 or newer, with these resources switched on."
            found.append(Finding(area, Severity.FAILURE, subject, problem, advice))
    if not isinstance(facts.definitions, Unread):
        for name, definition in facts.definitions.items():
            found.extend(_definition(name, definition))
    return found + _owner_references(facts)


def _owner_references(facts: Facts) -> list[Finding]:
    """Without this plugin of the API server anybody may make an object that holds the deletion of another's."""
    if isinstance(facts.api_servers, Unread):
        return gaps(Area.CLUSTER, {"Admission plugins of the API server": facts.api_servers})
    missing = [name_of(pod) for pod in facts.api_servers if _OWNER_PLUGIN not in _words_of(pod)]
    if not missing:
        return []
    problem = (
        f"{listed(missing)}: {_OWNER_PLUGIN} is off, so that whoever may create an object with a finalizer can hold "
        "the deletion of what a session consists of, by an owner reference with its uid."
    )
    advice = f"Add {_OWNER_PLUGIN} to --enable-admission-plugins of the API server."
    return [Finding(Area.CLUSTER, Severity.NOTE, "API server", problem, advice)]


def _words_of(pod: Object) -> set[str]:
    """The words of the command by which a pod runs."""
    containers = pod["spec"].get("containers") or ()
    lines = [line for each in containers for line in (*(each.get("command") or ()), *(each.get("args") or ()))]
    enabled = [str(line).partition("=")[2] for line in lines if str(line).startswith("--enable-admission-plugins=")]
    return {word for line in enabled for word in line.split(",")}


def _definition(name: str, definition: Object | None) -> list[Finding]:
    problem = _problem_of(definition)
    if problem is None:
        return []
    subject = f"CustomResourceDefinition {name}"
    return [Finding(Area.CLUSTER, Severity.FAILURE, subject, problem, "Install the chart of this version again.")]


def _problem_of(definition: Object | None) -> str | None:
    if definition is None:
        return "It is not installed."
    served = {each["name"] for each in definition["spec"]["versions"] if each.get("served")}
    status = definition.get("status") or {}
    if names.VERSION not in served:
        return f"It does not serve version {names.VERSION}."
    lost = [each for each in status.get("storedVersions") or () if each not in served]
    if lost:
        return f"Objects are stored in version {', '.join(lost)}, which is not served."
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    return None if conditions.get("Established") == "True" else "The API server has not accepted it."


def _sentence(problem: str) -> str:
    words = f"its {problem}" if problem.startswith("spec") else problem
    return f"{words[0].upper()}{words[1:]}."
