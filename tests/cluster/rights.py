"""Rights that a test has just given, waited for: the API server learns of a binding a moment after it was written.

Called by whatever binds a role to somebody who is to use it at once.
"""

from collections.abc import Mapping

from tests.cluster.api import Api
from tests.cluster.waiting import wait_for

_ASK = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def allowed(person: Api, namespace: str, *, group: str, resource: str, verb: str, name: str = "") -> bool:
    """Whether the API server lets a person do this now, in its own words."""
    attributes = {"namespace": namespace, "group": group, "resource": resource, "verb": verb, "name": name}
    answer = person.create(_ASK, {"spec": {"resourceAttributes": attributes}})
    found: bool = answer["status"]["allowed"]
    return found


def wait_until_holds(person: Api, namespace: str, rules: list[Mapping[str, list[str]]]) -> None:
    """Wait until a person holds every one of these rules of a role."""

    def holds_all() -> bool:
        return all(
            allowed(person, namespace, group=group, resource=resource, verb=verb, name=name)
            for rule in rules
            for group in rule.get("apiGroups", [])
            for resource in rule.get("resources", [])
            for verb in rule["verbs"][:1]
            for name in rule.get("resourceNames") or [""]
        )

    wait_for(holds_all, timeout=10, what=f"the rights in {namespace} to be known")
