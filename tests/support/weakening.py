"""Guards taken out of force for a while, one at a time, so that an attack shows what each of them is worth.

Called by the tests of twins, on a control plane of their own. It never leaves a guard out of force.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.cluster import Api, ApiError, wait_for
from tests.cluster.api import Object

_ROOT = "/apis/admissionregistration.k8s.io/v1"
_NAME = "attacks-sentinel"
_LABEL = "attacks-sentinel"
_BINDINGS = ("validatingadmissionpolicybindings", "mutatingadmissionpolicybindings")
_MATCH: Object = {
    "matchConstraints": {
        "resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
        ]
    },
    "failurePolicy": "Fail",
}


def prepare(api: Api) -> None:
    """Create the sentinels: one policy of each kind, bound only while guards are out of force.

    The API server takes over all policies of a kind and their bindings at once. So whatever was written before a
    sentinel's binding is in force when the sentinel is.
    """
    refuses = {**_MATCH, "matchConditions": [_named(_NAME)], "validations": [{"expression": "false"}]}
    expression = (
        'has(object.metadata.labels) ? [] : [JSONPatch{op: "add", path: "/metadata/labels", '
        f'value: {{"{_LABEL}": "x"}}}}]'
    )
    mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}
    marks = {
        **_MATCH,
        "matchConditions": [_named(f"{_NAME}-marked")],
        "reinvocationPolicy": "Never",
        "mutations": [mutation],
    }
    api.create(f"{_ROOT}/validatingadmissionpolicies", {"metadata": {"name": _NAME}, "spec": refuses})
    api.create(f"{_ROOT}/mutatingadmissionpolicies", {"metadata": {"name": _NAME}, "spec": marks})


@contextmanager
def without_guards(api: Api, guards: Sequence[str]) -> Iterator[None]:
    """Delete the bindings of guards, wait until they are out of force, and put them back in the end."""
    kept = [_binding(api, guard) for guard in guards]
    for path, _ in kept:
        api.delete(path)
    _bind_sentinels(api)
    try:
        wait_for(lambda: _seen(api) == {True}, timeout=15, what=f"{', '.join(guards)} to be out of force")
        yield
    finally:
        for path, binding in kept:
            metadata = {key: binding["metadata"].get(key) for key in ("name", "labels", "annotations")}
            api.create(path.rpartition("/")[0], {**binding, "metadata": metadata})
        for kind in _BINDINGS:
            api.delete(f"{_ROOT}/{kind}/{_NAME}")
        wait_for(lambda: _seen(api) == {False}, timeout=15, what=f"{', '.join(guards)} to be in force again")


def _binding(api: Api, guard: str) -> tuple[str, Object]:
    for kind in _BINDINGS:
        path = f"{_ROOT}/{kind}/tasksession-{guard}"
        if found := api.find(path):
            return path, found
    raise AssertionError(f"there is no guard {guard}")


def _bind_sentinels(api: Api) -> None:
    deny: Object = {"policyName": _NAME, "validationActions": ["Deny"]}
    api.create(f"{_ROOT}/{_BINDINGS[0]}", {"metadata": {"name": _NAME}, "spec": deny})
    api.create(f"{_ROOT}/{_BINDINGS[1]}", {"metadata": {"name": _NAME}, "spec": {"policyName": _NAME}})


def _seen(api: Api) -> set[bool]:
    """Return for each sentinel whether it acts."""
    path = "/api/v1/namespaces/default/configmaps"
    try:
        api.create(path, {"metadata": {"name": _NAME}}, dryRun="All")
        refuses = False
    except ApiError:
        refuses = True
    marked = api.create(path, {"metadata": {"name": f"{_NAME}-marked"}}, dryRun="All")
    return {refuses, _LABEL in marked["metadata"].get("labels", {})}


def _named(name: str) -> Object:
    return {"name": "sentinel", "expression": f"object.metadata.name == '{name}'"}
