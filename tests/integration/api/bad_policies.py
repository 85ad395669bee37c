"""SessionPolicies and SessionApprovals that the API server refuses, each with its own words."""

from tests.integration.api.case import Case
from tests.integration.api.manifests import ABSENT, SESSION_APPROVAL, SESSION_POLICY

BAD_POLICIES = [
    Case("no namespaces", SESSION_POLICY, {"spec.namespaces": ABSENT}, "spec.namespaces: Required value"),
    Case(
        "namespaces of neither kind",
        SESSION_POLICY,
        {"spec.namespaces": {}},
        "spec.namespaces: Invalid value: set exactly one of matchLabels and names",
    ),
    Case(
        "namespaces of both kinds",
        SESSION_POLICY,
        {"spec.namespaces.names": ["support"]},
        "spec.namespaces: Invalid value: set exactly one of matchLabels and names",
    ),
    Case(
        "labels that every namespace has",
        SESSION_POLICY,
        {"spec.namespaces.matchLabels": {}},
        "spec.namespaces.matchLabels: Invalid value: 0: spec.namespaces.matchLabels in body should have at "
        "least 1 properties",
    ),
    Case(
        "namespace that is a pattern",
        SESSION_POLICY,
        {"spec.namespaces": {"names": ["*"]}},
        'spec.namespaces.names[0]: Invalid value: "*": spec.namespaces.names[0] in body should match '
        "'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'",
    ),
    Case(
        "no names in a list of them",
        SESSION_POLICY,
        {"spec.namespaces": {"names": []}},
        "spec.namespaces.names: Invalid value: 0: spec.namespaces.names in body should have at least 1 items",
    ),
    Case("no ceiling", SESSION_POLICY, {"spec.access": ABSENT}, "spec.access: Required value"),
    Case("no maxTTL", SESSION_POLICY, {"spec.maxTTL": ABSENT}, "spec.maxTTL: Required value"),
    Case(
        "maxTTL too long",
        SESSION_POLICY,
        {"spec.maxTTL": "25h"},
        'spec.maxTTL: Invalid value: "25h": must be a duration from 10s to 24h, such as 90s, 15m or 1h30m',
    ),
    Case(
        "maxTTL of words",
        SESSION_POLICY,
        {"spec.maxTTL": "long"},
        'spec.maxTTL: Invalid value: "long": must be a duration from 10s to 24h, such as 90s, 15m or 1h30m',
    ),
    Case(
        "default ttl longer than maxTTL",
        SESSION_POLICY,
        {"spec.defaults.ttl": "30m1s"},
        "spec.defaults.ttl: Invalid value: defaults.ttl is longer than maxTTL",
    ),
    Case(
        "default ttl too short",
        SESSION_POLICY,
        {"spec.defaults.ttl": "1s"},
        'spec.defaults.ttl: Invalid value: "1s": must be a duration from 10s to 24h, such as 90s, 15m or 1h30m',
    ),
    Case(
        "no kind of task",
        SESSION_POLICY,
        {"spec.tasks": []},
        "spec.tasks: Invalid value: 0: spec.tasks in body should have at least 1 items",
    ),
    Case(
        "unknown kind of task",
        SESSION_POLICY,
        {"spec.tasks": ["CronJob"]},
        'spec.tasks[0]: Unsupported value: "CronJob": supported values: "Job", "External"',
    ),
    Case(
        "unknown way of delivery",
        SESSION_POLICY,
        {"spec.delivery": ["Mail"]},
        'spec.delivery[0]: Unsupported value: "Mail": supported values: "TokenRequest", "Secret", "Sealed"',
    ),
    Case(
        "two conditions of one name",
        SESSION_POLICY,
        {"spec.conditions": [{"name": "a", "expression": "true"}, {"name": "a", "expression": "false"}]},
        'spec.conditions[1]: Duplicate value: {"name":"a"}',
    ),
    Case(
        "condition without a name",
        SESSION_POLICY,
        {"spec.conditions": [{"expression": "true"}]},
        "spec.conditions[0].name: Required value",
    ),
    Case(
        "condition without an expression",
        SESSION_POLICY,
        {"spec.conditions": [{"name": "a"}]},
        "spec.conditions[0].expression: Required value",
    ),
    Case(
        "condition too long",
        SESSION_POLICY,
        {"spec.conditions": [{"name": "a", "expression": "x" * 1025}]},
        "spec.conditions[0].expression: Too long: may not be more than 1024 bytes",
    ),
    Case(
        "approval by nobody",
        SESSION_POLICY,
        {"spec.approval.required": 0},
        "spec.approval.required: Invalid value: 0: spec.approval.required in body should be greater than or equal to 1",
    ),
    Case(
        "approval by more than ten",
        SESSION_POLICY,
        {"spec.approval.required": 11},
        "spec.approval.required: Invalid value: 11: spec.approval.required in body should be less than or equal to 10",
    ),
    Case("approval of unknown number", SESSION_POLICY, {"spec.approval": {}}, "spec.approval.required: Required value"),
    Case(
        "limit of none",
        SESSION_POLICY,
        {"spec.limits.active": 0},
        "spec.limits.active: Invalid value: 0: spec.limits.active in body should be greater than or equal to 1",
    ),
    Case(
        "limit of none each",
        SESSION_POLICY,
        {"spec.limits.activePerRequester": 0},
        "spec.limits.activePerRequester: Invalid value: 0: spec.limits.activePerRequester in body should be "
        "greater than or equal to 1",
    ),
    Case(
        "suspended that is text",
        SESSION_POLICY,
        {"spec.suspended": "true"},
        'spec.suspended: Invalid value: "string": spec.suspended in body must be of type boolean: "string"',
    ),
    Case("approval of nothing", SESSION_APPROVAL, {"spec.sessionRef": ABSENT}, "spec.sessionRef: Required value"),
    Case(
        "approval without a uid",
        SESSION_APPROVAL,
        {"spec.sessionRef.uid": ABSENT},
        "spec.sessionRef.uid: Required value",
    ),
    Case(
        "approval of what is no uid",
        SESSION_APPROVAL,
        {"spec.sessionRef.uid": "latest"},
        'spec.sessionRef.uid: Invalid value: "latest": spec.sessionRef.uid in body should be at least 36 chars long',
    ),
    Case(
        "unknown decision",
        SESSION_APPROVAL,
        {"spec.decision": "Maybe"},
        'spec.decision: Unsupported value: "Maybe": supported values: "Approve", "Deny"',
    ),
    Case("no decision", SESSION_APPROVAL, {"spec.decision": ABSENT}, "spec.decision: Required value"),
    Case(
        "approver not stamped",
        SESSION_APPROVAL,
        {"spec.approver": ABSENT},
        "spec: Required value: spec.approver is stamped by admission, and was not: install the chart's "
        "admission policies",
    ),
]
