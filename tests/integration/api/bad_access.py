"""TaskSessions whose access, token or requester the API server refuses, each with its own words."""

from typing import Any

from tests.integration.api.case import Case
from tests.integration.api.manifests import ABSENT, EXTERNAL_SESSION, TASK_SESSION


def _rules(**changes: Any) -> list[dict[str, Any]]:
    return [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], **changes}]


BAD_ACCESS = [
    Case(
        "role of no kind",
        TASK_SESSION,
        {"spec.access.roles": [{"name": "view"}]},
        "spec.access.roles[0].kind: Required value",
    ),
    Case(
        "role of another kind",
        TASK_SESSION,
        {"spec.access.roles": [{"kind": "Group", "name": "view"}]},
        'spec.access.roles[0].kind: Unsupported value: "Group": supported values: "ClusterRole", "Role"',
    ),
    Case(
        "role without a name",
        TASK_SESSION,
        {"spec.access.roles": [{"kind": "Role", "name": ""}]},
        'spec.access.roles[0].name: Invalid value: "": spec.access.roles[0].name in body should be at least '
        "1 chars long",
    ),
    Case(
        "role that is a path",
        TASK_SESSION,
        {"spec.access.roles": [{"kind": "Role", "name": "a/b"}]},
        "spec.access.roles[0].name: Invalid value: \"a/b\": spec.access.roles[0].name in body should match '^[^/%]+$'",
    ),
    Case(
        "the same role twice",
        TASK_SESSION,
        {"spec.access.roles": [{"kind": "Role", "name": "a"}] * 2},
        'spec.access.roles[1]: Duplicate value: {"kind":"Role","name":"a"}',
    ),
    Case(
        "too many roles",
        TASK_SESSION,
        {"spec.access.roles": [{"kind": "Role", "name": f"r{i}"} for i in range(65)]},
        "spec.access.roles: Too many: 65: must have at most 64 items",
    ),
    Case(
        "rule without apiGroups",
        TASK_SESSION,
        {"spec.access.rules": [{"resources": ["pods"], "verbs": ["get"]}]},
        "spec.access.rules[0].apiGroups: Required value",
    ),
    Case(
        "rule with no apiGroups",
        TASK_SESSION,
        {"spec.access.rules": _rules(apiGroups=[])},
        "spec.access.rules[0].apiGroups: Invalid value: 0: spec.access.rules[0].apiGroups in body should "
        "have at least 1 items",
    ),
    Case(
        "rule with no resources",
        TASK_SESSION,
        {"spec.access.rules": _rules(resources=[])},
        "spec.access.rules[0].resources: Invalid value: 0: spec.access.rules[0].resources in body should "
        "have at least 1 items",
    ),
    Case(
        "rule with no verbs",
        TASK_SESSION,
        {"spec.access.rules": _rules(verbs=[])},
        "spec.access.rules[0].verbs: Invalid value: 0: spec.access.rules[0].verbs in body should have at least 1 items",
    ),
    Case(
        "rule with an empty verb",
        TASK_SESSION,
        {"spec.access.rules": _rules(verbs=[""])},
        'spec.access.rules[0].verbs[0]: Invalid value: "": spec.access.rules[0].verbs[0] in body should be '
        "at least 1 chars long",
    ),
    Case(
        "rule with an empty resource",
        TASK_SESSION,
        {"spec.access.rules": _rules(resources=[""])},
        'spec.access.rules[0].resources[0]: Invalid value: "": spec.access.rules[0].resources[0] in body '
        "should be at least 1 chars long",
    ),
    Case(
        "rule with an empty name, which stands for requests without one",
        TASK_SESSION,
        {"spec.access.rules": _rules(resourceNames=[""])},
        'spec.access.rules[0].resourceNames[0]: Invalid value: "": spec.access.rules[0].resourceNames[0] in '
        "body should be at least 1 chars long",
    ),
    Case(
        "rule on URLs",
        TASK_SESSION,
        {"spec.access.rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]},
        "spec.access.rules[0].apiGroups: Required value",
        "spec.access.rules[0].resources: Required value",
    ),
    Case(
        "too many rules",
        TASK_SESSION,
        {"spec.access.rules": _rules() * 65},
        "spec.access.rules: Too many: 65: must have at most 64 items",
    ),
    Case(
        "tokens for other audiences",
        TASK_SESSION,
        {"spec.token.audiences": ["https://tickets.example.com"]},
        "spec.token.audiences: Forbidden: this version has no tokens for other audiences than the API server: "
        "leave spec.token.audiences out",
    ),
    Case(
        "delivery for a Job",
        TASK_SESSION,
        {"spec.token.delivery": "TokenRequest"},
        "spec.token: Invalid value: delivery and sealed are for external tasks: a Job's pod gets its token "
        "from the kubelet",
    ),
    Case(
        "revoked that is text",
        TASK_SESSION,
        {"spec.revoked": "yes"},
        'spec.revoked: Invalid value: "string": spec.revoked in body must be of type boolean: "string"',
    ),
    Case(
        "ttlSecondsAfterFinished negative",
        TASK_SESSION,
        {"spec.ttlSecondsAfterFinished": -1},
        "spec.ttlSecondsAfterFinished: Invalid value: -1: spec.ttlSecondsAfterFinished in body should be "
        "greater than or equal to 0",
    ),
    Case(
        "ttlSecondsAfterFinished a fraction",
        TASK_SESSION,
        {"spec.ttlSecondsAfterFinished": 1.5},
        (
            'spec.ttlSecondsAfterFinished: Invalid value: "number": spec.ttlSecondsAfterFinished in body must be '
            'of type integer: "number"'
        ),
        (
            '<nil>: Invalid value: "": Checked value must be of type integer (default format) in '
            "spec.ttlSecondsAfterFinished"
        ),
    ),
    Case(
        "requester not stamped",
        TASK_SESSION,
        {"spec.requester": ABSENT},
        "spec: Required value: spec.requester is stamped by admission, and was not: install the chart's "
        "admission policies",
    ),
    Case(
        "requester without a name",
        TASK_SESSION,
        {"spec.requester": {"username": ""}},
        'spec.requester.username: Invalid value: "": spec.requester.username in body should be at least 1 chars long',
    ),
    Case(
        "requester of too many groups",
        TASK_SESSION,
        {"spec.requester.groups": ["g"] * 1025},
        "spec.requester.groups: Too many: 1025: must have at most 1024 items",
    ),
    Case(
        "unknown delivery",
        EXTERNAL_SESSION,
        {"spec.token": {"delivery": "Mail"}},
        'spec.token.delivery: Unsupported value: "Mail": supported values: "TokenRequest", "Secret", "Sealed"',
    ),
    Case(
        "Sealed without a key",
        EXTERNAL_SESSION,
        {"spec.token.sealed": ABSENT},
        "spec.token: Invalid value: sealed belongs to delivery Sealed: set both or neither",
    ),
    Case(
        "a key without Sealed",
        EXTERNAL_SESSION,
        {"spec.token.delivery": "Secret"},
        "spec.token: Invalid value: sealed belongs to delivery Sealed: set both or neither",
    ),
    Case(
        "a key without delivery",
        EXTERNAL_SESSION,
        {"spec.token.delivery": ABSENT},
        "spec.token: Invalid value: sealed belongs to delivery Sealed: set both or neither",
    ),
    Case(
        "key of another type",
        EXTERNAL_SESSION,
        {"spec.token.sealed.publicKey.kty": "oct"},
        'spec.token.sealed.publicKey.kty: Unsupported value: "oct": supported values: "EC", "RSA", "OKP"',
    ),
    Case(
        "half an EC key",
        EXTERNAL_SESSION,
        {"spec.token.sealed.publicKey.y": ABSENT},
        "spec.token.sealed.publicKey: Invalid value: an EC key has crv, x and y",
    ),
    Case(
        "half an RSA key",
        EXTERNAL_SESSION,
        {"spec.token.sealed.publicKey": {"kty": "RSA", "n": "AAAA"}},
        "spec.token.sealed.publicKey: Invalid value: an RSA key has n and e",
    ),
    Case(
        "half an OKP key",
        EXTERNAL_SESSION,
        {"spec.token.sealed.publicKey": {"kty": "OKP", "x": "AAAA"}},
        "spec.token.sealed.publicKey: Invalid value: an OKP key has crv and x",
    ),
    Case(
        "key that is not base64url",
        EXTERNAL_SESSION,
        {"spec.token.sealed.publicKey.x": "a+b="},
        'spec.token.sealed.publicKey.x: Invalid value: "a+b=": spec.token.sealed.publicKey.x in body should '
        "match '^[A-Za-z0-9_-]+$'",
    ),
]
