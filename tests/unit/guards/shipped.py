"""The guards that ship, as an API server has them after an installation with values of its own.

Tests weaken one of them in one place and see that it is found.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from tasksession.cluster.expected_guards import GUARDS
from tasksession.guards.values import PLACEHOLDER

Object = dict[str, Any]

OPERATOR = "system:serviceaccount:access:session-operator"

VALUES = {
    "user:operator": OPERATOR,
    "namespace:operator": "access",
    "namespaces:excludedNamespaces": "kube-.*|istio-system|access",
    "seconds:maxGraceSeconds": "45",
    "strings:controllers.job": "['jobs', 'all']",
    "strings:controllers.cronJob": "['cronjobs', 'all']",
    "strings:controllers.garbageCollector": "['collector', 'all']",
    "strings:controllers.job+controllers.garbageCollector": "['jobs', 'all', 'collector']",
    "strings:controllers.rootCA": "['publisher']",
    "strings:tokens.sparedAudiences": "[]",
    "strings:appliers": "['flux']",
    "strings:ceiling.clusterRoles": "['view']",
    "rules:ceiling.rules": "[{'verbs': ['get', 'patch'], 'names': ['triage']}, {'verbs': ['get'], 'names': []}]",
    "numbers:ceiling.rules": "{'/configmaps': [0, 1], 'apps/deployments': [1]}",
}
PLURALS = {
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
}


def with_values(spec: Mapping[str, Any], values: Mapping[str, str] = VALUES) -> Object:
    """Put values in place of the placeholders."""
    text = PLACEHOLDER.sub(lambda match: json.dumps(values[f"{match[1]}:{match[2]}"])[1:-1], json.dumps(spec))
    filled: Object = json.loads(text)
    return filled


def installed(values: Mapping[str, str] = VALUES) -> dict[tuple[str, str], Object]:
    """Return every policy and binding by plural and name, with what the API server fills in."""
    found: dict[tuple[str, str], Object] = {}
    for guard in GUARDS:
        policy = copy.deepcopy(with_values(guard.policies[0], values))
        policy["matchConstraints"].update(matchPolicy="Equivalent", namespaceSelector={})
        policy["matchConstraints"].setdefault("objectSelector", {})
        for rule in policy["matchConstraints"]["resourceRules"]:
            rule.setdefault("scope", "*")
        plural = PLURALS[guard.kind]
        for kind, spec in ((plural, policy), (f"{guard.kind.lower()}bindings", with_values(guard.binding, values))):
            metadata = {"name": guard.name, "uid": f"uid-{guard.name}", "creationTimestamp": "2026-11-01T00:00:00Z"}
            found[kind, guard.name] = {"metadata": metadata, "spec": spec}
    return found
