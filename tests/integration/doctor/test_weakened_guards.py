"""While any part of a guard is not what this version ships, the operator grants nothing, and says what is wrong."""

from typing import Any

import pytest

from tests.cluster import Api, Cluster, wait_for
from tests.cluster.api import MERGE_PATCH, Object
from tests.cluster.guards_file import FILE, content
from tests.cluster.installation import install
from tests.cluster.operator_process import OperatorProcess
from tests.support.world import CEILING, World

ROOT = "/apis/admissionregistration.k8s.io/v1"
TOKEN = f"{ROOT}/validatingadmissionpolicies/tasksession-token"
TOKEN_BINDING = f"{ROOT}/validatingadmissionpolicybindings/tasksession-token"


def test_the_file_is_what_the_chart_renders() -> None:
    """What the operator compares with is the chart's own, byte for byte; `make guards` writes it anew."""
    assert FILE.read_text(encoding="utf-8") == content()


def weaken(api: Api, path: str, change: Object) -> None:
    """Change a policy or binding as an administrator would."""
    api.patch(path, {"spec": change}, content_type=MERGE_PATCH)


def spec_of(api: Api, path: str) -> dict[str, Any]:
    """Read the spec of a policy or binding."""
    found: dict[str, Any] = api.get(path)["spec"]
    return found


def exempting(api: Api) -> Object:
    """A condition more, which lets mallory through."""
    conditions = spec_of(api, TOKEN)["matchConditions"]
    return {"matchConditions": [*conditions, {"name": "spare", "expression": "request.userInfo.username != 'mallory'"}]}


def softened(api: Api) -> Object:
    """The first validation turned into one that always holds."""
    validations = spec_of(api, TOKEN)["validations"]
    return {"validations": [{**validations[0], "expression": "true"}, *validations[1:]]}


WEAKENED = [
    (TOKEN, softened, "validations[0].expression"),
    (TOKEN, exempting, "matchConditions has 2 entries instead of 1"),
    (TOKEN, lambda _: {"failurePolicy": "Ignore"}, "failurePolicy is Ignore instead of Fail"),
    (TOKEN_BINDING, lambda _: {"validationActions": ["Audit"]}, "validationActions[0] is Audit instead of Deny"),
    (TOKEN_BINDING, lambda _: {"matchResources": {"namespaceSelector": {"matchLabels": {"guarded": "yes"}}}},
     "matchResources was added"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "change", "words"), WEAKENED, ids=[words for _, _, words in WEAKENED])
def test_nothing_is_granted_while_a_guard_is_weakened(
    world: World, operator: OperatorProcess, path: str, change: Any, words: str
) -> None:
    """A session waits with a sentence that names guard and fault; the repair of the guard lets it go on."""
    before = spec_of(world.admin, path)
    weaken(world.admin, path, change(world.admin))
    try:
        wait_for(lambda: operator.probe("/readyz")[0] == 503, timeout=10, what="readiness to say so")
        assert words in operator.probe("/readyz")[1]
        world.request("triage")
        message = world.wait_reason("triage", "GuardsMissing")
        assert "tasksession-token" in message and words in message
        assert world.all_children() == {}
    finally:
        restored = world.admin.get(path)
        world.admin.replace(path, {**restored, "spec": before})
    world.wait_state("triage", "Active")


def test_installing_the_chart_with_other_values_goes_on_granting(
    doctor_cluster: Cluster, world: World, operator: OperatorProcess
) -> None:
    """Values of an installation are no weakening: the guards change under a running operator and it goes on."""
    other: Object = {
        "ceiling": CEILING,
        "maxGraceSeconds": 45,
        "excludedNamespaces": ["kube-*", "elsewhere"],
        "jobTemplate": {"enabled": True, "podSecurity": "privileged"},
        "tokens": {"sparedAudiences": []},
    }
    try:
        install(doctor_cluster, values=other)
        wait_for(lambda: operator.probe("/readyz")[0] == 200, timeout=10, what="readiness")
        world.request("triage")
        world.wait_state("triage", "Active")
    finally:
        install(doctor_cluster, values={"ceiling": CEILING})
